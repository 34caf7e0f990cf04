"""The operator's policies, taken as they come, for as long as the sidecar runs.

It connects, greets with the version in force, answers every document with what became of it, and
connects again with growing pauses when the stream ends, for whatever reason. Calls never wait for
it, and while the operator is away the last good policy goes on.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import grpc

from remora.errors import ConfigError, RemoraError
from remora.pauses import GrowingPause, Sleep
from remora_proto.v1 import policy_pb2 as pb
from remora_proto.v1 import policy_pb2_grpc as pb_grpc
from remora_sidecar.grpc_peer import Target, explained, is_reason_lost

logger = logging.getLogger(__name__)

type Call = grpc.aio.StreamStreamCall[pb.WatchPolicyRequest, pb.WatchPolicyResponse]

_LISTEN_S = 1.0
"""Before the greeting, where the last stream ended in it without saying why."""

_MEANINGS = {
    grpc.StatusCode.PERMISSION_DENIED: "this sidecar may not ask it",
    grpc.StatusCode.UNIMPLEMENTED: "it has no policies: another program, or another version",
}


class Taker(Protocol):
    """Who puts policies in force."""

    @property
    def version(self) -> str:
        """Version of the policy in force; empty where there is none yet."""
        ...

    async def take_document(self, document: bytes, version: str) -> None:
        """Put a document in force whole; raises ConfigError and changes nothing otherwise."""
        ...

    def confirmed(self) -> None:
        """The policy in force is what its origin wants."""
        ...


@dataclass(frozen=True)
class PodHints:
    """What the greeting says of the pod, for people."""

    namespace: str
    pod_name: str
    pod_uid: str
    sidecar_version: str


class PolicyWatch:
    """Takes policies over Watch streams.

    Attributes:
        connected: Whether the operator answers on an open stream.
        operator_version: What it said of itself last.
        problem: Why no policies come; empty if they do.
        refusal: Why the newest document is not in force; empty if it is.
        refused_total: Documents that were refused.
    """

    origin = "operator"

    def __init__(
        self,
        target: Target,
        hints: PodHints,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take where the operator is; nothing is dialled before `run`.

        Args:
            target: Whom to ask.
            hints: For the greeting.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
        """
        self.connected = False
        self.operator_version = ""
        self.problem = f"the operator at {target.address} was not reached yet"
        self.refusal = ""
        self.refused_total = 0
        self._target = target
        self._hints = hints
        self._sleep = sleep
        self._next_pause = GrowingPause(jitter)
        self._listen_first = False

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should look at."""
        return tuple(filter(None, (self.problem, self.refusal)))

    async def run(self, taker: Taker) -> None:
        """Take policies until cancelled."""
        while True:
            try:
                await self._stream(taker)
                self._failed("it ended the stream")
            except grpc.aio.AioRpcError as error:
                self._listen_first = is_reason_lost(error)
                self._failed(explained(error, _MEANINGS))
            except (OSError, RemoraError) as error:
                self._failed(str(error))
            finally:
                self.connected = False
            await self._sleep(self._next_pause.next_s())

    async def _stream(self, taker: Taker) -> None:
        async with self._target.aio_channel() as channel:
            call: Call = pb_grpc.PolicyServiceStub(channel).Watch()  # type: ignore[call-arg]  # written to by hand, which the stubs do not know
            try:
                if self._listen_first:
                    await self._sleep(_LISTEN_S)
                await _write(call, self._hello(taker.version))
                while isinstance(response := await call.read(), pb.WatchPolicyResponse):
                    self._answered(response.operator_version)
                    await _write(call, await self._outcome(response, taker))
            finally:
                call.cancel()

    def _hello(self, version: str) -> pb.WatchPolicyRequest:
        hints = self._hints
        return pb.WatchPolicyRequest(
            hello=pb.WatchPolicyRequest.Hello(
                namespace=hints.namespace,
                pod_name=hints.pod_name,
                pod_uid=hints.pod_uid,
                sidecar_version=hints.sidecar_version,
                version=version,
            )
        )

    def _answered(self, version: str) -> None:
        if not self.connected:
            logger.info("policies come from %s", self._target.address)
        self.connected = True
        self.problem = ""
        self.operator_version = version or self.operator_version
        self._next_pause.begin_anew()

    async def _outcome(
        self, response: pb.WatchPolicyResponse, taker: Taker
    ) -> pb.WatchPolicyRequest:
        """Take a document, and say what became of it."""
        version = response.version
        try:
            if response.document or version != taker.version:
                await taker.take_document(response.document, version)
        except ConfigError as error:
            self._refused(version, error)
            return pb.WatchPolicyRequest(refused=_refusal(version, error))
        taker.confirmed()
        self.refusal = ""
        return pb.WatchPolicyRequest(applied=pb.WatchPolicyRequest.Applied(version=version))

    def _refused(self, version: str, error: ConfigError) -> None:
        said = "; ".join(map(str, error.problems))
        self.refused_total += 1
        self.refusal = (
            f"the operator's policy of version {version} can't be used, "
            f"the last good one stays: {said}"
        )
        logger.error("%s", self.refusal)

    def _failed(self, why: str) -> None:
        problem = f"the operator at {self._target.address} sends no policies: {why}"
        if problem != self.problem:
            logger.warning("%s; the last good one stays", problem)
        self.problem = problem


async def _write(call: Call, request: pb.WatchPolicyRequest) -> None:
    """Send, unless the stream is over: the next read then says why."""
    if not call.done():
        await call.write(request)


def _refusal(version: str, error: ConfigError) -> pb.WatchPolicyRequest.Refused:
    problems = [
        pb.WatchPolicyRequest.Problem(field_path=problem.where, reason=problem.what)
        for problem in error.problems
    ]
    return pb.WatchPolicyRequest.Refused(version=version, problems=problems)
