"""A `TaskStore` in memory: what the others have to do, in few lines. For tests."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from remora.clock import Clock
from remora.errors import BadRequest
from remora_aggregator.tasks.amounts import NOTHING
from remora_aggregator.tasks.budgets import BudgetPage, BudgetSelection, budget_of
from remora_aggregator.tasks.conclusions import after_call
from remora_aggregator.tasks.leases import AccountKey, Book, Lease, LeaseKey
from remora_aggregator.tasks.ports import ChangedTask, Changes, DecideBooks, DecideTask, Wanted
from remora_aggregator.tasks.selection import Place, TaskSelection
from remora_aggregator.tasks.states import Control, State
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey, changes_control
from remora_aggregator.tasks.totals import TaskCall


@dataclass(frozen=True, slots=True)
class _Row:
    entry: TaskEntry
    position: int
    control_position: int


class MemoryTaskStore:
    """Keeps tasks and leases as long as it lives.

    Attributes:
        books: All accounts, each with all its leases.
    """

    def __init__(self, clock: Clock) -> None:
        """Start with nothing."""
        self.books: dict[AccountKey, Book] = {}
        self._rows: dict[TaskKey, _Row] = {}
        self._position = 0
        self._clock = clock
        self._followers: set[asyncio.Event] = set()

    async def change_books[R](self, wanted: Wanted, decide: DecideBooks[R]) -> R:
        """Decide about accounts."""
        now = self._clock.now_unix_ns()
        books = {
            key: replace(book, leases=dict(_looked_at(book, leases, now)))
            for key, leases in wanted.items()
            if (book := self.books.get(key)) is not None
        }
        changed, result = decide(books, now)
        for key, book in changed.items():
            kept = self.books.get(key, Book(key)).leases
            self.books[key] = replace(book, leases={**kept, **book.leases})
        return result

    async def forget_leases(self, ended_before_unix_ns: int) -> int:
        """Forget leases that ended before a time."""
        forgotten = 0
        for key, book in list(self.books.items()):
            kept = {
                name: lease
                for name, lease in book.leases.items()
                if lease.granted != NOTHING or lease.ends_unix_ns >= ended_before_unix_ns
            }
            forgotten += len(book.leases) - len(kept)
            self.books[key] = replace(book, leases=kept)
            end = key.window_start_unix_ns + key.window_ns
            if key.window_ns and end < ended_before_unix_ns and not kept:
                del self.books[key]
        return forgotten

    async def budgets(
        self, chosen: BudgetSelection, *, after: AccountKey | None, limit: int
    ) -> BudgetPage:
        """Read a page of shared budgets."""
        now = self._clock.now_unix_ns()
        keys = sorted(
            key for key in self.books if chosen.takes(key) and (after is None or key > after)
        )
        found = [budget_of(self.books[key], now) for key in keys[:limit]]
        return BudgetPage(found, found[-1].key if len(keys) > limit else None)

    async def task(self, key: TaskKey) -> TaskEntry | None:
        """Read one task."""
        row = self._rows.get(key)
        return None if row is None else row.entry

    async def known_tasks(self, keys: Sequence[TaskKey]) -> dict[TaskKey, Task]:
        """Read those of these tasks that there are."""
        return {key: self._rows[key].entry.task for key in keys if key in self._rows}

    async def change_task(self, key: TaskKey, decide: DecideTask) -> TaskEntry:
        """Decide about one task."""
        before = await self.task(key)
        task = decide(before, self._clock.now_unix_ns())
        if before is not None and task is before.task:
            return before
        return self._put(TaskEntry(task) if before is None else replace(before, task=task))

    def count(self, key: TaskKey, call: TaskCall, *, instead_of: TaskCall | None = None) -> None:
        """Count a call, as the transaction does that stores its record."""
        row, now = self._rows.get(key), self._clock.now_unix_ns()
        entry = None if row is None else row.entry
        self._put(after_call(entry, key, call, now, instead_of=instead_of))

    def _put(self, entry: TaskEntry) -> TaskEntry:
        key = entry.task.key
        before = self._rows.get(key)
        if before is not None and before.entry.task is entry.task:
            self._rows[key] = replace(before, entry=entry)
            return entry
        self._position += 1
        control_position = 0 if before is None else before.control_position
        if changes_control(None if before is None else before.entry.task, entry.task):
            control_position = self._position
        self._rows[key] = _Row(entry, self._position, control_position)
        for follower in self._followers:
            follower.set()
        return entry

    async def tasks(
        self, selection: TaskSelection, *, after: Place | None, limit: int
    ) -> list[TaskEntry]:
        """Read tasks, those created last first."""
        found = [
            row.entry
            for row in self._rows.values()
            if selection.takes(row.entry) and (after is None or Place.of(row.entry.task) < after)
        ]
        return sorted(found, key=lambda entry: Place.of(entry.task), reverse=True)[:limit]

    async def quiet_tasks(self, before_unix_ns: int, *, paused: bool, limit: int) -> list[TaskKey]:
        """Find tasks that were stirred last before a time."""
        found = []
        for key, row in self._rows.items():
            task = row.entry.task
            fits = task.is_paused_by_quiet if paused else task.state in _BUSY
            if fits and row.entry.stirred_unix_ns < before_unix_ns:
                found.append(key)
        return found[:limit]

    async def held_tasks(self, namespace: str, *, limit: int) -> Changes:
        """Read the tasks whose control is not open."""
        rows = [
            row
            for key, row in self._rows.items()
            if key.namespace == namespace and row.entry.task.control is not Control.OPEN
        ]
        newest = sorted(rows, key=lambda row: row.control_position)[-limit:]
        cursor = await self.last_cursor()
        return Changes([ChangedTask(row.entry, True, cursor) for row in newest], cursor)

    async def last_cursor(self) -> str:
        """Give the cursor after all that was written."""
        return f"m{self._position}"

    async def changes(
        self, after: str, *, namespaces: frozenset[str] | None, controls_only: bool, limit: int
    ) -> Changes:
        """Read what changed after a cursor."""
        since = _position_of(after)
        found = sorted(
            (row.control_position if controls_only else row.position, key)
            for key, row in self._rows.items()
            if (namespaces is None or key.namespace in namespaces)
            and (row.control_position if controls_only else row.position) > since
        )
        tasks = []
        for position, key in found[:limit]:
            row = self._rows[key]
            tasks.append(ChangedTask(row.entry, row.control_position > since, f"m{position}"))
        if len(found) > limit:
            return Changes(tasks, tasks[-1].cursor)
        return Changes(tasks, f"m{max(since, self._position)}")

    async def changed(self, after: str) -> None:
        """Wait until something changed after a cursor."""
        with self._followed() as woken:
            while self._position <= _position_of(after):
                woken.clear()
                await woken.wait()

    @contextmanager
    def _followed(self) -> Iterator[asyncio.Event]:
        woken = asyncio.Event()
        self._followers.add(woken)
        try:
            yield woken
        finally:
            self._followers.discard(woken)


_BUSY = (State.PLANNING, State.RUNNING)


def _looked_at(
    book: Book, wanted: set[LeaseKey], now_unix_ns: int
) -> Iterator[tuple[LeaseKey, Lease]]:
    for key, lease in book.leases.items():
        has_ended = lease.granted != NOTHING and lease.ends_unix_ns <= now_unix_ns
        if key in wanted or has_ended:
            yield key, lease


def _position_of(cursor: str) -> int:
    if not cursor.startswith("m") or not cursor[1:].isdecimal():
        raise BadRequest(f"cursor {cursor[:40]!r} is none of this aggregator's")
    return int(cursor[1:])
