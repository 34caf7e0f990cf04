"""What is known of sidecars, as a table: each reports to one of the aggregators that share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Final

from remora_aggregator.store.facts import Value
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sql import Statement

STATEMENTS: Final = (
    # Without another index, and with room on each page: rows are written over and over.
    """
    create table sidecars (
        namespace {text} not null, pod_uid {text} not null,
        seen_unix_ns bigint not null, said {text} not null,
        primary key (namespace, pod_uid)
    ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)
    """,
)
"""What makes it; the type of texts is to be put in."""

_PUT: Final = (
    "insert into sidecars (namespace, pod_uid, seen_unix_ns, said) values {} "
    "on conflict (namespace, pod_uid) do update "
    "set seen_unix_ns = excluded.seen_unix_ns, said = excluded.said "
    "where sidecars.seen_unix_ns <= excluded.seen_unix_ns"
)
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class SidecarRow:
    """One sidecar.

    Attributes:
        seen_unix_ns: When it was heard of last.
        said: All that is known of it, as text.
    """

    namespace: str
    pod_uid: str
    seen_unix_ns: int
    said: str


class SidecarTable:
    """Writes and reads the table."""

    def __init__(self, store: RecordStore) -> None:
        """Take the store that has it."""
        self._store = store
        self._mark = store.backend.flavour.mark

    async def put(self, rows: Sequence[SidecarRow], forget_before_unix_ns: int) -> None:
        """Write what is newer than what stands there, and forget who was not seen since a time.

        Each sidecar stands in `rows` once. Raises Unavailable.
        """

        def run() -> None:
            with self._store.backend.transaction() as writing:
                # In one order, so that nobody waits for who waits for it.
                for some in batched(sorted(rows, key=_key), _AT_ONCE):
                    marks = ", ".join(["(?, ?, ?, ?)"] * len(some))
                    values = (value for row in some for value in _values(row))
                    writing.run(self._statement(_PUT.format(marks), *values))
                forget = "delete from sidecars where seen_unix_ns < ?"
                writing.run(self._statement(forget, forget_before_unix_ns))

        await self._store.write_with(run)

    async def seen_since(self, unix_ns: int) -> Sequence[str]:
        """Read what is known of those that were heard of since a time; raises Unavailable."""
        sql = "select said from sidecars where seen_unix_ns >= ?"
        return await self._store.ask(
            self._statement(sql, unix_ns), lambda rows: [str(said) for (said,) in rows]
        )

    def _statement(self, sql: str, *parameters: Value) -> Statement:
        return Statement(sql.replace("?", self._mark), parameters)


def _key(row: SidecarRow) -> tuple[str, str]:
    return row.namespace, row.pod_uid


def _values(row: SidecarRow) -> tuple[Value, ...]:
    return row.namespace, row.pod_uid, row.seen_unix_ns, row.said
