"""The audit log as a table, which every aggregator that shares the database writes and reads.

Rows are numbered by the bytes written so far, so that the oldest go once there are too many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from remora_aggregator.store.facts import Value
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sql import Statement

STATEMENTS: Final = (
    """
    create table audit (
        position bigint primary key, at_unix_ns bigint not null,
        namespace {text} not null, asked_namespace {text} not null, line {text} not null
    )
    """,
)
"""What makes it; the type of texts is to be put in."""

_APPEND: Final = (
    "insert into audit (position, at_unix_ns, namespace, asked_namespace, line) "
    "values ((select coalesce(max(position), 0) from audit) + ?, ?, ?, ?, ?)"
)
_SHED: Final = "delete from audit where position <= (select max(position) from audit) - ?"
_ROW_BYTES: Final = 64
"""What a row takes beside its line, about."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry.

    Attributes:
        at_unix_ns: When what it tells of ended.
        namespace: Of who did it; empty: none.
        asked_namespace: That it was done to, where that was said.
        line: The whole entry, as text.
    """

    at_unix_ns: int
    namespace: str
    asked_namespace: str
    line: str


class AuditTable:
    """Writes and reads the table."""

    def __init__(self, store: RecordStore, *, kept_bytes: int) -> None:
        """Take the store that has it, and how much of it is kept."""
        self._store = store
        self._kept_bytes = kept_bytes
        self._mark = store.backend.flavour.mark

    async def append(self, row: AuditRow) -> None:
        """Write an entry durably, and shed the oldest; raises Unavailable."""
        size = len(row.line.encode()) + _ROW_BYTES
        texts = (row.namespace, row.asked_namespace, row.line)

        def run() -> None:
            with self._store.backend.transaction() as writing:
                writing.run(self._statement(_APPEND, size, row.at_unix_ns, *texts))
                writing.run(self._statement(_SHED, self._kept_bytes))

        await self._store.write_with(run)

    async def newest(
        self,
        namespaces: frozenset[str] | None,
        limit: int,
        since_unix_ns: int = 0,
        until_unix_ns: int = 0,
    ) -> Sequence[str]:
        """Read the lines of entries, the newest first; raises Unavailable.

        Args:
            namespaces: Whose, or done to which; None: all.
            limit: At most so many.
            since_unix_ns: Inclusive.
            until_unix_ns: Exclusive; 0: until now.
        """
        where, parameters = _conditions(namespaces, since_unix_ns, until_unix_ns)
        sql = f"select line from audit where {where} order by position desc limit ?"  # noqa: S608 - our own words
        return await self._store.ask(
            self._statement(sql, *parameters, limit), lambda rows: [str(line) for (line,) in rows]
        )

    def _statement(self, sql: str, *parameters: Value) -> Statement:
        return Statement(sql.replace("?", self._mark), parameters)


def _conditions(
    namespaces: frozenset[str] | None, since_unix_ns: int, until_unix_ns: int
) -> tuple[str, list[Value]]:
    conditions = ["at_unix_ns >= ?"]
    parameters: list[Value] = [since_unix_ns]
    if until_unix_ns:
        conditions.append("at_unix_ns < ?")
        parameters.append(until_unix_ns)
    if namespaces is not None:
        marks = ", ".join("?" * len(namespaces)) or "null"
        conditions.append(f"(namespace in ({marks}) or asked_namespace in ({marks}))")
        parameters += sorted(namespaces) * 2
    return " and ".join(conditions), parameters
