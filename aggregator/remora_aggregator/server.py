"""The composition root: builds the store and the gRPC server in front of it, and runs them."""

import fcntl
import os
import ssl
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
from remora_aggregator.service.identity import Anyone, TokenFile
from remora_aggregator.service.record_service import RecordService
from remora_aggregator.settings import AggregatorSettings
from remora_aggregator.store.record_store import RecordStore, opened
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

STORE_FILE = "records.db"

_LOCK_FILE = "lock"
_SERVICE = pb.DESCRIPTOR.services_by_name["RecordService"].full_name
_OPTIONS: tuple[tuple[str, int], ...] = (
    # A record may carry two captured bodies of up to 64 MiB.
    ("grpc.max_receive_message_length", 160 * 1024 * 1024),
    # A second server must not share the port unnoticed.
    ("grpc.so_reuseport", 0),
    # Sidecars hold idle streams open for hours.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 60_000),
    ("grpc.keepalive_time_ms", 330_000),
)


@dataclass(frozen=True, slots=True)
class Aggregator:
    """A running aggregator.

    Attributes:
        address: Where it listens, with the port that was found for port 0.
    """

    address: str
    store: RecordStore


@asynccontextmanager
async def running_aggregator(
    settings: AggregatorSettings, *, clock: Clock | None = None
) -> AsyncIterator[Aggregator]:
    """Start an aggregator and finally stop it.

    Raises:
        ConfigError: Something in the settings can't be used.
    """
    _check_readable(settings)
    who = Anyone() if settings.token_file is None else TokenFile(settings.token_file)
    credentials = _credentials(settings)
    with _locked(settings.data_dir):
        async with opened(settings.data_dir / STORE_FILE) as store:
            server = grpc.aio.server(options=_OPTIONS)
            service = RecordService(store, who, clock or SystemClock(), version=__version__)
            pb_grpc.add_RecordServiceServicer_to_server(service, server)
            health = await _add_health(server)
            address = _bind(server, settings.listen, credentials)
            await server.start()
            try:
                yield Aggregator(address, store)
            finally:
                await health.enter_graceful_shutdown()
                await server.stop(settings.drain_s)


async def _add_health(server: grpc.aio.Server) -> HealthServicer:
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for name in ("", _SERVICE):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    names = (_SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
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
    for name in ("token_file", "tls_cert", "tls_key"):
        path: Path | None = getattr(settings, name)
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            what = f"{path} can't be read: {error.strerror}"
            problems.append(Problem(f"REMORA_AGGREGATOR_{name.upper()}", what))
    if problems:
        raise ConfigError(problems)


def _credentials(settings: AggregatorSettings) -> grpc.ServerCredentials | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    _check_pair(settings.tls_cert, settings.tls_key)
    pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
    return grpc.ssl_server_credentials([pair])


def _check_pair(certificate: Path, key: Path) -> None:
    """Have Python's own TLS read the files: gRPC would only say that it can't listen."""
    try:
        # A password keeps an encrypted key from asking for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        what = f"{certificate} and {key} are no certificate and its unencrypted key: {reason}"
        raise ConfigError([Problem("REMORA_AGGREGATOR_TLS_CERT", what)]) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a data directory for one aggregator."""
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
