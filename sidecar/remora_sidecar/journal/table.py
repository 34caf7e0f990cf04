"""The journal's table in one SQLite file: numbered calls, bounded, bodies of the oldest out first.

Called from one thread at a time. The connection holds the file alone.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from remora_sidecar.journal.entry import Entry, Numbered
from remora_sidecar.journal.selection import JournalSelection
from remora_sidecar.sqlite_file import OtherVersion

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
_WAL_KEPT_BYTES = 4 * 1024 * 1024


class JournalTable:
    """One open file; every method may raise `sqlite3.Error`, and changes nothing then.

    Attributes:
        shed: Calls whose bodies were given up for the bound.
        dropped: Calls that were given up whole.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Open or make the file.

        Raises:
            sqlite3.Error: It can't be opened, is broken, or another program has it.
            OSError: Its folder can't be made.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made here and not by SQLite: what agents said is for their owner's eyes only.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.shed = self.dropped = 0
        self._shed_up_to = 0
        self._limit_pages = max(limit_bytes, SMALLEST_LIMIT_BYTES) // PAGE_BYTES
        self._change = 0
        self._connection = sqlite3.connect(
            path, timeout=0.5, autocommit=True, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run(f"PRAGMA page_size = {PAGE_BYTES}")
        (mode,) = run("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError("its file system can't hold a write-ahead log")
        run("PRAGMA synchronous = NORMAL")  # a commit outlives the process, and that is enough
        run(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        (version,) = run("PRAGMA user_version").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_schema").fetchone()
        if version == 0 and tables == 0:
            self._connection.executescript(_SCHEMA)
        elif version != _VERSION:
            raise OtherVersion(f"its table is of version {version}, this is version {_VERSION}")
        (self._change,) = run("SELECT coalesce(max(change), 0) FROM calls").fetchone()

    def write(self, entries: Sequence[Entry]) -> None:
        """Add calls in this order; one that is known already is replaced and keeps its number."""
        first = self._change + 1
        rows = [(first + place, *entry) for place, entry in enumerate(entries)]
        with self._transaction():
            self._connection.executemany(_INSERT, rows)
            shed, dropped = self._make_room()
        self._change += len(rows)
        self.shed += shed
        self.dropped += dropped

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
        with self._transaction():
            query = f"DELETE FROM calls WHERE {condition}"  # noqa: S608 - values are bound
            return int(self._connection.execute(query, values).rowcount)

    def count(self) -> int:
        """How many calls there are."""
        (count,) = self._connection.execute("SELECT count(*) FROM calls").fetchone()
        return int(count)

    @property
    def last_change(self) -> int:
        """Number of the last change."""
        return self._change

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        return self._used_pages() * PAGE_BYTES

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._connection.close()

    def _make_room(self) -> tuple[int, int]:
        """Give up bodies of the oldest calls, and once there are none the oldest calls."""
        shed = dropped = 0
        while self._used_pages() > self._limit_pages:
            if gone := self._shed_some():
                shed += gone
            elif gone := self._connection.execute(_DROP, (_AT_ONCE,)).rowcount:
                dropped += gone
            else:
                break
        return shed, dropped

    def _shed_some(self) -> int:
        """Give up the oldest bodies; calls that have none any more are not looked at again."""
        run, first = self._connection.execute, self._shed_up_to
        (last,) = run(_WITH_BODIES, (first, _AT_ONCE)).fetchone()
        if last is None:
            return 0
        self._shed_up_to = last
        return int(run(_SHED, (first, last)).rowcount)

    def _used_pages(self) -> int:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
