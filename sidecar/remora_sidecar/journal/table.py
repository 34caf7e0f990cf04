"""The journal's table in one SQLite file: numbered calls, bounded, bodies of the oldest out first.

Called by `Journal` from one thread at a time.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from remora_sidecar.journal.entry import Entry, Numbered
from remora_sidecar.journal.selection import JournalSelection
from remora_sidecar.sqlite_file import open_alone, transaction, used_pages

PAGE_BYTES = 4096
SMALLEST_LIMIT_BYTES = 256 * PAGE_BYTES

_VERSION = 1
"""Of the table below; the schema's `user_version`."""
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE calls (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    change INTEGER NOT NULL,
    call_id TEXT NOT NULL UNIQUE,
    tracker_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    data_id TEXT NOT NULL,
    combo_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    latency_s REAL NOT NULL,
    is_cached INTEGER NOT NULL,
    facts BLOB NOT NULL,
    bodies BLOB NOT NULL
);
CREATE INDEX calls_of_trackers ON calls (tracker_id, change) WHERE tracker_id <> '';
PRAGMA user_version = 1;
COMMIT;
"""
_COLUMNS = ("change", *Entry._fields)
_INSERT = (
    f"INSERT INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608 - our own names
    "ON CONFLICT (call_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "call_id")
)
_WITH_BODIES = (
    "SELECT max(number) FROM (SELECT number FROM calls WHERE number > ? AND bodies <> x'' "
    "ORDER BY number LIMIT ?)"
)
_SHED = "UPDATE calls SET bodies = x'' WHERE number > ? AND number <= ?"
_DROP = "DELETE FROM calls WHERE number IN (SELECT number FROM calls ORDER BY number LIMIT ?)"
_AT_ONCE = 64
"""Rows that are shed or dropped in one step."""


@dataclass(slots=True)
class GivenUp:
    """What was given up for the bound.

    Attributes:
        bodies_of: Calls that lost their bodies.
        calls: Calls that went whole.
    """

    bodies_of: int = 0
    calls: int = 0


class JournalTable:
    """One open file; every method may raise `sqlite3.Error`, and changes nothing then."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Open or make the file.

        Raises:
            sqlite3.Error: It can't be opened, is broken, or another program has it.
            OSError: Its folder can't be made.
        """
        self._shed_up_to = 0
        self._limit_pages = max(limit_bytes, SMALLEST_LIMIT_BYTES) // PAGE_BYTES
        self._connection = open_alone(path, _SCHEMA, _VERSION, page_bytes=PAGE_BYTES)
        try:
            query = "SELECT coalesce(max(change), 0) FROM calls"
            (self._change,) = self._connection.execute(query).fetchone()
        except BaseException:
            self._connection.close()
            raise

    def write(self, entries: Sequence[Entry]) -> GivenUp:
        """Add calls in this order; one that is known already is replaced and keeps its number.

        Returns:
            What had to go for them.
        """
        first = self._change + 1
        rows = [(first + place, *entry) for place, entry in enumerate(entries)]
        with transaction(self._connection):
            self._connection.executemany(_INSERT, rows)
            given_up, shed_up_to = self._make_room()
        self._change += len(rows)
        self._shed_up_to = shed_up_to
        return given_up

    def page(
        self,
        selection: JournalSelection,
        *,
        by: str,
        above: int,
        limit: int,
        has_bodies: bool,
        max_bytes: int = 1 << 30,
    ) -> list[Numbered]:
        """Read the next calls of a selection.

        Args:
            selection: Which.
            by: What orders them: ``number`` or ``change``.
            above: The last one seen.
            limit: At most so many.
            has_bodies: Whether their bodies are read as well.
            max_bytes: No more are read once they have so many; one is in any case.
        """
        condition, values = selection.condition()
        bodies = "bodies" if has_bodies else "x''"
        query = (
            f"SELECT number, change, facts, {bodies} FROM calls "  # noqa: S608 - values are bound
            f"WHERE {condition} AND {by} > :above ORDER BY {by} LIMIT :limit"
        )
        with closing(
            self._connection.execute(query, {**values, "above": above, "limit": limit})
        ) as rows:
            found, size = [], 0
            for number, change, facts, bodies in rows:
                found.append(Numbered(number, change, facts + bodies))
                if (size := size + len(facts) + len(bodies)) >= max_bytes:
                    break
            return found

    def usage(self, selection: JournalSelection) -> dict[str, tuple[int, int]]:
        """Sum input and output tokens by model, in the order in which models were first called."""
        condition, values = selection.condition()
        query = (
            "SELECT model, sum(input_tokens), sum(output_tokens) FROM calls "  # noqa: S608 - values are bound
            f"WHERE {condition} GROUP BY model ORDER BY min(number)"
        )
        with closing(self._connection.execute(query, values)) as rows:
            return {model: (sent, made) for model, sent, made in rows}

    def cached_latency_s(self, selection: JournalSelection) -> float:
        """Sum what cached answers took when they were made."""
        condition, values = selection.condition()
        query = f"SELECT total(latency_s) FROM calls WHERE is_cached AND {condition}"  # noqa: S608 - values are bound
        (total,) = self._connection.execute(query, values).fetchone()
        return float(total)

    def forget(self, selection: JournalSelection) -> int:
        """Remove calls; returns how many."""
        condition, values = selection.condition()
        with transaction(self._connection):
            query = f"DELETE FROM calls WHERE {condition}"  # noqa: S608 - values are bound
            return int(self._connection.execute(query, values).rowcount)

    def count(self) -> int:
        """How many calls there are."""
        (count,) = self._connection.execute("SELECT count(*) FROM calls").fetchone()
        return int(count)

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        return used_pages(self._connection) * PAGE_BYTES

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._connection.close()

    def _make_room(self) -> tuple[GivenUp, int]:
        """Give up bodies of the oldest calls, and once there are none the oldest calls.

        Returns:
            What went, and up to which call none has bodies any more.
        """
        given_up, shed_up_to = GivenUp(), self._shed_up_to
        run = self._connection.execute
        while used_pages(self._connection) > self._limit_pages:
            (last,) = run(_WITH_BODIES, (shed_up_to, _AT_ONCE)).fetchone()
            if last is not None:
                given_up.bodies_of += run(_SHED, (shed_up_to, last)).rowcount
                shed_up_to = last
            elif gone := run(_DROP, (_AT_ONCE,)).rowcount:
                given_up.calls += gone
            else:
                break
        return given_up, shed_up_to
