"""The certificates that this sidecar serves with, asked of the operator for as long as it runs.

Each time a new P-256 key is made in memory, and the operator signs CAs for the hosts of the pod's
policy. They are asked for again at half of their life, a little earlier than the operator says so
that not all pods come at once, and at once where policy has a host more. While the operator is
away the last ones go on until they end.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from remora import __version__
from remora.clock import Clock
from remora.errors import RemoraError
from remora.pauses import GrowingPause, Sleep, first_of
from remora_proto.v1 import certificates_pb2 as pb
from remora_proto.v1 import certificates_pb2_grpc as pb_grpc
from remora_sidecar.grpc_peer import Target, explained
from remora_sidecar.interceptor.issued import Issued, certificate_request, read_issued, utc
from remora_sidecar.interceptor.issued_authority import IssuedAuthority, new_key

logger = logging.getLogger(__name__)

_ANSWER_S = 10.0
_LOOK_S = 60.0
"""How often the wall clock is looked at: a machine that slept does not notice otherwise."""

_GRAIN_S = 0.001

_LEAST_S = 1.0
"""Between two certificates, whatever the operator says of their renewal."""

_EARLY = 0.2
"""Which part of the time until renewal is left to chance."""

_UNCOVERED_S = 600.0
"""What pauses grow to where the operator signs, but not for every host of the policy."""

_NANOSECONDS = 1_000_000_000

_MEANINGS = {
    grpc.StatusCode.PERMISSION_DENIED: "it does not sign for this pod",
    grpc.StatusCode.UNIMPLEMENTED: "it signs none: another program, or another version",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "it was asked too often",
    grpc.StatusCode.FAILED_PRECONDITION: "it can't sign",
}


class CertificateClient:
    """Keeps one authority supplied.

    Attributes:
        authority: Signs with what came last.
        renewals_total: Times that the operator signed.
        failures_total: Times that it was asked in vain.
        roots_changed: Set whenever agents have to trust other roots than before.
    """

    def __init__(
        self,
        target: Target,
        clock: Clock,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        make_key: Callable[[], ec.EllipticCurvePrivateKey] = new_key,
    ) -> None:
        """Take where the operator is; nothing is dialled before `run`.

        Args:
            target: Whom to ask.
            clock: By its wall clock certificates end.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
            make_key: Makes the key of each certificate.
        """
        self.authority = IssuedAuthority(clock)
        self.renewals_total = 0
        self.failures_total = 0
        self.roots_changed = asyncio.Event()
        self._target = target
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._make_key = make_key
        self._failure = "it was not reached yet"
        self._hosts: tuple[str, ...] = ()
        self._renew_at_s = 0.0
        self._renew_at_unix_ns = 0
        self._pause = GrowingPause(jitter)
        self._uncovered_pause = GrowingPause(jitter, longest_s=_UNCOVERED_S)
        self._wake = asyncio.Event()
        self._first = asyncio.Event()
        self._tried = asyncio.Event()

    @property
    def not_after_unix_s(self) -> float | None:
        """When the certificates in use end; None before the first."""
        issued = self.authority.issued
        return None if issued is None else issued.end.timestamp()

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should look at."""
        if self._failure:
            return (f"{self._said(self._failure)}; {self._meanwhile()}",)
        missing = self._missing()
        if missing and self.authority.issued is not None:
            return (f"the certificate of this pod is not good yet for {', '.join(missing[:5])}",)
        return ()

    async def first(self) -> None:
        """Wait until there is something to sign with, however long."""
        await self._first.wait()

    async def cover(self, hosts: Iterable[str], *, within_s: float) -> None:
        """Have certificates for hosts of a policy that is about to hold.

        Args:
            hosts: Exact names and ``*.`` names.
            within_s: How long to wait for them; they are asked for further on all the same.
        """
        self._hosts = tuple(hosts)
        if not self._missing():
            return
        self._wake.set()
        await first_of(self._covered(), self._sleep(within_s))

    async def run(self) -> None:
        """Ask, and ask again in time, until cancelled."""
        try:
            await self._keep_supplied()
        finally:
            self._failure = "it is not asked any more, the log says why: restart the sidecar"

    async def _keep_supplied(self) -> None:
        while True:
            self._wake.clear()
            is_done = await self._try()
            tried, self._tried = self._tried, asyncio.Event()
            tried.set()
            if is_done:
                await self._until_due()
            else:
                await first_of(self._wake.wait(), self._sleep(self._pause.next_s()))

    async def _try(self) -> bool:
        asked_s = self._clock.monotonic_s()
        try:
            issued, renew_after_s = await self._ask()
        except grpc.aio.AioRpcError as error:
            self._failed(explained(error, _MEANINGS))
            return False
        except (OSError, RemoraError) as error:
            self._failed(str(error))
            return False
        self._install(issued, asked_s, renew_after_s)
        return True

    async def _ask(self) -> tuple[Issued, float]:
        key = self._make_key()
        request = pb.SignRequest(
            certificate_request=certificate_request(key), sidecar_version=__version__
        )
        async with self._target.aio_channel() as channel:
            stub: pb_grpc.CertificateServiceAsyncStub = pb_grpc.CertificateServiceStub(channel)
            answer = await stub.Sign(request, timeout=_ANSWER_S)
        now = utc(self._clock.now_unix_ns())
        intermediates = [one.certificate for one in answer.intermediates]
        return read_issued(
            key, intermediates, answer.links, answer.roots, now
        ), answer.renew_after_s

    def _install(self, issued: Issued, asked_s: float, renew_after_s: float) -> None:
        if issued.roots_pem != self.authority.root_pem:
            self.roots_changed.set()
        self.authority.install(issued)
        self.renewals_total += 1
        self._pause.begin_anew()
        self._plan(issued, asked_s, max(_LEAST_S, renew_after_s))
        if self._failure:
            logger.info("%s signs this pod's certificates", self._target.address)
        self._failure = ""
        self._first.set()

    def _plan(self, issued: Issued, asked_s: float, renew_after_s: float) -> None:
        """Say when to ask again: by the monotonic clock, or by the wall's where that ran ahead."""
        early_s = renew_after_s * _EARLY * self._jitter()
        self._renew_at_s = asked_s + renew_after_s - early_s
        end_unix_ns = int(issued.end.timestamp()) * _NANOSECONDS
        self._renew_at_unix_ns = end_unix_ns - int(renew_after_s * _NANOSECONDS)
        if self._renew_at_unix_ns <= self._clock.now_unix_ns():  # this node's clock is not theirs
            self._renew_at_unix_ns = end_unix_ns
        if self._missing():
            self._renew_at_s = min(self._renew_at_s, asked_s + self._uncovered_pause.next_s())
        else:
            self._uncovered_pause.begin_anew()

    async def _until_due(self) -> None:
        while not self._wake.is_set():
            left_s = self._renew_at_s - self._clock.monotonic_s()
            if left_s < _GRAIN_S or self._clock.now_unix_ns() >= self._renew_at_unix_ns:
                return
            await first_of(self._wake.wait(), self._sleep(min(left_s, _LOOK_S)))

    async def _covered(self) -> None:
        while self._missing():
            await self._tried.wait()

    def _missing(self) -> list[str]:
        return [host for host in self._hosts if not self.authority.may_sign(host)]

    def _failed(self, why: str) -> None:
        self.failures_total += 1
        if why != self._failure:
            logger.warning("%s; %s", self._said(why), self._meanwhile())
        self._failure = why

    def _said(self, why: str) -> str:
        return f"the operator at {self._target.address} signs no certificate: {why}"

    def _meanwhile(self) -> str:
        issued = self.authority.issued
        if issued is None:
            return "agents are not served until it does"
        end = f"{issued.end:%Y-%m-%d %H:%M} UTC"
        if utc(self._clock.now_unix_ns()) >= issued.end:
            return f"the last one expired at {end}: no call over TLS is carried"
        return f"the one in use is good until {end}"
