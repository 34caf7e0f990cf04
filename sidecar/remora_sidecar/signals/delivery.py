"""Delivers signals that wait to the aggregator, for as long as the sidecar runs.

A signal leaves the outbox once the aggregator has said that it is stored, or that it never will
be. What goes wrong is tried again with growing pauses; nothing waits for it.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from remora.clock import Clock
from remora.errors import RemoraError, Unavailable
from remora.pauses import GrowingPause, Sleep, first_of
from remora_proto.v1 import signals_pb2 as pb
from remora_proto.v1 import signals_pb2_grpc as pb_grpc
from remora_sidecar.grpc_peer import Target, explained
from remora_sidecar.signals.outbox import Outbox
from remora_sidecar.signals.outbox_table import WaitingSignal

logger = logging.getLogger(__name__)

BATCH_SIGNALS: Final = 500
BATCH_BYTES: Final = 1024 * 1024
ANSWER_S: Final = 20.0
CHANNEL_S: Final = 600.0
"""A channel goes by the token that it was opened with; kubelets renew theirs sooner."""
OLD_VERSION_PAUSE_S: Final = 60.0
"""Before an aggregator that takes no signals is asked again: a newer one may have replaced it."""
_HURRIED_PAUSE_S = 0.2
_MOST_TOLD = 100

_MEANINGS = {
    grpc.StatusCode.PERMISSION_DENIED: "this sidecar may not send it signals",
    grpc.StatusCode.UNIMPLEMENTED: "it takes no signals: another program, or an older version",
}
_UNFIT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Of a request, not of the server: a smaller one may be taken."""


class SignalDelivery:
    """Hands the outbox's signals to `SignalService`.

    Attributes:
        problem: Why signals are not being delivered; empty if they are.
        delivered_total: Signals that the aggregator keeps.
        refused_total: Signals that it never takes.
    """

    def __init__(
        self,
        outbox: Outbox,
        target: Target,
        *,
        keeps_text: Callable[[], bool],
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take where signals wait and where they go; nothing is dialled before `run`.

        Args:
            outbox: Where they wait.
            target: Where they go.
            keeps_text: Whether policy lets what users wrote leave the pod, by now.
            clock: Tells how old a channel is.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
        """
        self.problem = ""
        self.delivered_total = self.refused_total = 0
        self._outbox = outbox
        self._target = target
        self._keeps_text = keeps_text
        self._clock = clock
        self._sleep = sleep
        self._next_pause = GrowingPause(jitter)
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()
        self._most = BATCH_SIGNALS
        self._told: set[str] = set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            pause_s = await self._by_one_channel()
            if pause_s is not None:
                await self._pause(pause_s)

    async def flush(self, timeout_s: float) -> bool:
        """Deliver what waits without lingering, while `run` goes on.

        Returns:
            Whether everything was delivered in time.
        """
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                while await self._outbox.batch(1, 1):
                    self._moved.clear()
                    await self._moved.wait()
        except (TimeoutError, Unavailable):
            left, whom = self._outbox.waiting, self._target.address
            logger.warning("%d signals stay in the outbox: %s did not take them", left, whom)
            return False
        finally:
            self._hurry.clear()
        return True

    async def _by_one_channel(self) -> float | None:
        """Deliver until something goes wrong or the channel is old; say how long to wait then."""
        try:
            await self._until_something_waits()
            async with self._target.aio_channel() as channel:
                await self._deliver(pb_grpc.SignalServiceStub(channel))
            return None
        except grpc.aio.AioRpcError as error:
            self._failed(explained(error, _MEANINGS))
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return OLD_VERSION_PAUSE_S
        except Unavailable:
            pass  # the outbox itself, which has said so
        except (OSError, RemoraError) as error:
            self._failed(str(error))
        return self._next_pause.next_s()

    async def _until_something_waits(self) -> None:
        while not await self._next_batch():
            await self._outbox.arrived.wait()

    async def _next_batch(self) -> list[WaitingSignal]:
        self._outbox.arrived.clear()
        return await self._outbox.batch(self._most, BATCH_BYTES)

    async def _deliver(self, stub: "pb_grpc.SignalServiceAsyncStub") -> None:
        old_at_s = self._clock.monotonic_s() + CHANNEL_S
        while (left_s := old_at_s - self._clock.monotonic_s()) > 0:
            if batch := await self._next_batch():
                await self._send(stub, batch)
            else:
                await first_of(self._outbox.arrived.wait(), self._sleep(left_s))

    async def _send(
        self, stub: "pb_grpc.SignalServiceAsyncStub", batch: Sequence[WaitingSignal]
    ) -> None:
        request = pb.SendSignalsRequest(signals=map(self._message, batch))
        try:
            answer = await stub.Send(request, timeout=ANSWER_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _UNFIT:
                raise
            await self._unfit(batch, error)
            return
        self._refused([refusal.reason for refusal in answer.refused])
        self.delivered_total += len(batch) - len(answer.refused)
        await self._went(batch)
        self._most = min(self._most * 2, BATCH_SIGNALS)

    async def _unfit(self, batch: Sequence[WaitingSignal], error: grpc.aio.AioRpcError) -> None:
        """Send less at once, until the one that is to blame is alone, and goes."""
        if len(batch) > 1:
            self._most = len(batch) // 2
        elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise error
        else:
            self._refused([explained(error, _MEANINGS)])
            await self._went(batch)

    async def _went(self, batch: Sequence[WaitingSignal]) -> None:
        await self._outbox.forget(batch)
        self._next_pause.begin_anew()
        if self.problem:
            logger.warning("the aggregator at %s takes signals again", self._target.address)
        self.problem = ""
        self._moved.set()

    def _message(self, waiting: WaitingSignal) -> pb.Signal:
        try:
            signal = pb.Signal.FromString(waiting.message)
        except DecodeError:  # the aggregator refuses it, and it goes
            return pb.Signal()
        if signal.text and not self._keeps_text():
            signal.ClearField("text")
        return signal

    def _refused(self, reasons: Sequence[str]) -> None:
        self.refused_total += len(reasons)
        for reason in reasons:
            if reason not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(reason)
                whom = self._target.address
                logger.warning("the aggregator at %s refuses signals: %s", whom, reason)

    def _failed(self, why: str) -> None:
        problem = f"the aggregator at {self._target.address} takes no signals: {why}"
        if problem != self.problem:
            logger.warning("%s; they wait in the outbox", problem)
        self.problem = problem

    async def _pause(self, pause_s: float) -> None:
        if self._hurry.is_set():
            await self._sleep(min(pause_s, _HURRIED_PAUSE_S))
        else:
            await first_of(self._hurry.wait(), self._sleep(pause_s))
