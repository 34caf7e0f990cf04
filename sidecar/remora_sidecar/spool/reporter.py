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
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.grpc_peer import Target, explained, is_reason_lost
from remora_sidecar.pauses import GrowingPause, Sleep, first_of
from remora_sidecar.spool.delivery import Delivery, DeliveryLimits, report_call
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
        self._clock = clock
        self._limits = limits or DeliveryLimits()
        self._sleep = sleep
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()
        self._next_pause = GrowingPause(jitter)
        self._listen_first = False

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
            return False
        finally:
            self._hurry.clear()
        return True

    # What a delivery tells.

    def answered(self, version: str) -> None:
        """The stream works."""
        if not self.connected:
            logger.info("reporting to %s", self._target.address)
        self.connected = True
        self.problem = ""
        self.aggregator_version = version or self.aggregator_version
        self._next_pause.begin_anew()

    def delivered(self, records: int) -> None:
        """So many more records are the aggregator's."""
        self.delivered_total += records
        self._moved.set()

    async def _stream(self) -> None:
        async with self._target.aio_channel() as channel:
            call = report_call(channel)
            delivery = Delivery(
                self._spool,
                call,
                self,
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
        if problem != self.problem:
            logger.warning("%s; they wait in the spool", problem)
        self.problem = problem

    async def _pause(self) -> None:
        pause_s = self._next_pause.next_s()
        if self._hurry.is_set():
            await self._sleep(min(pause_s, _HURRIED_PAUSE_S))
        else:
            await first_of(self._hurry.wait(), self._sleep(pause_s))
