"""The status listener: probes and scrapes, nothing of requests."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from remora_sidecar.control.state import ControlState

_STATE = web.AppKey("state", ControlState)


def status_app(state: ControlState) -> web.Application:
    """Make the status listener's application."""
    app = web.Application()
    app[_STATE] = state
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    return app


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


async def _readyz(request: web.Request) -> web.Response:
    """Say 200 while agents are served, even degraded; the problems stand in the body."""
    health = request.app[_STATE].health()
    body = {"ready": health.ready, "problems": list(health.problems), **health.figures}
    return web.json_response(body, status=200 if health.ready else 503)


async def _metrics(request: web.Request) -> web.Response:
    text = generate_latest(request.app[_STATE].metrics)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
