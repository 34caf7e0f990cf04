"""Serves the admission webhook over TLS: what it is made of, where it listens, how it stops."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

from aiohttp import web

from remora.clock import Clock
from remora.errors import ConfigError, Problem
from remora.http_listening.connections import Connections
from remora.http_listening.listener import Listener, Patience, Served
from remora_operator.webhook.admission import Admission, ConfigOf
from remora_operator.webhook.application import Desk, Told, application, unreadable_answer
from remora_operator.webhook.body import BodyReader
from remora_operator.webhook.bounds import Bounds
from remora_operator.webhook.metrics import WebhookMetrics
from remora_operator.webhook.review import Answer, NamespaceOf

_DEFAULT_BOUNDS: Final = Bounds()


def _told_nobody(_: Answer) -> None:
    return None


@asynccontextmanager
async def serving_webhook(
    listen: str,
    tls: ssl.SSLContext,
    *,
    namespace_of: NamespaceOf,
    config_of: ConfigOf,
    metrics: WebhookMetrics,
    clock: Clock,
    told: Told = _told_nobody,
    drain_s: float = 10.0,
    bounds: Bounds = _DEFAULT_BOUNDS,
) -> AsyncIterator[str]:
    """Serve until the context is left; then what is being answered has `drain_s` to end.

    Args:
        listen: ``host:port``; port 0 finds one.
        tls: Whoever owns it may load another certificate into it at any time.
        namespace_of: Gives a namespace; called on the loop only.
        config_of: Gives the configuration in force; called on the loop only.
        metrics: Where admissions are counted.
        clock: Measures how long they take.
        told: Hears every answer, such as `EventWriter.tell`.
        drain_s: How long what is being answered may take at the end, in seconds.
        bounds: Of everything that clients could do too much of.

    Yields:
        Where it listens.

    Raises:
        ConfigError: It can't be listened there.
    """
    connections = Connections(bounds.connections)
    metrics.watch_connections(connections)
    admission = Admission(namespace_of, config_of)
    desk = Desk(admission, connections, BodyReader(bounds), bounds, metrics, clock, told)
    runner = web.AppRunner(application(desk), handler_cancellation=True, shutdown_timeout=drain_s)
    await runner.setup()
    try:
        listener = _bound(runner, desk, listen, tls)
        listener.start()
        try:
            yield listener.address
        finally:
            await listener.aclose()
    finally:
        await runner.cleanup()
        await connections.aclose()
        admission.close()


def _bound(runner: web.AppRunner, desk: Desk, listen: str, tls: ssl.SSLContext) -> Listener:
    server = cast(web.Server, runner.server)  # it is set up
    bounds = desk.bounds
    patience = Patience(bounds.handshake_s, bounds.head_s, bounds.idle_s)
    try:
        return Listener(Served(server, desk.connections, patience, unreadable_answer), listen, tls)
    except OSError as error:
        what = f"{listen} can't be listened on: {error.strerror}"
        raise ConfigError([Problem("REMORA_OPERATOR_WEBHOOK_LISTEN", what)]) from error
