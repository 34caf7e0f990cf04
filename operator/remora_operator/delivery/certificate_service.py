"""CertificateService: signs the intermediates of running pods' sidecars."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography.hazmat.primitives.serialization import Encoding

from remora.clock import Clock
from remora.errors import BadRequest, ConfigError, Problem
from remora_operator.ca.certificates import RandomBytes
from remora_operator.ca.intermediate import INTERMEDIATE_LIFE, Intermediate, sign_intermediates
from remora_operator.ca.renewal import renew_after
from remora_operator.ca.request import requested_key
from remora_operator.ca.rotation import Rotation
from remora_operator.ca.trust_bundle import roots_version
from remora_operator.delivery.call_errors import errors_as_status
from remora_operator.delivery.pod_identity import Identities, PodIdentity
from remora_operator.delivery.signing_rate import SigningRate
from remora_proto.v1 import certificates_pb2 as pb
from remora_proto.v1 import certificates_pb2_grpc as pb_grpc

logger = logging.getLogger(__name__)

HostsOf = Callable[[PodIdentity], Sequence[str]]
"""Gives the hosts of a pod's policy, as `remora.providers.certificate_hosts` writes them; raises
Unavailable while the pod's policy is not known."""

type Context = grpc.aio.ServicerContext[Any, Any]


class CertificateService(pb_grpc.CertificateServiceServicer):
    """Signs with the interception CA for whoever the cluster says is asking."""

    def __init__(
        self,
        identities: Identities,
        hosts_of: HostsOf,
        rotation: Callable[[], Rotation],
        clock: Clock,
        *,
        version: str,
        rate: SigningRate | None = None,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        """Take who tells pods apart, what is permitted to them, and what signs.

        Args:
            identities: Tell who asks.
            hosts_of: Gives a pod's hosts.
            rotation: Gives the interception CA as it stands now.
            clock: By its wall clock certificates begin and end.
            version: Of this operator.
            rate: How often one pod may ask.
            random_bytes: For serial numbers.
        """
        self._identities = identities
        self._hosts_of = hosts_of
        self._rotation = rotation
        self._clock = clock
        self._version = version
        self._rate = rate or SigningRate()
        self._random_bytes = random_bytes

    async def Sign(self, request: pb.SignRequest, context: Context) -> pb.SignResponse:  # noqa: N802 - gRPC's name
        """Sign the key of a request for the hosts of the caller's policy."""
        async with errors_as_status(context, "a certificate could not be signed"):
            who = await self._identities.identify(context.invocation_metadata() or ())
            self._check_rate(who)
            hosts, rotation = tuple(self._hosts_of(who)), self._rotation()
            return await asyncio.to_thread(self._signed, who, request, hosts, rotation)
        raise AssertionError("the context ends the call")  # pragma: no cover

    def _check_rate(self, who: PodIdentity) -> None:
        wait_s = self._rate.wait_s(who.pod_uid, self._clock.monotonic_s())
        if wait_s:
            raise BadRequest(
                f"{who} asked for too many certificates; there is one more in {wait_s:.0f} s",
                status=429,
            )

    def _signed(
        self, who: PodIdentity, request: pb.SignRequest, hosts: Sequence[str], rotation: Rotation
    ) -> pb.SignResponse:
        key = requested_key(request.certificate_request)
        now = datetime.fromtimestamp(self._clock.now_unix_ns() // 1_000_000_000, UTC)
        if rotation.signer.end <= now:
            raise ConfigError([_expired(rotation)])
        made = sign_intermediates(
            key, hosts, rotation.signer, now, self._random_bytes, holder=who.namespace
        )
        end = min(now + INTERMEDIATE_LIFE, rotation.signer.end)
        logger.info("signed for %s: %d hosts, until %s", who, len(hosts), end.isoformat())
        return _response(made, rotation, end, now, hosts, self._version)


def _expired(rotation: Rotation) -> Problem:
    end = rotation.signer.end
    return Problem("the operator's CA", f"expired at {end:%Y-%m-%d %H:%M} UTC: rotate it")


def _response(
    made: Sequence[Intermediate],
    rotation: Rotation,
    end: datetime,
    now: datetime,
    hosts: Sequence[str],
    version: str,
) -> pb.SignResponse:
    return pb.SignResponse(
        intermediates=[
            pb.SignResponse.Intermediate(
                certificate=one.certificate.public_bytes(Encoding.DER),
                permitted_names=one.constraints,
            )
            for one in made
        ],
        links=[link.public_bytes(Encoding.DER) for link in rotation.links],
        roots=[root.public_bytes(Encoding.DER) for root in rotation.roots],
        roots_version=roots_version(rotation.roots),
        not_after_unix_nano=int(end.timestamp()) * 1_000_000_000,
        renew_after_s=renew_after(end, now) / timedelta(seconds=1),
        permitted_hosts=hosts,
        operator_version=version,
    )
