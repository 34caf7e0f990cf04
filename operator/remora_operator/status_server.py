"""Probes and scrapes, without TLS: `/healthz`, `/readyz`, `/metrics`. Nothing of pods in them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from remora.errors import ConfigError, Problem

type Problems = Callable[[], Sequence[str]]


@asynccontextmanager
async def serving_status(
    listen: str, broken: Problems, problems: Problems, registry: CollectorRegistry
) -> AsyncIterator[str]:
    """Serve until the context ends; gives the address, with the port that was found for port 0.

    Args:
        listen: ``host:port``.
        broken: Say why only a restart will help; empty where none has to.
        problems: Say why this replica can't do its work; empty where it can.
        registry: What ``/metrics`` shows.

    Raises:
        ConfigError: The address can't be listened on.
    """
    app = web.Application()
    app.router.add_get("/healthz", _Probe("ok", broken).answer)
    app.router.add_get("/readyz", _Probe("ready", problems).answer)
    app.router.add_get("/metrics", _Metrics(registry).answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    host, _, port = listen.rpartition(":")
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            what = f"{listen} can't be listened on: {error.strerror}"
            raise ConfigError([Problem("REMORA_OPERATOR_STATUS_LISTEN", what)]) from error
        yield f"{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Probe:
    """Answers 200 where nothing is wrong, else 503 and what is."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems

    async def answer(self, _request: web.Request) -> web.Response:
        found = list(self._problems())
        status = 503 if found else 200
        return web.json_response({self._name: not found, "problems": found}, status=status)


class _Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def answer(self, _request: web.Request) -> web.Response:
        text = generate_latest(self._registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
