"""The journal as the sidecar uses it: takes records on the loop, writes them in a thread.

Nothing that calls need waits for it, and nothing of it can fail a call. What came before a query
is part of its answer. Where the file can't be used, queries say so, and calls that it misses are
counted.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from remora.errors import Unavailable
from remora.records import CallRecord
from remora_sidecar.journal.entry import Entry, Numbered, entry_of
from remora_sidecar.journal.selection import JournalSelection
from remora_sidecar.journal.table import JournalTable
from remora_sidecar.table_file import TableFile

logger = logging.getLogger(__name__)

PAGE_CALLS: Final = 200
"""Calls that a query reads at once, at most."""
PAGE_BYTES: Final = 8 * 1024 * 1024
"""What a query reads at once, but for one call that is larger."""

_WRITES_AFTER_S: Final = 0.1
"""Records wait so long for others to be written with."""
_WAITING_BODY_BYTES: Final = 32 * 1024 * 1024
"""Of bodies that wait; what comes beyond is kept without its bodies."""
_WAITING_RECORDS: Final = 20_000

CallLater = Callable[[float, Callable[[], None]], object]
"""Has something called on the loop after so many seconds."""


class Journal:
    """Keeps records for queries; used on one event loop's thread.

    Attributes:
        missed_total: Calls that could not be kept.
        shed_bodies_total: Calls whose bodies were given up.
        shed_records_total: Calls that were given up whole for newer ones.
    """

    def __init__(self, path: Path, limit_bytes: int, call_later: CallLater) -> None:
        """Name the file; it is opened with the first record or query, in the thread."""
        self.missed_total = self.shed_bodies_total = self.shed_records_total = 0
        self._file = TableFile("journal", path, lambda at: JournalTable(at, limit_bytes))
        self._call_later = call_later
        self._worker = ThreadPoolExecutor(1, "remora-journal")
        self._lock = threading.Lock()
        self._due: list[tuple[CallRecord, str]] = []
        self._due_body_bytes = 0
        self._is_scheduled = False
        self._closed = False

    @property
    def problem(self) -> str:
        """Why calls are missed; empty if all is well."""
        return self._file.problem

    # What the recorder calls.

    def take(self, record: CallRecord, tracker_id: str) -> None:
        """Keep a record; never waits and never raises."""
        if self._closed or len(self._due) >= _WAITING_RECORDS:
            self._count(missed=1)
            return
        size = _body_bytes(record)
        if size and self._due_body_bytes + size > _WAITING_BODY_BYTES:
            record, size = replace(record, request_body=None, response_body=None), 0
            self._count(shed_bodies=1)
        with self._lock:
            self._due.append((record, tracker_id))
            self._due_body_bytes += size
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_later(_WRITES_AFTER_S, self._write_soon)

    def _write_soon(self) -> None:
        self._is_scheduled = False
        if self._due and not self._closed:
            self._worker.submit(self._write_down)

    # What queries call.

    async def page(
        self,
        selection: JournalSelection,
        *,
        by: str = "number",
        above: int = 0,
        limit: int = PAGE_CALLS,
        has_bodies: bool = True,
    ) -> list[Numbered]:
        """Give the next calls of a selection; none after the last.

        A page ends with `limit` calls, or with the one that makes it `PAGE_BYTES`.

        Args:
            selection: Which.
            by: What orders them: ``number`` as calls ended, ``change`` as they were last written.
            above: Only those after this number or change.
            limit: At most so many.
            has_bodies: Whether their bodies come with them.

        Raises:
            Unavailable: The file can't be used.
        """
        return await self._ask(
            lambda table: table.page(
                selection,
                by=by,
                above=above,
                limit=limit,
                has_bodies=has_bodies,
                max_bytes=PAGE_BYTES,
            )
        )

    async def usage(self, selection: JournalSelection) -> dict[str, tuple[int, int]]:
        """Sum input and output tokens by model.

        Raises:
            Unavailable: The file can't be used.
        """
        return await self._ask(lambda table: table.usage(selection))

    async def cached_latency_s(self, selection: JournalSelection) -> float:
        """Sum what cached answers took when they were made.

        Raises:
            Unavailable: The file can't be used.
        """
        return await self._ask(lambda table: table.cached_latency_s(selection))

    async def forget(self, selection: JournalSelection) -> int:
        """Remove the calls of a selection; returns how many.

        Raises:
            Unavailable: The file can't be used.
        """
        return await self._ask(lambda table: table.forget(selection))

    async def aclose(self) -> None:
        """Write down what waits and let go of the file."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._worker, self._close)
        self._worker.shutdown(wait=False)

    async def _ask[T](self, work: Callable[[JournalTable], T]) -> T:
        if self._closed:
            raise Unavailable("the journal of calls is closed: the sidecar stops")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: self._answered(work))

    def _count(self, *, missed: int = 0, shed_bodies: int = 0, shed_records: int = 0) -> None:
        with self._lock:  # by the loop and by the thread
            self.missed_total += missed
            self.shed_bodies_total += shed_bodies
            self.shed_records_total += shed_records

    # In the thread.

    def _answered[T](self, work: Callable[[JournalTable], T]) -> T:
        self._write_down()
        try:
            return work(self._file.table())
        except (sqlite3.Error, OSError) as error:
            self._file.failed(error)
            raise Unavailable(f"the journal of calls can't be read: {self.problem}") from error

    def _write_down(self) -> None:
        with self._lock:
            due, self._due, self._due_body_bytes = self._due, [], 0
        entries = self._entries(due)
        if not entries:
            return
        try:
            given_up = self._file.table().write(entries)
        except (sqlite3.Error, OSError) as error:
            self._count(missed=len(entries))
            self._file.failed(error)
            return
        self._count(shed_bodies=given_up.bodies_of, shed_records=given_up.calls)
        self._file.works()

    def _entries(self, due: Sequence[tuple[CallRecord, str]]) -> list[Entry]:
        entries = []
        for record, tracker_id in due:
            try:
                entries.append(entry_of(record, tracker_id))
            except (TypeError, ValueError):
                self._count(missed=1)
        return entries

    def _close(self) -> None:
        if self._due:
            self._write_down()
        self._file.let_go()


def _body_bytes(record: CallRecord) -> int:
    bodies = (record.request_body, record.response_body)
    return sum(len(body.content) for body in bodies if body is not None)
