"""Delivers what waits in an outbox to the aggregator, for as long as the sidecar runs.

A thing leaves the outbox once the aggregator has said that it is stored, or that it never will
be. What goes wrong is tried again with growing pauses; nothing waits for it.
"""

import asyncio
import logging
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import grpc

from remora.clock import Clock
from remora.errors import RemoraError, Unavailable
from remora.pauses import GrowingPause, Sleep, first_of
from remora_sidecar.grpc_peer import Target, explained

logger = logging.getLogger(__name__)

BATCH_BYTES: Final = 1024 * 1024
ANSWER_S: Final = 20.0
CHANNEL_S: Final = 600.0
"""A channel goes by the token that it was opened with; kubelets renew theirs sooner."""
OLD_VERSION_PAUSE_S: Final = 60.0
"""Before an aggregator that does not know the question is asked again: a newer one may have
replaced it."""
_HURRIED_PAUSE_S = 0.2
_MOST_TOLD = 100

_UNFIT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Of a request, not of the server: a smaller one may be taken."""


class Queue[W](Protocol):
    """Where things wait.

    Attributes:
        arrived: Set when something came; whoever takes batches clears it.
        waiting: How many wait.
    """

    arrived: asyncio.Event
    waiting: int

    async def batch(self, limit: int, max_bytes: int) -> list[W]:
        """Read those that came first; raises Unavailable."""
        ...

    async def forget(self, gone: Sequence[W], /) -> None:
        """Remove some; raises Unavailable."""
        ...


class OutboxDelivery[W]:
    """Hands an outbox's things to a service of the aggregator.

    Attributes:
        problem: Why they are not being delivered; empty if they are.
        delivered_total: Things that the aggregator keeps.
        refused_total: Things that it never takes.
    """

    def __init__(
        self,
        outbox: Queue[W],
        target: Target,
        *,
        things: str,
        most: int,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        linger_s: float = 0.0,
    ) -> None:
        """Take where things wait and where they go; nothing is dialled before `run`.

        Args:
            outbox: Where they wait.
            target: Where they go.
            things: What they are called in messages, such as ``signals``.
            most: How many go at once.
            clock: Tells how old a channel is.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
            linger_s: How long to wait after a delivery, so that what changes often goes once.
        """
        self.problem = ""
        self.delivered_total = self.refused_total = 0
        self._outbox = outbox
        self._target = target
        self._things = things
        self._meanings: Mapping[grpc.StatusCode, str] = {
            grpc.StatusCode.PERMISSION_DENIED: f"this sidecar may not send it {things}",
            grpc.StatusCode.UNIMPLEMENTED: (
                f"it takes no {things}: another program, or an older version"
            ),
        }
        self._clock = clock
        self._sleep = sleep
        self._linger_s = linger_s
        self._next_pause = GrowingPause(jitter)
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()
        self._upper = self._most = most
        self._told: set[str] = set()

    @abstractmethod
    async def _sent(self, channel: grpc.aio.Channel, batch: Sequence[W]) -> Sequence[str]:
        """Send a batch; gives why some of it are refused. Raises grpc.aio.AioRpcError."""

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
            logger.warning(
                "%d %s stay in the outbox: %s did not take them", left, self._things, whom
            )
            return False
        finally:
            self._hurry.clear()
        return True

    async def _by_one_channel(self) -> float | None:
        """Deliver until something goes wrong or the channel is old; say how long to wait then."""
        try:
            await self._until_something_waits()
            async with self._target.aio_channel() as channel:
                await self._deliver(channel)
            return None
        except grpc.aio.AioRpcError as error:
            self._failed(explained(error, self._meanings))
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

    async def _next_batch(self) -> list[W]:
        self._outbox.arrived.clear()
        return await self._outbox.batch(self._most, BATCH_BYTES)

    async def _deliver(self, channel: grpc.aio.Channel) -> None:
        old_at_s = self._clock.monotonic_s() + CHANNEL_S
        while (left_s := old_at_s - self._clock.monotonic_s()) > 0:
            if batch := await self._next_batch():
                await self._send(channel, batch)
                if self._linger_s:
                    await self._pause(self._linger_s)
            else:
                await first_of(self._outbox.arrived.wait(), self._sleep(left_s))

    async def _send(self, channel: grpc.aio.Channel, batch: Sequence[W]) -> None:
        try:
            refused = await self._sent(channel, batch)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _UNFIT:
                raise
            await self._unfit(batch, error)
            return
        self._refused(refused)
        self.delivered_total += len(batch) - len(refused)
        await self._went(batch)
        self._most = min(self._most * 2, self._upper)

    async def _unfit(self, batch: Sequence[W], error: grpc.aio.AioRpcError) -> None:
        """Send less at once, until the one that is to blame is alone, and goes."""
        if len(batch) > 1:
            self._most = len(batch) // 2
        elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise error
        else:
            self._refused([explained(error, self._meanings)])
            await self._went(batch)

    async def _went(self, batch: Sequence[W]) -> None:
        await self._outbox.forget(batch)
        self._next_pause.begin_anew()
        if self.problem:
            whom = self._target.address
            logger.warning("the aggregator at %s takes %s again", whom, self._things)
        self.problem = ""
        self._moved.set()

    def _refused(self, reasons: Sequence[str]) -> None:
        self.refused_total += len(reasons)
        for reason in reasons:
            if reason not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(reason)
                whom = self._target.address
                logger.warning("the aggregator at %s refuses %s: %s", whom, self._things, reason)

    def _failed(self, why: str) -> None:
        problem = f"the aggregator at {self._target.address} takes no {self._things}: {why}"
        if problem != self.problem:
            logger.warning("%s; they wait in the outbox", problem)
        self.problem = problem

    async def _pause(self, pause_s: float) -> None:
        if self._hurry.is_set():
            await self._sleep(min(pause_s, _HURRIED_PAUSE_S))
        else:
            await first_of(self._hurry.wait(), self._sleep(pause_s))
