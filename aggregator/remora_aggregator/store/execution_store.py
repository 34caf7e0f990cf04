"""Executions of workflows as the services see them: kept in the records' database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from remora.clock import Clock
from remora_aggregator.store.execution_selection import (
    ExecutionPlace,
    ExecutionSelection,
    change_cursor,
    change_position,
    one_of,
)
from remora_aggregator.store.execution_tables import ExecutionTables, Sender, Taken
from remora_aggregator.store.facts import Value
from remora_aggregator.store.port import Row
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sql import Statement
from remora_proto.v1 import workflows_pb2 as pb

_WHOLE: Final = "position, head, steps"
_HEAD: Final = "position, head"


@dataclass(frozen=True, slots=True)
class ChangedExecution:
    """An execution as it is now, after a change.

    Attributes:
        cursor: After this change and all before it.
    """

    stored: pb.StoredExecution
    cursor: str


@dataclass(frozen=True, slots=True)
class ExecutionChanges:
    """What changed after a cursor, oldest first, each execution once; and the cursor after it."""

    executions: Sequence[ChangedExecution]
    cursor: str


class StoredExecutions:
    """Keeps executions beside records.

    All methods raise Unavailable where the store can't be read or written.
    """

    def __init__(self, store: RecordStore, clock: Clock) -> None:
        """Take the store.

        Args:
            store: The records'.
            clock: Tells the time where the database has no clock that all who share it have.
        """
        self._store = store
        self._clock = clock
        self._mark = store.backend.flavour.mark

    async def take(self, reports: Sequence[pb.ExecutionReport], sender: Sender) -> list[Taken]:
        """Keep reports, all in one transaction; says in their order what became of each."""

        def run() -> list[Taken]:
            with self._store.backend.transaction() as writing:
                shared = writing.now_unix_ns()
                now = self._clock.now_unix_ns() if shared is None else shared
                tables = ExecutionTables(writing, self._mark)
                return [tables.take(report, sender, now) for report in reports]

        try:
            return await self._store.write_with(run)
        finally:
            self._store.wake_followers()

    async def _read(
        self, columns: str, where: str, parameters: Sequence[Value]
    ) -> list[ChangedExecution]:
        sql = f"select {columns} from executions where {where}".replace("?", self._mark)  # noqa: S608 - our own words
        statement = Statement(sql, tuple(parameters))
        return await self._store.ask(statement, lambda rows: [_changed(row) for row in rows])

    async def execution(self, namespace: str, execution_id: str) -> pb.StoredExecution | None:
        """Read one execution, with its steps."""
        where = "namespace = ? and execution_id = ?"
        found = await self._read(_WHOLE, where, (namespace, execution_id))
        return found[0].stored if found else None

    async def executions(
        self, chosen: ExecutionSelection, *, after: ExecutionPlace | None, limit: int
    ) -> list[pb.StoredExecution]:
        """Read executions without their steps, those that began last first."""
        conditions, parameters = chosen.conditions(after)
        order = "began_unix_ns desc, namespace desc, execution_id desc"
        where = f"{conditions} order by {order} limit ?"
        found = await self._read(_HEAD, where, (*parameters, limit))
        return [one.stored for one in found]

    async def last_cursor(self) -> str:
        """Give the cursor after all that is committed."""
        return change_cursor(await self._last_position())

    async def _last_position(self) -> int:
        return await self._store.ask(Statement("select last from execution_positions"), _only)

    async def changes(
        self, after: str, *, namespaces: frozenset[str] | None, execution_id: str = "", limit: int
    ) -> ExecutionChanges:
        """Read what changed after a cursor.

        Args:
            after: The cursor.
            namespaces: Only of these; None: of all.
            execution_id: Only this one, with its steps; empty: all, without theirs.
            limit: So many at most.

        Raises:
            BadRequest: The cursor is none of this store's.
        """
        since, last = change_position(after), await self._last_position()
        where, parameters = "position > ? and position <= ?", [since, last]
        values: list[Value] = [*parameters]
        if namespaces is not None:
            where += f" and {one_of('namespace', len(namespaces))}"
            values += sorted(namespaces)
        if execution_id:
            where += " and execution_id = ?"
            values.append(execution_id)
        columns = _WHOLE if execution_id else _HEAD
        found = await self._read(columns, f"{where} order by position limit ?", (*values, limit))
        if len(found) == limit:
            return ExecutionChanges(found, found[-1].cursor)
        return ExecutionChanges(found, change_cursor(max(since, last)))


def _changed(row: Row) -> ChangedExecution:
    position, *halves = row
    message = b"".join(bytes(half) for half in halves)  # type: ignore[arg-type]  # as the columns say
    return ChangedExecution(
        pb.StoredExecution.FromString(message), change_cursor(int(position or 0))
    )


def _only(rows: Iterable[Row]) -> int:
    return next(int(value or 0) for (value,) in rows)
