"""Keeps runs durably: what many runs save at the same time is written in one transaction.

Where the file can't be used, runs go on in memory, and it is said that they do not outlive the
process; what could not be written is tried again with what comes next.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from remora.errors import Unavailable
from remora.task_owner import TaskOwner
from remora_sidecar.table_file import TableFile
from remora_sidecar.table_thread import TableThread
from remora_sidecar.workflow_runs.run_table import RUNS_FILE, Change, EndedRun, OpenRun, RunTable

MAX_DUE: Final = 20_000
"""Changes that wait for a file that can't be used; older ones are given up."""


class RunFile:
    """The file; used on one event loop, all that touches it runs in one thread."""

    def __init__(self, folder: Path) -> None:
        """Name the file; it is opened on first use, in the thread."""
        file = TableFile("file of workflow runs", folder / RUNS_FILE, RunTable)
        self._thread = TableThread(
            "the file of runs", "runs of workflows", file, "remora-workflows"
        )
        self._tasks = TaskOwner("workflow file")
        self._due: list[Change] = []
        self._writing: asyncio.Task[None] | None = None
        self._next: asyncio.Future[None] | None = None

    @property
    def due_count(self) -> int:
        """How many changes are not written yet."""
        return len(self._due)

    @property
    def problem(self) -> str:
        """Why runs do not outlive the process; empty if they do."""
        return self._thread.problem

    async def keep(self, changes: Sequence[Change]) -> None:
        """Write changes down; when it returns they outlive the process, or `problem` says why not.

        A cancelled wait takes nothing back.
        """
        self._due.extend(changes)
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        written = self._next
        if self._writing is None:
            self._writing = self._tasks.spawn(self._write(), name="writing")
        await asyncio.shield(written)

    async def _write(self) -> None:
        try:
            while self._next is not None:
                due, self._due = self._due, []
                written, self._next = self._next, None
                try:
                    if not await self._do(partial(RunTable.apply, changes=due)):
                        self._due = [*due, *self._due][-MAX_DUE:]
                finally:
                    written.set_result(None)
        finally:
            self._writing = None

    async def open_runs(self) -> list[OpenRun]:
        """Read the runs that are not over, oldest first."""
        return await self._do(RunTable.open_runs) or []

    async def ended_runs(self) -> list[EndedRun]:
        """Read the runs that are over, oldest first."""
        return await self._do(RunTable.ended_runs) or []

    async def forget(self, execution_ids: Sequence[str]) -> None:
        """Delete runs that are over."""
        await self._do(lambda table: table.forget(execution_ids))

    async def tidy(self) -> None:
        """Leave nothing of what was deleted in the file."""
        await self._do(RunTable.tidy)

    async def aclose(self) -> None:
        """Write what is due, and let go of the file."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        await self._thread.aclose()

    async def _do[T](self, work: Callable[[RunTable], T]) -> T | None:
        """Do something with the table; None where it can't be used, which `problem` then says."""
        try:
            return await self._thread.do(work)
        except Unavailable:
            return None
