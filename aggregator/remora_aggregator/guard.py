"""Builds what stands in front of every service: who comes in, how much, what is written down."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc

from remora.clock import Clock
from remora_aggregator.descriptors import room_for
from remora_aggregator.service.api_server import connected
from remora_aggregator.service.audit import AuditSink
from remora_aggregator.service.entrance import Entrance, EntranceRates
from remora_aggregator.service.flight import Flight
from remora_aggregator.service.gate import Gate
from remora_aggregator.service.identity import Anyone, Authenticator, Identities
from remora_aggregator.service.pod_tokens import PodTokens
from remora_aggregator.service.token_file import TokenFile
from remora_aggregator.serving_certificate import CertificateFiles, ServingCertificate
from remora_aggregator.settings import AggregatorSettings

_MAX_MESSAGE_BYTES: Final = 160 * 1024 * 1024
"""A record may carry two captured bodies of up to 64 MiB."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands in front of the services.

    Attributes:
        entrance: Lets callers in, for gRPC and HTTP alike.
        gate: Has gRPC ask the entrance.
    """

    entrance: Entrance
    gate: Gate


@asynccontextmanager
async def guarding(
    settings: AggregatorSettings, clock: Clock, audit: AuditSink
) -> AsyncIterator[Guard]:
    """Build the guard that settings ask for, and keep it as long as it is needed.

    Args:
        settings: Say who comes in, and how much.
        clock: Tells when.
        audit: Keeps what admins do.

    Raises:
        ConfigError: A file can't be used.
    """
    async with AsyncExitStack() as stack:
        who = await _who(settings, clock, stack)
        rates = EntranceRates(
            messages=settings.messages_per_s,
            records=settings.records_per_s,
            bytes=settings.bytes_per_s,
            queries=settings.queries_per_s,
        )
        entrance = Entrance(who, rates.limits, clock, calls_each=settings.calls_each)
        gate = Gate(entrance, Flight(settings.bytes_in_flight), audit, clock)
        yield Guard(entrance, gate)


async def _who(settings: AggregatorSettings, clock: Clock, stack: AsyncExitStack) -> Authenticator:
    if settings.is_open:
        return Anyone()
    tokens = None if settings.token_file is None else TokenFile(settings.token_file)
    pods = None
    if settings.kubernetes_api is not None:
        is_plain = settings.kubernetes_api.startswith("http://")
        api = await stack.enter_async_context(
            connected(
                settings.kubernetes_api,
                token_file=settings.kubernetes_token_file,
                ca_file=None if is_plain else settings.kubernetes_ca,
            )
        )
        pods = PodTokens(api, clock)
        stack.push_async_callback(pods.aclose)
    return Identities(tokens, pods, certificates=settings.client_ca is not None)


def credentials_of(settings: AggregatorSettings) -> grpc.ServerCredentials | None:
    """Make what gRPC listens with; None: in the clear.

    Raises:
        ConfigError: The certificate can't be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    files = CertificateFiles(settings.tls_cert, settings.tls_key, settings.client_ca)
    return ServingCertificate(files).credentials()


def server_options(settings: AggregatorSettings) -> tuple[tuple[str, int], ...]:
    """Give gRPC's own bounds: what it keeps from us altogether."""
    return (
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        # A compressed message is expanded before anybody looks how large that makes it.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.max_concurrent_streams", settings.calls_a_connection),
        ("grpc.max_allowed_incoming_connections", room_for(settings.connections)),
        ("grpc.server_handshake_timeout_ms", 20_000),
        # Without a call on it; sidecars hold streams open for hours.
        ("grpc.max_connection_idle_ms", 900_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 60_000),
        ("grpc.keepalive_time_ms", 330_000),
        # A second server must not share the port unnoticed.
        ("grpc.so_reuseport", 0),
    )
