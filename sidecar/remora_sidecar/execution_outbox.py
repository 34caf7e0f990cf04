"""The durable queue of executions' reports between the runs of workflows and the aggregator.

`put` takes a report at once, into memory; `run` writes it down. Of each execution the last report
waits. All that touches the file runs in one thread. Where the file can't be used, reports stay in
memory, up to a bound, and it is tried again.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from remora.errors import Unavailable
from remora.execution_report import ExecutionReport
from remora.execution_wire import execution_message
from remora.pauses import GrowingPause, Sleep
from remora_sidecar.execution_table import ExecutionTable, NewReport, WaitingReport
from remora_sidecar.table_file import TableFile
from remora_sidecar.table_thread import TableThread

logger = logging.getLogger(__name__)

LIMIT_BYTES: Final = 64 * 1024 * 1024
"""Bound of the file, without its write-ahead log: some 20,000 executions of ten steps."""
MOST_IN_MEMORY: Final = 10_000
"""Of executions whose report is not written down yet."""


class ExecutionOutbox:
    """Reports that wait; used on one event loop's thread.

    Attributes:
        arrived: Set when something was written down; whoever takes batches clears it.
        shed_total: Executions given up for others, since there was no room.
        waiting: How many wait in the file; 0 until it is first used.
    """

    def __init__(
        self,
        path: Path,
        limit_bytes: int = LIMIT_BYTES,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Name the file; it is opened on first use, in the thread."""
        self.arrived = asyncio.Event()
        self.shed_total = self.waiting = 0
        file = TableFile("outbox of executions", path, lambda at: ExecutionTable(at, limit_bytes))
        self._thread = TableThread(
            "the outbox of executions", "executions", file, "remora-executions"
        )
        self._sleep = sleep
        self._next_pause = GrowingPause(jitter)
        self._unwritten: dict[str, ExecutionReport] = {}
        self._came = asyncio.Event()
        self._wrote = asyncio.Event()
        self._taken = self._settled = 0

    @property
    def problem(self) -> str:
        """Why no reports are written down; empty if all is well."""
        return self._thread.problem

    def put(self, report: ExecutionReport) -> None:
        """Take a report, which stands for all that its execution told before; never waits."""
        self._taken += 1
        known = self._unwritten.pop(report.execution_id, None)
        newer = report if known is None or report.revision > known.revision else known
        self._unwritten[report.execution_id] = newer
        self._make_room()
        self._came.set()

    def _make_room(self) -> None:
        if len(self._unwritten) <= MOST_IN_MEMORY:
            return
        going = (name for name, report in self._unwritten.items() if not report.status.is_over)
        del self._unwritten[next(going, next(iter(self._unwritten)))]
        self.shed_total += 1

    async def run(self) -> None:
        """Write down what comes, until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            if await self._write_down():
                self._next_pause.begin_anew()
            else:
                self._came.set()
                await self._sleep(self._next_pause.next_s())

    async def written(self) -> None:
        """Wait until all that was taken by now outlives the process."""
        wanted = self._taken
        while self._settled < wanted and not self._thread.is_closed:
            self._wrote.clear()
            await self._wrote.wait()

    async def _write_down(self) -> bool:
        """Write down what was taken; says whether that could be done."""
        taken, reports, self._unwritten = self._taken, self._unwritten, {}
        try:
            shed = await self._do(lambda table: table.keep(_rows(reports)))
        except (Unavailable, asyncio.CancelledError) as error:
            # What came meanwhile is later than what could not be written.
            self._unwritten = {**reports, **self._unwritten}
            if isinstance(error, Unavailable):
                return False
            raise
        self.shed_total += shed
        if shed:
            logger.warning("%d executions were given up: their outbox is full", shed)
        self._settled = taken
        self._wrote.set()
        self.arrived.set()
        return True

    async def batch(self, limit: int, max_bytes: int) -> list[WaitingReport]:
        """Read those that came first; they wait on until they are forgotten.

        Raises:
            Unavailable: The file can't be used.
        """
        return await self._do(lambda table: table.oldest(limit, max_bytes))

    async def forget(self, reports: Sequence[WaitingReport]) -> None:
        """Remove reports that the aggregator keeps now, or never takes.

        Raises:
            Unavailable: The file can't be used; they come again.
        """
        await self._do(lambda table: table.forget(reports))

    async def aclose(self) -> None:
        """Write down what was taken, and let go of the file."""
        if self._thread.is_closed:
            return
        if self._unwritten:
            await self._write_down()
        await self._thread.aclose()
        self._wrote.set()

    async def _do[T](self, work: Callable[[ExecutionTable], T]) -> T:
        done, self.waiting = await self._thread.do(lambda table: (work(table), table.count()))
        return done


def _rows(reports: Mapping[str, ExecutionReport]) -> list[NewReport]:
    rows = []
    for report in reports.values():
        try:
            message = execution_message(report).SerializeToString()
        except (ValueError, TypeError) as error:  # our own fault, and of this one alone
            logger.error("an execution's report can't be written: %s", type(error).__name__)
            continue
        rows.append(NewReport(report.execution_id, report.revision, report.status.is_over, message))
    return rows
