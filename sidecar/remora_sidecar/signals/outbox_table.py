"""Signals that wait for the aggregator, in one SQLite file: each id once, the oldest out first.

Called by `Outbox` from one thread at a time.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from remora_sidecar.sqlite_file import open_alone, transaction, used_pages

PAGE_BYTES = 4096
SMALLEST_LIMIT_BYTES = 64 * PAGE_BYTES

_VERSION = 1
"""Of the table below; the schema's `user_version`."""
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE signals (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    signal_id TEXT NOT NULL UNIQUE,
    message BLOB NOT NULL
);
PRAGMA user_version = 1;
COMMIT;
"""
_INSERT = "INSERT INTO signals (signal_id, message) VALUES (?, ?) ON CONFLICT DO NOTHING"
_OLDEST = "SELECT sequence, message FROM signals ORDER BY sequence LIMIT ?"
_DROP = (
    "DELETE FROM signals WHERE sequence IN (SELECT sequence FROM signals ORDER BY sequence LIMIT ?)"
)
_AT_ONCE = 64
"""Signals that are shed in one step."""


class WaitingSignal(NamedTuple):
    """A signal that was taken.

    Attributes:
        sequence: Grows in the order in which signals came.
        message: It, as `remora.v1.Signal` on the wire.
    """

    sequence: int
    message: bytes


class Kept(NamedTuple):
    """What became of signals that came.

    Attributes:
        new: Those that were not there before.
        shed: Older ones that were given up for them.
    """

    new: int
    shed: int


class OutboxTable:
    """One open file; every method may raise `sqlite3.Error`, and changes nothing then."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Open or make the file.

        Raises:
            sqlite3.Error: It can't be opened, is broken, or another program has it.
            OSError: Its folder can't be made.
        """
        self._limit_pages = max(limit_bytes, SMALLEST_LIMIT_BYTES) // PAGE_BYTES
        self._connection = open_alone(path, _SCHEMA, _VERSION, page_bytes=PAGE_BYTES)

    def keep(self, signals: Sequence[tuple[str, bytes]]) -> Kept:
        """Add signals by their ids, in this order; one that waits already is left as it is."""
        with transaction(self._connection):
            before = self._connection.total_changes
            self._connection.executemany(_INSERT, signals)
            new = self._connection.total_changes - before
            return Kept(new, self._make_room())

    def oldest(self, limit: int, max_bytes: int) -> list[WaitingSignal]:
        """Read those that came first: so many, no more bytes than that, but one in any case."""
        with closing(self._connection.execute(_OLDEST, (limit,))) as rows:
            found: list[WaitingSignal] = []
            size = 0
            for sequence, message in rows:
                size += len(message)
                if found and size > max_bytes:
                    break
                found.append(WaitingSignal(sequence, message))
            return found

    def forget(self, sequences: Sequence[int]) -> None:
        """Remove signals; those that are gone already do no harm."""
        with transaction(self._connection):
            self._connection.executemany(
                "DELETE FROM signals WHERE sequence = ?", [(one,) for one in sequences]
            )

    def count(self) -> int:
        """How many wait."""
        (count,) = self._connection.execute("SELECT count(*) FROM signals").fetchone()
        return int(count)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._connection.close()

    def _make_room(self) -> int:
        shed = 0
        while used_pages(self._connection) > self._limit_pages:
            gone = self._connection.execute(_DROP, (_AT_ONCE,)).rowcount
            if not gone:
                break
            shed += gone
        return shed
