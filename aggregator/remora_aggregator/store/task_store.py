"""Tasks and leases as the services see them: `tasks.ports.TaskStore` in the records' database."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from remora.clock import Clock
from remora.errors import BadRequest
from remora_aggregator.store.budget_reading import budget_page
from remora_aggregator.store.cursor import place_of as record_place_of
from remora_aggregator.store.facts import Value
from remora_aggregator.store.port import Row
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Order, Statement
from remora_aggregator.store.task_tables import TASK_COLUMNS, TaskRow, TaskTables, row_of
from remora_aggregator.tasks.budgets import BudgetPage, BudgetSelection
from remora_aggregator.tasks.leases import AccountKey
from remora_aggregator.tasks.ports import ChangedTask, Changes, DecideBooks, DecideTask, Wanted
from remora_aggregator.tasks.selection import Place, TaskSelection
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey
from remora_proto.v1 import records_pb2 as pb

_SIGN: Final = "c"
_MOST_READ: Final = 1_000


class StoredTasks:
    """Keeps tasks and leases beside records."""

    def __init__(self, store: RecordStore, clock: Clock, *, by_database: bool = True) -> None:
        """Take the store.

        Args:
            store: The records'.
            clock: Tells the time where the database has no clock that all who share it have.
            by_database: Whether to ask a database that has one.
        """
        self._store = store
        self._by_database = by_database
        self._clock = clock
        self._mark = store.backend.flavour.mark

    # Writing.

    async def _changed[T](self, work: Callable[[TaskTables, int], T]) -> T:
        def run() -> T:
            with self._store.backend.transaction() as writing:
                shared = writing.now_unix_ns() if self._by_database else None
                now = self._clock.now_unix_ns() if shared is None else shared
                return work(TaskTables(writing, self._mark), now)

        try:
            return await self._store.write_with(run)
        finally:
            self._store.wake_followers()

    async def change_books[R](self, wanted: Wanted, decide: DecideBooks[R]) -> R:
        """Decide about accounts in one transaction."""

        def work(tables: TaskTables, now: int) -> R:
            changed, result = decide(tables.books(wanted, now), now)
            tables.put_books(changed)
            return result

        return await self._changed(work)

    async def forget_leases(self, ended_before_unix_ns: int) -> int:
        """Forget leases that ended before a time."""
        return await self._changed(lambda tables, _: tables.forget_leases(ended_before_unix_ns))

    async def change_task(self, key: TaskKey, decide: DecideTask) -> TaskEntry:
        """Decide about one task in one transaction."""

        def work(tables: TaskTables, now: int) -> TaskEntry:
            before = tables.task(key)
            known = None if before is None else before.entry
            task = decide(known, now)
            if known is not None and task is known.task:
                return known
            entry = TaskEntry(task) if known is None else replace(known, task=task)
            tables.put_task(key, entry, before)
            return entry

        return await self._changed(work)

    # Reading.

    async def _rows(self, where: str, *parameters: Value) -> list[TaskRow]:
        sql = f"select {TASK_COLUMNS} from tasks where {where}".replace("?", self._mark)  # noqa: S608 - our own words
        return await self._store.ask(
            Statement(sql, parameters), lambda rows: [row_of(row) for row in rows]
        )

    async def budgets(
        self, chosen: BudgetSelection, *, after: AccountKey | None, limit: int
    ) -> BudgetPage:
        """Read a page of shared budgets."""
        now = self._clock.now_unix_ns()
        return await budget_page(self._store, chosen, after=after, limit=limit, now_unix_ns=now)

    async def task(self, key: TaskKey) -> TaskEntry | None:
        """Read one task."""
        found = await self._rows("namespace = ? and task_id = ?", *key)
        return found[0].entry if found else None

    async def known_tasks(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Task]:
        """Read those of these tasks that there are."""
        found: dict[TaskKey, Task] = {}
        for at in range(0, len(keys), _MOST_READ):
            some = keys[at : at + _MOST_READ]
            pairs = ", ".join(["(?, ?)"] * len(some))
            asked = [part for key in some for part in key]
            rows = await self._rows(f"(namespace, task_id) in (values {pairs})", *asked)
            found |= {row.entry.task.key: row.entry.task for row in rows}
        return found

    async def tasks(
        self, selection: TaskSelection, *, after: Place | None, limit: int
    ) -> Sequence[TaskEntry]:
        """Read tasks in the order of `Place`, downwards; globs are looked at one by one."""
        found: list[TaskEntry] = []
        while len(found) < limit:
            conditions, parameters = _conditions(selection, after)
            asked = _MOST_READ if selection.id_glob else limit - len(found)
            rows = await self._rows(
                f"{conditions} order by created_unix_ns desc, namespace desc, task_id desc limit ?",
                *parameters,
                asked,
            )
            found += [row.entry for row in rows if selection.takes(row.entry)]
            if len(rows) < asked:
                break
            after = Place.of(rows[-1].entry.task)
        return found[:limit]

    async def quiet_tasks(
        self, before_unix_ns: int, *, paused: bool, limit: int
    ) -> Sequence[TaskKey]:
        """Find tasks that were stirred last before a time."""
        quiet = "paused" if paused else "busy"
        where = "quiet = ? and stirred_unix_ns < ? order by stirred_unix_ns limit ?"
        rows = await self._rows(where, quiet, before_unix_ns, limit)
        return [row.entry.task.key for row in rows]

    async def held_tasks(self, namespace: str, *, limit: int) -> Changes:
        """Read the tasks whose control is not open, those that changed last if there are more."""
        cursor = await self.last_cursor()
        where = "namespace = ? and control is not null order by control_position desc limit ?"
        rows = await self._rows(where, namespace, limit)
        return Changes([ChangedTask(row.entry, True, cursor) for row in reversed(rows)], cursor)

    async def last_cursor(self) -> str:
        """Give the cursor after all that is committed."""
        return f"{_SIGN}{await self._last_position():x}"

    async def _last_position(self) -> int:
        return await self._store.ask(Statement("select last from task_positions"), _only_number)

    async def changes(
        self, after: str, *, namespaces: frozenset[str] | None, controls_only: bool, limit: int
    ) -> Changes:
        """Read what changed after a cursor."""
        since, last = _position_of(after), await self._last_position()
        column = "control_position" if controls_only else "position"
        where, parameters = f"{column} > ? and {column} <= ?", [since, last]
        if namespaces is not None:
            where += f" and {_one_of('namespace', len(namespaces))}"
        rows = await self._rows(
            f"{where} order by {column} limit ?", *parameters, *sorted(namespaces or ()), limit
        )
        tasks = [_changed_task(row, column, since) for row in rows]
        if len(rows) == limit:
            return Changes(tasks, tasks[-1].cursor)
        return Changes(tasks, f"{_SIGN}{max(since, last):x}")

    async def changed(self, after: str) -> None:
        """Wait until something changed after a cursor, in any replica."""
        since = _position_of(after)
        async with self._store.followed(is_own=True) as woken:
            while await self._last_position() <= since:
                await woken.wait()
                woken.clear()

    # The records of a task's calls.

    async def records_of(
        self, key: TaskKey, *, cursor: str, limit: int
    ) -> Sequence[pb.StoredRecord]:
        """Read records without bodies, oldest first, after a cursor that a record before had."""
        chosen = selection(pb.RecordFilter(task_id=key.task_id), (key.namespace,))
        found: list[pb.StoredRecord] = []
        pages = self._store.pages(
            chosen, after=record_place_of(cursor), order=Order(), limit=limit, bodies=False
        )
        async for page in pages:
            found += page.records
        return found


def _changed_task(row: TaskRow, column: str, since: int) -> ChangedTask:
    position: int = getattr(row, column)
    return ChangedTask(row.entry, row.control_position > since, f"{_SIGN}{position:x}")


def _conditions(selection: TaskSelection, after: Place | None) -> tuple[str, list[Value]]:
    conditions = ["stirred_unix_ns >= ?"]
    values: list[Value] = [selection.since_unix_ns]
    if selection.namespaces is not None:
        conditions.append(_one_of("namespace", len(selection.namespaces)))
        values += sorted(selection.namespaces)
    if selection.states:
        conditions.append(_one_of("state", len(selection.states)))
        values += sorted(state.value for state in selection.states)
    if after is not None:
        conditions.append("(created_unix_ns, namespace, task_id) < (?, ?, ?)")
        values += after
    return " and ".join(conditions), values


def _one_of(column: str, count: int) -> str:
    if not count:
        return "1 = 0"
    return f"{column} = ?" if count == 1 else f"{column} in ({', '.join('?' * count)})"


def _position_of(cursor: str) -> int:
    try:
        position = int(cursor[1:], 16)
    except ValueError:
        position = -1
    if not cursor.startswith(_SIGN) or not 0 <= position < 1 << 63:
        raise BadRequest(f"cursor {cursor[:40]!r} is none of this aggregator's")
    return position


def _only_number(rows: Iterable[Row]) -> int:
    return next(int(value or 0) for (value,) in rows)
