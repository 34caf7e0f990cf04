"""The control listener: our JSON API under ``/v1/``, the tracker's protocol at the root.

Of the published tracker's ten calls those that others make as well are here, the rest in
`remora_sidecar.control.daemon_protocol`.
"""

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from remora.ids import DEFAULT_SESSION_ID
from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE, agent_environment
from remora_sidecar.control.admission import Kind
from remora_sidecar.control.daemon_protocol import add_daemon_protocol, refused_in_text
from remora_sidecar.control.executions import add_executions
from remora_sidecar.control.handling import (
    STATE,
    asked,
    errors_are_json,
    guarded,
    hold,
    refused,
)
from remora_sidecar.control.openai_calls import add_openai_calls
from remora_sidecar.control.opinion import add_opinion
from remora_sidecar.control.router_connection import close_routers, connect_router
from remora_sidecar.control.session_view import NewSession, session_view
from remora_sidecar.control.signals import add_signals
from remora_sidecar.control.state import ControlState
from remora_sidecar.control.tasks import add_tasks
from remora_sidecar.control.trackers import add_trackers, open_tracked
from remora_sidecar.control.workflows import add_workflows
from remora_sidecar.engine.sessions import Session
from remora_sidecar.model.refusal import Refusal

_MAX_BODY_BYTES = 64 * 1024
_EVERYWHERE = ("0.0.0.0", "[::]")  # noqa: S104 - not bound to here


def control_app(state: ControlState) -> web.Application:
    """Make the control listener's application."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[errors_are_json])
    app[STATE] = state
    app.router.add_get("/v1/status", guarded(Kind.STATUS, _status))
    app.router.add_post("/v1/sessions", guarded(Kind.SESSION, _open_session))
    app.router.add_get("/v1/sessions/{id}", guarded(Kind.SESSION, _read_session))
    app.router.add_delete("/v1/sessions/{id}", guarded(Kind.SESSION, _end_session))
    app.router.add_get("/v1/sessions/{id}/hold", guarded(Kind.SESSION, _hold_session))
    app.router.add_get("/v1/sessions/{id}/router", guarded(Kind.SESSION, _route_session))
    add_trackers(app)
    add_signals(app)
    add_opinion(app)
    add_openai_calls(app)
    add_tasks(app)
    add_workflows(app)
    add_executions(app)
    app.router.add_get("/v1/env", guarded(Kind.SESSION, _environment))
    app.router.add_get("/v1/trust/{file}", guarded(Kind.SESSION, _trust_file))
    app.router.add_get("/v1/sessions", guarded(Kind.ADMIN, _list_sessions))
    app.router.add_get("/v1/policy", guarded(Kind.ADMIN, _policy))
    app.router.add_get("/v1/providers", guarded(Kind.ADMIN, _list_providers))
    tracker = Kind.ADMIN if state.in_pod else Kind.SESSION
    app.router.add_post("/providers", guarded(tracker, _add_provider))
    app.router.add_get("/v1/cache", guarded(Kind.ADMIN, _cache))
    app.router.add_post("/cache/flush", guarded(tracker, _flush_cache))
    app.router.add_post("/cache/clear", guarded(tracker, _clear_cache))
    add_daemon_protocol(app)
    app.router.add_route("*", "/{rest:.*}", guarded(Kind.SESSION, _not_here))
    app.on_shutdown.append(_shut_down)
    return app


async def _shut_down(app: web.Application) -> None:
    close_routers(app[STATE])
    app[STATE].workflows.let_followers_go()


async def _status(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return web.json_response(
        {
            "version": state.version,
            "mode": state.mode,
            "ready": state.health().ready,
            "cache": state.cache() is not None,
        }
    )


async def _open_session(request: web.Request) -> web.Response:
    state = request.app[STATE]
    wanted = await asked(request, NewSession, "the session")
    if isinstance(wanted, Refusal):
        return refused(wanted)
    session = open_tracked(wanted, state)
    return (
        refused(session)
        if isinstance(session, Refusal)
        else web.json_response(_opened(session, request), status=201)
    )


def _opened(session: Session, request: web.Request) -> dict[str, Any]:
    return {
        **session_view(session),
        "proxy_url": f"http://{session.session_id}@{_proxy(request)}",
        "providers_version": request.app[STATE].providers.hosts().version,
    }


def _proxy(request: web.Request) -> str:
    """Say where the proxy is, as whoever asks reaches it."""
    host, _, port = request.app[STATE].proxy_address.rpartition(":")
    if host in _EVERYWHERE and request.transport is not None:
        reached: str = request.transport.get_extra_info("sockname")[0]
        host = f"[{reached}]" if ":" in reached else reached
    return f"{host}:{port}"


def _session(request: web.Request) -> Session | None:
    return request.app[STATE].sessions.get(request.match_info["id"])


async def _read_session(request: web.Request) -> web.Response:
    session = _session(request)
    return _unknown_session() if session is None else web.json_response(session_view(session))


async def _end_session(request: web.Request) -> web.Response:
    session = _session(request)
    if session is None or session.session_id == DEFAULT_SESSION_ID:
        return _unknown_session()
    request.app[STATE].trackers.end_session(session)
    return web.json_response(session_view(session))


async def _hold_session(request: web.Request) -> web.StreamResponse:
    """Keep a session open for as long as this connection stands; then end it."""
    session = _session(request)
    if session is None:
        return _unknown_session()
    state = request.app[STATE]
    response = await hold(request, state)
    state.trackers.end_session(session)
    return response


async def _route_session(request: web.Request) -> web.StreamResponse:
    """Let this connection route the session's calls for as long as it stands."""
    session = _session(request)
    if session is None:
        return _unknown_session()
    served = await connect_router(request, session)
    return refused(served) if isinstance(served, Refusal) else served


def _unknown_session() -> web.Response:
    return refused(Refusal(404, "not_found", "UNKNOWN_SESSION", "there is no session of this id"))


async def _environment(request: web.Request) -> web.Response:
    """Answer the variables that a child process needs, as if it had none so far."""
    state = request.app[STATE]
    session_id = request.query.get("session", "")
    if session_id and state.sessions.get(session_id) is None:
        return _unknown_session()
    user = f"{session_id}@" if session_id else ""
    plan = agent_environment(state.trust_dir, f"http://{user}{_proxy(request)}", {})
    return web.json_response({"env": dict(plan.added)})


async def _trust_file(request: web.Request) -> web.StreamResponse:
    """Give a trust file to a program that can't read the folder."""
    name = request.match_info["file"]
    if name not in (CA_FILE, BUNDLE_FILE, TRUSTSTORE_FILE):
        return refused(Refusal(404, "not_found", "NOT_FOUND", "there is no such trust file"))
    return web.FileResponse(request.app[STATE].trust_dir / name)


async def _list_sessions(request: web.Request) -> web.Response:
    sessions = request.app[STATE].sessions.all()
    return web.json_response({"sessions": [session_view(session) for session in sessions]})


async def _policy(request: web.Request) -> web.Response:
    return web.json_response(
        request.app[STATE].policy_view(), dumps=lambda v: json.dumps(v, default=str)
    )


async def _list_providers(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].providers.view())


async def _add_provider(request: web.Request) -> web.Response:
    refusal = request.app[STATE].providers.add(await request.read())
    return web.Response(status=204) if refusal is None else refused(refusal)


async def _cache(request: web.Request) -> web.Response:
    cache = request.app[STATE].cache()
    stats = {} if cache is None else cache.stats()
    levels = {level: asdict(figures) for level, figures in stats.items()}
    return web.json_response({"enabled": cache is not None, "levels": levels})


async def _flush_cache(request: web.Request) -> web.Response:
    if (cache := request.app[STATE].cache()) is not None:
        await cache.flush()
    return web.Response(status=204)


async def _clear_cache(request: web.Request) -> web.Response:
    if (cache := request.app[STATE].cache()) is not None:
        await cache.clear()
    return web.Response(status=204)


async def _not_here(request: web.Request) -> web.Response:
    message = "there is no such call; docs/control.md lists them"
    refusal = Refusal(404, "not_found", "NOT_FOUND", message)
    return refused(refusal) if request.path.startswith("/v1/") else refused_in_text(refusal)
