"""Runs the HTTP side of an aggregator: what it is made of, where it listens, how it stops."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from remora import __version__
from remora.client.address import is_on_this_machine
from remora.clock import Clock
from remora.errors import ConfigError, Problem
from remora.http_listening.connections import Connections
from remora.http_listening.listener import Listener, Patience, Served
from remora_aggregator.keeping import retention_of
from remora_aggregator.learning import Learning
from remora_aggregator.service.audit import AuditLog, AuditSink
from remora_aggregator.service.entrance import Entrance
from remora_aggregator.serving_certificate import CertificateFiles
from remora_aggregator.settings import AggregatorSettings
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.postgres.sidecar_table import SidecarTable
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.store.upkeep import Upkeep
from remora_aggregator.telemetry.call_export import exporting
from remora_aggregator.web.admission import Admission
from remora_aggregator.web.app import make_app
from remora_aggregator.web.cookie import Seal
from remora_aggregator.web.front import Bounds, Front
from remora_aggregator.web.metrics import AggregatorMetrics, LearningFigures
from remora_aggregator.web.middleware import unreadable_answer
from remora_aggregator.web.readiness import Readiness
from remora_aggregator.web.roster import Roster
from remora_aggregator.web.roster_sharing import sharing
from remora_aggregator.web.sign_in_key import sign_in_key
from remora_aggregator.web.stock import StockWatch
from remora_aggregator.web.tls import RenewedContext

logger = logging.getLogger(__name__)

_VARIABLE = "REMORA_AGGREGATOR_HTTP_LISTEN"
_DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class HttpSide:
    """The HTTP side of a running aggregator.

    Attributes:
        address: Where it listens; empty: nowhere.
    """

    address: str
    front: Front

    def tell_damage(self, upkeep: Upkeep) -> None:
        """Tell on `/v1/health` what the store's upkeep found damaged."""
        self.front.damage = lambda: upkeep.damage

    def stop_soon(self) -> None:
        """Say on `/readyz` that the aggregator stops, and send watchers away to come again."""
        self.front.readiness.drain()
        self.front.stopping.set()
        self.front.store.wake_followers()

    async def finished(self, within_s: float) -> None:
        """Wait until nothing is being answered, for so long at most."""
        try:
            async with asyncio.timeout(within_s):
                await self.front.connections.nothing_asked.wait()
        except TimeoutError:
            logger.warning("some HTTP answers were not finished within %g seconds", within_s)


@asynccontextmanager
async def serving_http(
    settings: AggregatorSettings, store: RecordStore, entrance: Entrance, clock: Clock,
    learned: Learning, *, audit: AuditSink | None = None, bounds: Bounds = _DEFAULT_BOUNDS,
) -> AsyncIterator[HttpSide]:  # fmt: skip
    """Serve HTTP, if the settings want that, and export calls.

    Raises:
        ConfigError: It can't be listened where the settings say, or a file can't be used.
    """
    listen = settings.http_address
    metrics = AggregatorMetrics(__version__)
    store.commit_watchers.append(metrics.count_commit)
    metrics.watch_store(store)
    on_this_machine = not listen or is_on_this_machine(listen)
    readiness = Readiness(store, clock, tells_reasons=on_this_machine)
    roster = Roster()
    store.commit_watchers.append(roster.count_commit)
    front = Front(
        store=store, tasks=StoredTasks(store, clock), signals=StoredSignals(store),
        executions=StoredExecutions(store, clock),
        learned=learned, audit=audit or AuditLog(),
        entrance=entrance, clock=clock,
        admission=Admission(settings.http_hosts),
        seal=Seal(sign_in_key(settings.sign_in_key_file, settings.data_dir)),
        metrics=metrics,
        readiness=readiness,
        connections=Connections(bounds.connections),
        bounds=bounds, retention=retention_of(settings), roster=roster,
        stock=StockWatch(store, roster, clock), version=__version__, urandom=secrets.token_bytes,
        signature_key=_signature_key(settings),
    )  # fmt: skip
    metrics.watch_sidecars(lambda: roster.figures(clock.now_unix_ns()))
    metrics.watch_learning(lambda: LearningFigures(*learned.figures()))
    metrics.watch_position(readiness)
    metrics.watch_connections(front.connections)
    table = None if settings.database is None else SidecarTable(store)
    async with (
        sharing(table, roster, clock),
        exporting(store, metrics.registry.collect, clock) as dropped,
    ):
        if dropped is not None:
            metrics.watch_export(dropped)
        async with _listening(settings, front, listen) as address:
            yield HttpSide(address, front)


@asynccontextmanager
async def _listening(settings: AggregatorSettings, front: Front, listen: str) -> AsyncIterator[str]:
    if not listen:
        yield ""
        return
    runner = web.AppRunner(make_app(front), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        listener = _bound(settings, front, listen, runner)
        if listener is None:
            yield ""
            return
        listener.start()
        try:
            yield listener.address
        finally:
            await listener.aclose()
    finally:
        await runner.cleanup()
        await front.connections.aclose()


def _bound(
    settings: AggregatorSettings, front: Front, listen: str, runner: web.AppRunner
) -> Listener | None:
    assert runner.server is not None  # noqa: S101 - it is set up
    context, bounds = _context(settings), front.bounds
    patience = Patience(bounds.handshake_s, head_s=bounds.idle_s, idle_s=bounds.idle_s)
    served = Served(runner.server, front.connections, patience, unreadable_answer)
    try:
        return Listener(served, listen, None if context is None else context.context)
    except OSError as error:
        what = f"{listen} can't be listened on: {error.strerror}"
        if settings.has_own_http_listen:
            raise ConfigError([Problem(_VARIABLE, what)]) from error
        logger.warning("%s, so nothing is served over HTTP; %s names another", what, _VARIABLE)
        return None


def _signature_key(settings: AggregatorSettings) -> bytes:
    """Read what spans have to be signed with; it is looked before whether it can be."""
    path = settings.span_signature_key_file
    return b"" if path is None else path.read_bytes().strip()


def _context(settings: AggregatorSettings) -> RenewedContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    files = CertificateFiles(settings.tls_cert, settings.tls_key, settings.client_ca)
    try:
        return RenewedContext(files)
    except OSError as error:
        what = f"{settings.tls_cert} can't be used: {error}"
        raise ConfigError([Problem("REMORA_AGGREGATOR_TLS_CERT", what)]) from error
