"""The status listener: probes and scrapes, nothing of requests."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from remora_sidecar.control.state import Health

type _Ask = Callable[[], Health]

_HEALTH: web.AppKey[_Ask] = web.AppKey("health")
_METRICS = web.AppKey("metrics", CollectorRegistry)


def status_app(health: Callable[[], Health], metrics: CollectorRegistry) -> web.Application:
    """Make the status listener's application; it is served before anything else is."""
    app = web.Application()
    app[_HEALTH] = health
    app[_METRICS] = metrics
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    return app


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


async def _readyz(request: web.Request) -> web.Response:
    """Say 200 while agents are served, even degraded; the problems stand in the body."""
    health = request.app[_HEALTH]()
    body = {"ready": health.ready, "problems": list(health.problems), **health.figures}
    return web.json_response(body, status=200 if health.ready else 503)


async def _metrics(request: web.Request) -> web.Response:
    text = generate_latest(request.app[_METRICS])
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
