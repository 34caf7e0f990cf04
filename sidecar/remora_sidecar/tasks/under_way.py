"""Which tasks were called here a moment ago, so that the aggregator may not have heard of it."""

from collections import OrderedDict
from typing import Final, Protocol

from remora.clock import Clock
from remora.records import CallRecord

MAX_TASKS: Final = 1_000
FRESH_S: Final = 10.0
"""Longer ago, a record is there or delivery has a problem that waiting does not help."""

WAIT_S: Final = 5.0


class Delivered(Protocol):
    """What delivers records."""

    async def caught_up(self, timeout_s: float) -> bool:
        """Wait until what waits now is delivered; false if that takes too long."""
        ...


class UnderWay:
    """Waits, where it is asked about a task, until the aggregator has its calls of just now."""

    def __init__(self, delivered: Delivered, clock: Clock) -> None:
        """Know of no call yet.

        Args:
            delivered: Delivers the calls' records.
            clock: Says how long ago they ended.
        """
        self._delivered = delivered
        self._clock = clock
        self._ended_s: OrderedDict[str, float] = OrderedDict()

    def take(self, record: CallRecord) -> None:
        """Hear of a call; never waits."""
        if task_id := record.attribution.task_id:
            self._ended_s[task_id] = self._clock.monotonic_s()
            self._ended_s.move_to_end(task_id)
            if len(self._ended_s) > MAX_TASKS:
                self._ended_s.popitem(last=False)

    async def arrived(self, task_id: str = "") -> None:
        """Wait, for a moment, until the records of a task's calls are delivered; empty: of all."""
        newest = next(reversed(self._ended_s.values()), None)
        ended_s = self._ended_s.get(task_id) if task_id else newest
        if ended_s is not None and self._clock.monotonic_s() - ended_s < FRESH_S:
            await self._delivered.caught_up(WAIT_S)
