"""Who asks over HTTP, and what of the records they may see: one place for every resource."""

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from remora_aggregator.service.caller import Caller
from remora_aggregator.service.permissions import Act
from remora_aggregator.service.shown import Shown, bearer
from remora_aggregator.store.selection import Selection, selection
from remora_aggregator.web.cookie import cookie_name
from remora_aggregator.web.front import front_of
from remora_proto.v1 import records_pb2 as pb


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks in one request, by what they showed, and what for."""

    caller: Caller
    shown: Shown
    act: Act


VISIT: Final = web.RequestKey("visit", Visit)


async def let_in(request: web.Request, shown: Shown, act: Act) -> Visit:
    """Let somebody in who may do something.

    Raises:
        BadRequest: They may not (status 401, 403 or 429).
        Unavailable: Nobody can tell now.
    """
    entrance = front_of(request).entrance
    caller = await entrance.caller(shown, act)
    entrance.admit(caller, act)
    return Visit(caller, shown, act)


def caller_of(request: web.Request) -> Caller:
    """Return who asks, as the middleware let them in."""
    return request[VISIT].caller


async def is_still_let_in(request: web.Request) -> bool:
    """Tell whether who asks would be let in again as the same; raises BadRequest if not at all."""
    visit = request[VISIT]
    entrance = front_of(request).entrance
    return await entrance.is_still(visit.caller, visit.shown, visit.act)


def seen(caller: Caller, wanted: pb.RecordFilter) -> Selection:
    """Choose the records that are asked for, of those that the caller may see.

    Raises:
        BadRequest: The filter makes no sense, or names what the caller may not see (status 403).
    """
    scope = caller.scope
    return selection(wanted, scope.namespaces, only_pod_uid=scope.pod_uid)


def shown_by(request: web.Request) -> Shown:
    """Read what a request shows: a Bearer token, else that of a cookie; a client certificate.

    Raises:
        BadRequest: Its authorization is none that can be read (status 401).
    """
    given = request.headers.get("Authorization")
    token = _signed_in(request) if given is None else bearer(given)
    return shown_with(request, token)


def shown_with(request: web.Request, token: str) -> Shown:
    """Say what a request shows that shows a token."""
    transport = request.transport
    certificate: Any = transport.get_extra_info("peercert") if transport is not None else None
    names = (certificate or {}).get("subjectAltName", ())
    uris = tuple(value for kind, value in names if kind == "URI")
    return Shown(token, uris, _peer(request))


def _peer(request: web.Request) -> str:
    """Write where a request comes from as gRPC does."""
    transport = request.transport
    name: Any = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(name, tuple):
        return "unix:"
    host, port = name[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def has_cookie_only(request: web.Request) -> bool:
    """Tell whether a cookie alone says who asks."""
    return "Authorization" not in request.headers and bool(cookie_of(request))


def cookie_of(request: web.Request) -> str:
    """Return the cookie of somebody who signed in; empty if there is none."""
    return request.cookies.get(cookie_name(is_secure=request.secure), "")


def _signed_in(request: web.Request) -> str:
    cookie, front = cookie_of(request), front_of(request)
    if not cookie or cookie in front.signed_out:
        return ""
    opened = front.seal.opened(cookie, front.clock.now_unix_ns())
    return opened.token if opened is not None else ""
