"""Executions that wait for the aggregator, in one SQLite file: of each the last that was told.

Called by `ExecutionOutbox` from one thread at a time.
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
CREATE TABLE executions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    is_over INTEGER NOT NULL,
    message BLOB NOT NULL
);
PRAGMA user_version = 1;
COMMIT;
"""
_PUT = (
    "INSERT INTO executions (execution_id, revision, is_over, message) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (execution_id) DO UPDATE SET revision = excluded.revision, "
    "is_over = excluded.is_over, message = excluded.message "
    "WHERE excluded.revision > executions.revision"
)
_OLDEST = "SELECT sequence, revision, message FROM executions ORDER BY sequence LIMIT ?"
_DROP = (
    # Those that go on are told again; the last of those that are over comes only once.
    "DELETE FROM executions WHERE sequence IN "
    "(SELECT sequence FROM executions ORDER BY is_over, sequence LIMIT ?)"
)
_AT_ONCE = 16
"""Executions that are shed in one step."""


class NewReport(NamedTuple):
    """A report that came.

    Attributes:
        message: It, as `remora.v1.ExecutionReport` on the wire.
    """

    execution_id: str
    revision: int
    is_over: bool
    message: bytes


class WaitingReport(NamedTuple):
    """A report that waits.

    Attributes:
        sequence: Grows in the order in which executions were told of first.
        revision: Of the report; a later one may have come when it goes.
        message: It, as `remora.v1.ExecutionReport` on the wire.
    """

    sequence: int
    revision: int
    message: bytes


class ExecutionTable:
    """One open file; every method may raise `sqlite3.Error`, and changes nothing then."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Open or make the file.

        Raises:
            sqlite3.Error: It can't be opened, is broken, or another program has it.
            OSError: Its folder can't be made.
        """
        self._limit_pages = max(limit_bytes, SMALLEST_LIMIT_BYTES) // PAGE_BYTES
        self._connection = open_alone(path, _SCHEMA, _VERSION, page_bytes=PAGE_BYTES)

    def keep(self, reports: Sequence[NewReport]) -> int:
        """Keep reports instead of earlier ones; returns how many executions were given up."""
        with transaction(self._connection):
            self._connection.executemany(_PUT, reports)
            return self._make_room()

    def oldest(self, limit: int, max_bytes: int) -> list[WaitingReport]:
        """Read those that came first: so many, no more bytes than that, but one in any case."""
        with closing(self._connection.execute(_OLDEST, (limit,))) as rows:
            found: list[WaitingReport] = []
            size = 0
            for row in rows:
                waiting = WaitingReport(*row)
                size += len(waiting.message)
                if found and size > max_bytes:
                    break
                found.append(waiting)
            return found

    def forget(self, reports: Sequence[WaitingReport]) -> None:
        """Remove reports; a later one of the same execution stays."""
        with transaction(self._connection):
            self._connection.executemany(
                "DELETE FROM executions WHERE sequence = ? AND revision = ?",
                [report[:2] for report in reports],
            )

    def count(self) -> int:
        """How many wait."""
        (count,) = self._connection.execute("SELECT count(*) FROM executions").fetchone()
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
