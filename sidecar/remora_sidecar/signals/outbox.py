"""The durable queue of signals between whoever sends them and the aggregator.

A signal is taken once its row is committed, which outlives the process. All that touches the file
runs in one thread. Where the file can't be used, senders are told so and keep what they have.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.signals.outbox_table import OutboxTable, WaitingSignal
from remora_sidecar.table_file import TableFile
from remora_sidecar.table_thread import TableThread

logger = logging.getLogger(__name__)

LIMIT_BYTES: Final = 32 * 1024 * 1024
"""Bound of the file, without its write-ahead log: some 150,000 signals."""


class TakenSignals(NamedTuple):
    """What became of signals that were taken.

    Attributes:
        accepted: All of them are written down by now.
        known: Of these, how many waited before.
    """

    accepted: int
    known: int


class Outbox:
    """Signals that wait; used on one event loop's thread.

    Attributes:
        arrived: Set when a signal was taken; whoever takes batches clears it.
        taken_total: Signals taken, each once.
        shed_total: Signals given up for newer ones.
        waiting: How many wait; 0 until the file is first used.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        """Name the file; it is opened on first use, in the thread."""
        self.arrived = asyncio.Event()
        self.taken_total = self.shed_total = self.waiting = 0
        file = TableFile("outbox", path, lambda at: OutboxTable(at, limit_bytes))
        self._thread = TableThread("the outbox of signals", "signals", file, "remora-outbox")

    @property
    def problem(self) -> str:
        """Why no signals are taken; empty if all is well."""
        return self._thread.problem

    async def take(self, signals: Sequence[pb.Signal]) -> TakenSignals:
        """Write signals down; when it returns they outlive the process.

        Args:
            signals: Each with an id, by which one that comes again is known while it waits.

        Raises:
            Unavailable: They can't be written; none of them was taken.
        """
        rows = [(signal.signal_id, signal.SerializeToString()) for signal in signals]
        try:
            kept = await self._do(lambda table: table.keep(rows))
        finally:
            self.arrived.set()  # also where the sender has gone while the thread writes
        self.taken_total += kept.new
        self.shed_total += kept.shed
        if kept.shed:
            logger.warning("%d signals were given up for newer ones: the outbox is full", kept.shed)
        return TakenSignals(len(rows), len(rows) - kept.new)

    async def batch(self, limit: int, max_bytes: int) -> list[WaitingSignal]:
        """Read those that came first; they wait on until they are forgotten.

        Raises:
            Unavailable: The file can't be used.
        """
        return await self._do(lambda table: table.oldest(limit, max_bytes))

    async def forget(self, signals: Sequence[WaitingSignal]) -> None:
        """Remove signals that somebody else keeps now, or that nobody ever takes.

        Raises:
            Unavailable: The file can't be used; they come again.
        """
        sequences = [signal.sequence for signal in signals]
        await self._do(lambda table: table.forget(sequences))

    async def aclose(self) -> None:
        """Let go of the file."""
        await self._thread.aclose()

    async def _do[T](self, work: Callable[[OutboxTable], T]) -> T:
        done, self.waiting = await self._thread.do(lambda table: (work(table), table.count()))
        return done
