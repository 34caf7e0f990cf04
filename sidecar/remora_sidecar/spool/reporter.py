"""Delivers what is spooled to the aggregator, for as long as the sidecar runs.

It connects, hands the stream to a `Delivery`, and connects again with growing pauses when
the stream ends, for whatever reason. The sidecar starts `Reporter.run` as one task and calls
`flush` when it stops. Calls never wait for it.
"""

import asyncio
import logging
import random
from collections.abc import Callable

import grpc

from remora.clock import Clock
from remora.errors import RemoraError
from remora.pauses import GrowingPause, Sleep, first_of
from remora.records import Origin
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.grpc_peer import Target, explained, is_reason_lost
from remora_sidecar.spool.delivery import Delivery, DeliveryLimits, report_call
from remora_sidecar.spool.own_state import OwnState, PolicyInForce, no_policy
from remora_sidecar.spool.spool import Spool

logger = logging.getLogger(__name__)

_HURRIED_PAUSE_S = 0.2
"""Between tries while someone waits in `Reporter.flush`."""

_MEANINGS = {
    grpc.StatusCode.PERMISSION_DENIED: "this sidecar may not report to it",
    grpc.StatusCode.UNIMPLEMENTED: "it takes no reports: another program, or another version",
}


class Reporter:
    """Delivers the spool's records over Report streams.

    Attributes:
        connected: Whether the aggregator answers on an open stream.
        aggregator_version: What it said of itself last.
        problem: Why records are not being delivered; empty if they are.
        delivered_total: Records acknowledged.
    """

    def __init__(
        self,
        spool: Spool,
        target: Target,
        *,
        pod_uid: str,
        sidecar_version: str,
        origin: Origin | None = None,
        policy: PolicyInForce = no_policy,
        clock: Clock,
        limits: DeliveryLimits | None = None,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the spool and the target; nothing is dialled before `run`.

        Args:
            spool: Where records wait.
            target: Where they go.
            pod_uid: The pod's uid or the installation's id, for the greeting.
            sidecar_version: For the greeting.
            origin: Where the sidecar runs, for the greeting.
            policy: Which one is in force, for what it says of itself now and then.
            clock: Tells how long the aggregator has been silent.
            limits: Bounds of one stream.
            sleep: How to wait, for pauses and the watch on a silent aggregator.
            jitter: Between 0 and 1: which part of a pause is taken from it.
        """
        self.connected = False
        self.aggregator_version = ""
        self.problem = "not connected yet"
        self.delivered_total = 0
        self._spool = spool
        self._target = target
        self._hello = pb.ReportRequest.Hello(pod_uid=pod_uid, sidecar_version=sidecar_version)
        if origin is not None:
            self._hello.pod_name = origin.pod_name
            self._hello.workload = origin.workload
            self._hello.node = origin.node
        self._policy = policy
        self._clock = clock
        self._limits = limits or DeliveryLimits()
        self._sleep = sleep
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()
        self._next_pause = GrowingPause(jitter)
        self._listen_first = False
        self._has_worked = False
        self._told = ""

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self._stream()
                self._failed("it ended the stream")
            except grpc.aio.AioRpcError as error:
                self._listen_first = is_reason_lost(error)
                self._failed(explained(error, _MEANINGS))
            except (OSError, RemoraError) as error:
                self._failed(str(error))
            finally:
                self.connected = False
                self._spool.rewind()
            await self._pause()

    async def flush(self, timeout_s: float) -> bool:
        """Deliver what is spooled without lingering, while `run` goes on.

        Returns:
            Whether everything was delivered in time.
        """
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                while self._spool.depth:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            left, whom = self._spool.depth, self._target.address
            logger.warning("%d records stay in the spool: %s did not take them in time", left, whom)
            return False
        finally:
            self._hurry.clear()
        return True

    async def caught_up(self, timeout_s: float) -> bool:
        """Wait until what is spooled now is delivered, or nobody takes it.

        Returns:
            Whether all of it was delivered in time.
        """
        goal = self.delivered_total + self._spool.depth
        try:
            async with asyncio.timeout(timeout_s):
                while self.connected and self._spool.depth and self.delivered_total < goal:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return not self._spool.depth or self.delivered_total >= goal

    # What a delivery tells.

    def answered(self, version: str) -> None:
        """The stream stands; whether it takes what waits is not known yet."""
        self.connected = True
        self.problem = ""
        self.aggregator_version = version or self.aggregator_version
        if not self._spool.depth:
            self._works()

    def delivered(self, records: int) -> None:
        """So many more records are the aggregator's."""
        self.delivered_total += records
        self._moved.set()
        if records:
            self._works()

    def _works(self) -> None:
        """Begin with short pauses the next time: an answer alone does not say that it takes any."""
        if not self._has_worked:
            logger.info("reporting to %s", self._target.address)
        self._has_worked = True
        self._told = ""
        self._next_pause.begin_anew()

    async def _stream(self) -> None:
        async with self._target.aio_channel() as channel:
            call = report_call(channel)
            delivery = Delivery(
                self._spool,
                call,
                self,
                state=OwnState(self._spool, self._clock, self._policy, self._limits.state_s),
                limits=self._limits,
                clock=self._clock,
                sleep=self._sleep,
                hurry=self._hurry,
            )
            try:
                await delivery.run(self._hello, listen_first=self._listen_first)
            finally:
                call.cancel()

    def _failed(self, why: str) -> None:
        problem = f"the aggregator at {self._target.address} takes no records: {why}"
        if problem != self._told:
            logger.warning("%s; they wait in the spool", problem)
        self._told = self.problem = problem
        self._has_worked = False

    async def _pause(self) -> None:
        pause_s = self._next_pause.next_s()
        if self._hurry.is_set():
            await self._sleep(min(pause_s, _HURRIED_PAUSE_S))
        else:
            await first_of(self._hurry.wait(), self._sleep(pause_s))
