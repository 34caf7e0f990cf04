"""How a request of Kalibr's clients is read: who asks, for which tenant, what its body holds."""

import asyncio
import base64
import binascii
import json
from typing import Any, Final

from aiohttp import web
from pydantic import ConfigDict, ValidationError

from remora.errors import BadRequest
from remora_aggregator.service.shown import MAX_TOKEN_CHARS, Shown
from remora_aggregator.signals.names import MAX_GOAL_CHARS, is_goal
from remora_aggregator.web.callers import caller_of, shown_by, shown_with
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.bodies import Body
from remora_aggregator.web.parameters import Parameters
from remora_aggregator.web.problems import ApiProblem, of_validation

KEY: Final = "X-API-Key"
TENANT: Final = "X-Tenant-ID"
MOST_BYTES: Final = 256 * 1024
MOST_SPAN_BYTES: Final = 8 * 1024 * 1024
"""A client sends some hundred spans at once."""


class LenientParameters(Parameters):
    """Base of parameters among which others are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class NothingAsked(LenientParameters):
    """Nothing can be asked."""


def key_shown(request: web.Request) -> Shown:
    """Read what a request shows: its API key is one of the aggregator's tokens.

    Raises:
        BadRequest: It has none that can be read (status 401).
    """
    key = request.headers.get(KEY, "").strip()
    if not key:
        return shown_by(request)
    if not (key.isascii() and key.isprintable() and " " not in key and len(key) <= MAX_TOKEN_CHARS):
        text = f"{KEY} is no token: give a token of printable ASCII"
        raise BadRequest(text, status=401, code="no_token")
    return shown_with(request, key)


def key_or_password_shown(request: web.Request) -> Shown:
    """Read what a request shows that can carry no headers: a password in its URL is a token, too.

    Only for what changes nothing: browsers send such passwords again by themselves.
    """
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if request.headers.get(KEY) or scheme.lower() != "basic":
        return key_shown(request)
    try:
        user, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise BadRequest("the authorization can't be read", status=401, code="no_token") from None
    return shown_with(request, password or user)


def namespace_of(request: web.Request) -> str:
    """Return the namespace that is asked about: the caller's own, which the tenant has to be.

    Raises:
        BadRequest: The tenant is a namespace that the caller may not look at (status 403), or it
            has none of its own and names none.
    """
    caller, tenant = caller_of(request), request.headers.get(TENANT, "").strip()
    seen = caller.namespaces
    if tenant and seen is not None and tenant not in seen:
        own = ", ".join(sorted(seen)) or "none"
        text = f"{TENANT} is {tenant[:80]!r}, and this key is for namespace {own}: set "
        text += f"KALIBR_TENANT_ID={own}"
        raise BadRequest(text, status=403, code="other_tenant")
    return caller.namespace_of(tenant)


def goal_in(goal: str) -> str:
    """Return the name of a goal.

    Raises:
        ApiProblem: There is none, or no goal may be named so (status 400).
    """
    if is_goal(goal):
        return goal
    what = "is missing" if not goal else "is no name"
    detail = f"The goal {what}: give 1 to {MAX_GOAL_CHARS} characters, with that of a pipeline."
    raise ApiProblem(400, detail, "bad-goal", where="goal")


async def bytes_of(request: web.Request, most: int = MOST_BYTES) -> bytes:
    """Read the body as it came, whatever it calls itself.

    Raises:
        ApiProblem: It is too large, encoded, or does not come (status 408, 413 or 415).
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise ApiProblem(415, "The body is encoded.", "other-encoding", "Content-Encoding")
    seconds = front_of(request).bounds.body_s
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    detail = f"The body has more than {most} bytes."
                    raise ApiProblem(413, detail, "too-large", headers={"Connection": "close"})
    except TimeoutError:
        detail = f"The body did not come within {seconds:g} seconds."
        raise ApiProblem(408, detail, "too-slow", headers={"Connection": "close"}) from None
    return bytes(body)


def json_in(body: bytes | str) -> Any:
    """Read JSON as the clients write it, with NaN and halves of characters.

    Raises:
        ApiProblem: It is none (status 400).
    """
    try:
        found = json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise ApiProblem(400, "The body is no JSON.", "bad-body") from None
    has_escapes = (b"\\u" if isinstance(body, bytes) else "\\u") in body  # type: ignore[operator]  # of its kind
    return _whole(found) if has_escapes else found


def _whole(value: Any) -> Any:
    """Replace what is half a character, or NUL, which no database keeps."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "�")
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value


async def body_of[B: Body](request: web.Request, kind: type[B]) -> B:
    """Read a body.

    Raises:
        ApiProblem: It is no JSON object (status 400), or did not come as it should.
    """
    found = json_in(await bytes_of(request))
    if not isinstance(found, dict):
        raise ApiProblem(400, "The body is no JSON object.", "bad-body")
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise of_validation(error, "member") from None
