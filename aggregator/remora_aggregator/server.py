"""The composition root: builds the store and the gRPC server in front of it, and runs them."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from remora import __version__
from remora.clock import Clock, SystemClock
from remora.errors import ConfigError, Problem
from remora_aggregator.auditing import Auditing, auditing
from remora_aggregator.guard import credentials_of, guarding, server_options
from remora_aggregator.keeping import keeping
from remora_aggregator.learning import learning
from remora_aggregator.service.admin_service import AdminService
from remora_aggregator.service.gate import Admitted, counted
from remora_aggregator.service.record_service import RecordService
from remora_aggregator.settings import AggregatorSettings
from remora_aggregator.store.postgres.backend import opened as opened_in_postgres
from remora_aggregator.store.purging import Purging
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sqlite.backend import opened
from remora_aggregator.web.serving import serving_http
from remora_proto.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    scores_pb2,
    scores_pb2_grpc,
    signals_pb2,
    signals_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    workflows_pb2,
    workflows_pb2_grpc,
)
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

STORE_FILE = "records.db"

_LOCK_FILE = "lock"
_SERVICES = (
    pb.DESCRIPTOR.services_by_name["RecordService"].full_name,
    tasks_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name,
    signals_pb2.DESCRIPTOR.services_by_name["SignalService"].full_name,
    scores_pb2.DESCRIPTOR.services_by_name["ScoreService"].full_name,
    workflows_pb2.DESCRIPTOR.services_by_name["WorkflowService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
)


@dataclass(frozen=True, slots=True)
class Aggregator:
    """A running aggregator.

    Attributes:
        address: Where it listens, with the port that was found for port 0.
        http_address: Where HTTP is served; empty: nowhere.
    """

    address: str
    store: RecordStore
    http_address: str = ""


@asynccontextmanager
async def running_aggregator(
    settings: AggregatorSettings, *, clock: Clock | None = None
) -> AsyncIterator[Aggregator]:
    """Start an aggregator and finally stop it.

    Raises:
        ConfigError: Something in the settings can't be used.
    """
    _check_readable(settings)
    credentials, used_clock = credentials_of(settings), clock or SystemClock()
    async with (
        _opened(settings) as store,
        guarding(settings, used_clock, (audit := auditing(settings, store)).sink) as guard,
        keeping(settings, store, Admitted(), used_clock) as kept,
        learning(
            kept.stored_scores, store, Admitted(), used_clock, refit_at=settings.refit_time
        ) as learned,
        serving_http(
            settings, store, guard.entrance, used_clock, learned, audit=audit.sink
        ) as http,
    ):
        http.tell_damage(kept.upkeep)
        server = grpc.aio.server(options=server_options(settings), interceptors=[guard.gate])
        service = RecordService(
            store, Admitted(), used_clock, version=__version__, hear=http.front.roster.hear
        )
        pb_grpc.add_RecordServiceServicer_to_server(service, server)
        tasks_pb2_grpc.add_TaskServiceServicer_to_server(kept.tasks, server)
        signals_pb2_grpc.add_SignalServiceServicer_to_server(kept.signals, server)
        scores_pb2_grpc.add_ScoreServiceServicer_to_server(learned.service, server)
        workflows_pb2_grpc.add_WorkflowServiceServicer_to_server(kept.workflows, server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(_admin(store, audit), server)
        health = await _add_health(server)
        address = _bind(server, settings.listen, credentials)
        await server.start()
        try:
            yield Aggregator(address, store, http.address)
        finally:
            http.stop_soon()
            await health.enter_graceful_shutdown()
            await asyncio.gather(server.stop(settings.drain_s), http.finished(settings.drain_s))


@asynccontextmanager
async def _opened(settings: AggregatorSettings) -> AsyncIterator[RecordStore]:
    if settings.database is not None:
        dsn, password_file = settings.database.get_secret_value(), settings.database_password_file
        async with opened_in_postgres(dsn, password_file=password_file) as store:
            yield store
        return
    with locked(settings.data_dir):
        async with opened(settings.data_dir / STORE_FILE) as store:
            yield store


def _admin(store: RecordStore, audit: Auditing) -> AdminService:
    return AdminService(Purging(store), audit.reading, Admitted(), count=counted)


async def _add_health(server: grpc.aio.Server) -> HealthServicer:
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for name in ("", *_SERVICES):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    names = (*_SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return health


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    try:
        if credentials is None:
            port = server.add_insecure_port(listen)
        else:
            port = server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        what = f"{listen} can't be listened on; is another aggregator running?"
        raise ConfigError([Problem("REMORA_AGGREGATOR_LISTEN", what)]) from error
    return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"


def _check_readable(settings: AggregatorSettings) -> None:
    """Name every file that can't be read, at once."""
    problems = []
    names = ["token_file", "tls_cert", "tls_key", "client_ca", "database_password_file"]
    names += ["span_signature_key_file"]
    if settings.kubernetes_api is not None:
        is_plain = settings.kubernetes_api.startswith("http://")
        names += (
            ["kubernetes_token_file"] if is_plain else ["kubernetes_token_file", "kubernetes_ca"]
        )
    for name in names:
        path: Path | None = getattr(settings, name)
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            what = f"{path} can't be read: {error.strerror}"
            problems.append(Problem(f"REMORA_AGGREGATOR_{name.upper()}", what))
    if problems:
        raise ConfigError(problems)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a data directory for one aggregator; raises ConfigError where another holds it."""
    descriptor = _lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(f"{folder} can't be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise _unusable(f"{folder} is in use by another aggregator") from None
    return descriptor


def _unusable(what: str) -> ConfigError:
    return ConfigError([Problem("REMORA_AGGREGATOR_DATA_DIR", what)])
