"""The control listener: our JSON API under ``/v1/``, the tracker's protocol at the root.

Of the published tracker's root paths ``/providers`` and ``/cache/…`` are served; the others
answer 404 and say so.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from remora.trust import agent_environment
from remora_sidecar.control.admission import Kind, admit
from remora_sidecar.control.router_connection import close_routers, connect_router
from remora_sidecar.control.session_view import NewSession, session_view
from remora_sidecar.control.state import ControlState
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.engine.sessions import Session
from remora_sidecar.model.refusal import Refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_STATE = web.AppKey("state", ControlState)
_MAX_BODY_BYTES = 64 * 1024


def control_app(state: ControlState) -> web.Application:
    """Make the control listener's application."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_errors_are_json])
    app[_STATE] = state
    app.router.add_get("/v1/status", _guarded(Kind.STATUS, _status))
    app.router.add_post("/v1/sessions", _guarded(Kind.SESSION, _open_session))
    app.router.add_get("/v1/sessions/{id}", _guarded(Kind.SESSION, _read_session))
    app.router.add_delete("/v1/sessions/{id}", _guarded(Kind.SESSION, _end_session))
    app.router.add_get("/v1/sessions/{id}/hold", _guarded(Kind.SESSION, _hold_session))
    app.router.add_get("/v1/sessions/{id}/router", _guarded(Kind.SESSION, _route_session))
    app.router.add_get("/v1/env", _guarded(Kind.SESSION, _environment))
    app.router.add_get("/v1/sessions", _guarded(Kind.ADMIN, _list_sessions))
    app.router.add_get("/v1/policy", _guarded(Kind.ADMIN, _policy))
    app.router.add_get("/v1/providers", _guarded(Kind.ADMIN, _list_providers))
    tracker = Kind.ADMIN if state.in_pod else Kind.SESSION
    app.router.add_post("/providers", _guarded(tracker, _add_provider))
    app.router.add_get("/v1/cache", _guarded(Kind.ADMIN, _cache))
    app.router.add_post("/cache/flush", _guarded(tracker, _flush_cache))
    app.router.add_post("/cache/clear", _guarded(tracker, _clear_cache))
    app.router.add_route("*", "/{rest:.*}", _guarded(Kind.SESSION, _not_here))
    app.on_shutdown.append(_shut_down)
    return app


async def _shut_down(app: web.Application) -> None:
    close_routers(app[_STATE].sessions)


def _guarded(kind: Kind, handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        refusal = admit(kind, request.headers, request.app[_STATE].admin_token)
        return _refused(refusal) if refusal is not None else await handler(request)

    return guarded


@web.middleware
async def _errors_are_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refused(bad_request(error.reason, error.status))


def _refused(refusal: Refusal) -> web.Response:
    content = {
        "error": {"message": refusal.message, "type": refusal.type, "code": refusal.code},
        "remora": {"code": refusal.code, "why": refusal.message},
    }
    return web.json_response(content, status=refusal.status)


async def _status(request: web.Request) -> web.Response:
    state = request.app[_STATE]
    return web.json_response(
        {
            "version": state.version,
            "mode": state.mode,
            "ready": state.health().ready,
            "cache": state.cache() is not None,
        }
    )


async def _open_session(request: web.Request) -> web.Response:
    state = request.app[_STATE]
    try:
        asked = NewSession.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return _refused(bad_request(f"the session can't be opened: {problems}"))
    fields = {name: value for name, value in asked.model_dump().items() if value}
    session = state.sessions.open(state.clock.now_unix_ns(), **fields)
    return web.json_response(_opened(session, state), status=201)


def _opened(session: Session, state: ControlState) -> dict[str, Any]:
    return {**session_view(session), "proxy_url": _proxy_url(session.session_id, state)}


def _proxy_url(session_id: str, state: ControlState) -> str:
    return f"http://{session_id}@{state.proxy_address}"


def _session(request: web.Request) -> Session | None:
    return request.app[_STATE].sessions.get(request.match_info["id"])


async def _read_session(request: web.Request) -> web.Response:
    session = _session(request)
    return _unknown_session() if session is None else web.json_response(session_view(session))


async def _end_session(request: web.Request) -> web.Response:
    session = _session(request)
    if session is None or not request.app[_STATE].sessions.end(session.session_id):
        return _unknown_session()
    return web.json_response(session_view(session))


async def _hold_session(request: web.Request) -> web.StreamResponse:
    """Keep a session open for as long as this connection stands; then end it."""
    session = _session(request)
    if session is None:
        return _unknown_session()
    state = request.app[_STATE]
    response = web.StreamResponse()
    closed = asyncio.get_running_loop().create_future()
    with state.holds, contextlib.suppress(asyncio.CancelledError, ConnectionError):
        await response.prepare(request)
        await response.write(b"held\n")
        await closed  # aiohttp cancels the handler when the connection goes
    state.sessions.end(session.session_id)
    return response


async def _route_session(request: web.Request) -> web.StreamResponse:
    """Let this connection route the session's calls for as long as it stands."""
    session = _session(request)
    if session is None:
        return _unknown_session()
    served = await connect_router(request, session)
    return _refused(served) if isinstance(served, Refusal) else served


def _unknown_session() -> web.Response:
    return _refused(Refusal(404, "not_found", "UNKNOWN_SESSION", "there is no session of this id"))


async def _environment(request: web.Request) -> web.Response:
    """Answer the variables that a child process needs, as if it had none so far."""
    state = request.app[_STATE]
    session_id = request.query.get("session", "")
    if session_id and state.sessions.get(session_id) is None:
        return _unknown_session()
    proxy_url = _proxy_url(session_id, state) if session_id else f"http://{state.proxy_address}"
    plan = agent_environment(state.trust_dir, proxy_url, {})
    return web.json_response({"env": dict(plan.added)})


async def _list_sessions(request: web.Request) -> web.Response:
    sessions = request.app[_STATE].sessions.all()
    return web.json_response({"sessions": [session_view(session) for session in sessions]})


async def _policy(request: web.Request) -> web.Response:
    return web.json_response(
        request.app[_STATE].policy_view(), dumps=lambda v: json.dumps(v, default=str)
    )


async def _list_providers(request: web.Request) -> web.Response:
    return web.json_response(request.app[_STATE].providers.view())


async def _add_provider(request: web.Request) -> web.Response:
    refusal = request.app[_STATE].providers.add(await request.read())
    return web.Response(status=204) if refusal is None else _refused(refusal)


async def _cache(request: web.Request) -> web.Response:
    cache = request.app[_STATE].cache()
    stats = {} if cache is None else cache.stats()
    levels = {level: asdict(figures) for level, figures in stats.items()}
    return web.json_response({"enabled": cache is not None, "levels": levels})


async def _flush_cache(request: web.Request) -> web.Response:
    if (cache := request.app[_STATE].cache()) is not None:
        await cache.flush()
    return web.Response(status=204)


async def _clear_cache(request: web.Request) -> web.Response:
    if (cache := request.app[_STATE].cache()) is not None:
        await cache.clear()
    return web.Response(status=204)


async def _not_here(request: web.Request) -> web.Response:
    if request.path.startswith("/v1/"):
        message = "there is no such call; docs/control.md lists them"
    else:
        message = "the root paths are kept for the tracker's protocol, not served yet; use /v1/"
    return _refused(Refusal(404, "not_found", "NOT_FOUND", message))
