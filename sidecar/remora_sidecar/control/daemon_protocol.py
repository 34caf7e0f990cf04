"""The published tracker's protocol at the root paths, as its client drives it.

Keys, their order and the statuses are that client's. It sends no token; in a pod, where agents
share the listener, its queries cover only calls of sessions then.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from remora.errors import BadRequest, Unavailable
from remora.record_wire import from_message
from remora_sidecar.control.admission import Kind, admit
from remora_sidecar.control.body_problems import problems_in
from remora_sidecar.control.daemon_records import daemon_record
from remora_sidecar.control.handling import STATE, guarded
from remora_sidecar.control.state import ControlState
from remora_sidecar.engine.named_routers import NamedRouter
from remora_sidecar.engine.sessions import Session
from remora_sidecar.journal.entry import Numbered
from remora_sidecar.journal.selection import JournalSelection
from remora_sidecar.model.refusal import Refusal

RETRY_AFTER_S: Final = 5
"""When to ask again for a session where there is no port for one."""

_PAGE_CALLS = 32
"""Records that are in memory at once, with bodies of up to a megabyte or more each."""
_NO_PORT = (
    "there is no port for another session: end some, or start with a larger REMORA_SESSION_PORTS"
)
_Id = Annotated[str, Field(max_length=4096)]


class NamedPolicy(BaseModel):
    """A router by its name, and what it is made of."""

    model_config = ConfigDict(strict=True)

    policy: str
    kwargs: dict[str, JsonValue] = Field(default_factory=dict)


class DaemonSession(BaseModel):
    """What ``POST /sessions`` takes; other keys are passed over, as by the original."""

    model_config = ConfigDict(strict=True)

    data_id: _Id | None = None
    combo_id: _Id | None = None
    agent_id: _Id | None = None
    router: NamedPolicy | None = None


def add_daemon_protocol(app: web.Application) -> None:
    """Serve the protocol, but for what `remora_sidecar.control.api` serves for others as well."""
    route, session = app.router.add_route, Kind.SESSION
    route("GET", "/health", guarded(Kind.STATUS, _health))
    route("POST", "/sessions", guarded(session, _open_session, refused_in_text))
    route("DELETE", "/sessions/{id}", guarded(session, _end_session, refused_in_text))
    route("GET", "/records", guarded(session, _records, refused_in_text))
    route("GET", "/usage", guarded(session, _usage, refused_in_text))
    route("GET", "/cached_latency", guarded(session, _cached_latency, refused_in_text))
    route("GET", "/ca", guarded(session, _ca, refused_in_text))
    allowed = {
        "/health": "GET", "/sessions": "POST", "/sessions/{id}": "DELETE", "/records": "GET",
        "/usage": "GET", "/cached_latency": "GET", "/ca": "GET", "/providers": "POST",
        "/cache/flush": "POST", "/cache/clear": "POST",
    }  # fmt: skip
    for path, method in allowed.items():
        route("*", path, guarded(session, _other_method(method), refused_in_text))


def refused_in_text(refusal: Refusal) -> web.Response:
    """Answer with a refusal as the published client reads it: its error is a text."""
    return web.json_response({"error": refusal.message}, status=refusal.status)


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


def _other_method(allowed: str) -> Any:
    async def handler(request: web.Request) -> web.Response:
        text = f"{request.method} is not served here, {allowed} is"
        return _problem(405, text, {hdrs.ALLOW: allowed})

    return handler


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


# Sessions.


async def _open_session(request: web.Request) -> web.Response:
    state = request.app[STATE]
    try:
        wanted = DaemonSession.model_validate_json(await request.read() or b"{}")
        router = _router(wanted, state)
    except ValidationError as error:
        return _problem(400, f"the session can't be opened: {problems_in(error)}")
    except BadRequest as error:
        return _problem(error.status, str(error))
    except web.HTTPRequestEntityTooLarge as error:
        return _problem(error.status, error.reason)
    session = state.sessions.open(
        state.clock.now_unix_ns(),
        data_id=wanted.data_id or "",
        combo_id=wanted.combo_id or "",
        agent_id=wanted.agent_id or "",
    )
    port = await _port(session, state)
    if port is None:
        return _problem(503, _NO_PORT, {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)})
    if router is not None:
        session.attach_router(router)
    opened = {"session_id": session.session_id, "proxy_port": port, **_ca_view(state)}
    return web.json_response(opened)


def _router(wanted: DaemonSession, state: ControlState) -> NamedRouter | None:
    """Find the router: none said is the gateway's own, null is none.

    Raises:
        BadRequest: There is none of that name, or it can't be made so.
    """
    routers = state.daemon.routers
    if wanted.router is not None:
        return routers.make(wanted.router.policy, wanted.router.kwargs)
    return None if "router" in wanted.model_fields_set else routers.default


async def _port(session: Session, state: ControlState) -> int | None:
    """Open the session's port; without one the session ends."""
    port = None
    try:
        port = await state.daemon.ports.open(session)
        return port
    finally:
        if port is None:
            state.sessions.end(session.session_id)


async def _end_session(request: web.Request) -> web.Response:
    state, session_id = request.app[STATE], request.match_info["id"]
    session = state.sessions.get(session_id)
    if session is not None:
        state.trackers.end_session(session)
        state.daemon.ports.session_ended(session_id)
    return web.Response(status=204)


async def _ca(request: web.Request) -> web.Response:
    return web.json_response(_ca_view(request.app[STATE]))


def _ca_view(state: ControlState) -> dict[str, str]:
    return {"ca_pem_b64": base64.b64encode(state.ca_pem.encode()).decode()}


# Queries.


def _selection(request: web.Request) -> JournalSelection:
    """Read what is asked for; in a pod, who is not the owner may ask for sessions' calls alone."""
    state, query = request.app[STATE], request.query
    hosts = state.hosts_of(request)
    is_owner = admit(Kind.ADMIN, request.headers, state.admin_token, hosts) is None
    return JournalSelection(
        data_id=query.get("data_id"),
        combo_id=query.get("combo_id"),
        agent_id=query.get("agent_id"),
        sessions_only=state.in_pod and not is_owner,
    )


async def _records(request: web.Request) -> web.StreamResponse:
    """Give all records, a page at a time: they may be more than fit in memory."""
    try:
        page = await _page(request, above=0)
    except Unavailable as error:
        return _problem(503, str(error))
    if not page:
        return web.json_response([])
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "application/json"})
    await response.prepare(request)
    begin = b"["
    while page:  # one that can't be read cuts the answer, so that nobody takes it for a whole one
        await response.write(begin + await asyncio.to_thread(_page_text, page))
        begin = b","
        page = await _page(request, above=page[-1].number)
    await response.write(b"]")
    return response


async def _page(request: web.Request, *, above: int) -> Sequence[Numbered]:
    journal = request.app[STATE].journal
    return await journal.page(_selection(request), above=above, limit=_PAGE_CALLS)


def _page_text(page: Sequence[Numbered]) -> bytes:
    """Write records, one after the other, without the brackets of a list."""
    records = (daemon_record(from_message(call.message)) for call in page)
    return ",".join(map(_record_text, records)).encode()


def _record_text(record: dict[str, Any]) -> str:
    try:
        return json.dumps(record)
    except RecursionError:  # a body nested too deeply to be written anew
        return json.dumps({**record, "request_body": {}, "response_body": {}})


async def _usage(request: web.Request) -> web.Response:
    try:
        usage = await request.app[STATE].journal.usage(_selection(request))
    except Unavailable as error:
        return _problem(503, str(error))
    return web.json_response({model: list(tokens) for model, tokens in usage.items()})


async def _cached_latency(request: web.Request) -> web.Response:
    try:
        seconds = await request.app[STATE].journal.cached_latency_s(_selection(request))
    except Unavailable as error:
        return _problem(503, str(error))
    return web.json_response({"seconds": seconds})
