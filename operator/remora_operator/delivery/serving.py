"""The gRPC server for sidecars, over TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from remora.errors import ConfigError, Problem
from remora_operator.delivery.certificate_service import CertificateService
from remora_operator.delivery.policy_service import PolicyService
from remora_proto.v1 import certificates_pb2, certificates_pb2_grpc, policy_pb2, policy_pb2_grpc

_NAMES: Final = (
    policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name,
    certificates_pb2.DESCRIPTOR.services_by_name["CertificateService"].full_name,
)

_OPTIONS: Final = (
    # What sidecars send is small: a version, a refusal's problems, a certificate request.
    ("grpc.max_receive_message_length", 1024 * 1024),
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # A second replica must not listen on the same port unseen.
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, slots=True)
class Services:
    """What is served."""

    policies: PolicyService
    certificates: CertificateService


@asynccontextmanager
async def serving_grpc(
    listen: str, credentials: grpc.ServerCredentials, services: Services, *, drain_s: float
) -> AsyncIterator[str]:
    """Serve until the context ends; gives the address, with the port that was found for port 0.

    Args:
        listen: ``host:port``.
        credentials: Of TLS.
        services: What is served.
        drain_s: Seconds that calls under way get at the end.

    Raises:
        ConfigError: The address can't be listened on.
    """
    server = grpc.aio.server(options=_OPTIONS)
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(services.policies, server)
    certificates_pb2_grpc.add_CertificateServiceServicer_to_server(services.certificates, server)
    health = await _add_health(server)
    port = _bound(server, listen, credentials)
    await server.start()
    try:
        yield f"{listen.rpartition(':')[0]}:{port}"
    finally:
        await health.enter_graceful_shutdown()
        services.policies.stop()
        await server.stop(drain_s)


def _bound(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials) -> int:
    try:
        return server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        what = f"{listen} can't be listened on"
        raise ConfigError([Problem("REMORA_OPERATOR_GRPC_LISTEN", what)]) from error


async def _add_health(server: grpc.aio.Server) -> HealthServicer:
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for name in ("", *_NAMES):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    names = (*_NAMES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)
    return health
