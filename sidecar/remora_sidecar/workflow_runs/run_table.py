"""The tables of workflow runs: what was ordered, what was saved since, and what came of it.

Texts stand in it while a run goes on and for a while after, in a file for its owner's eyes only;
what is deleted is overwritten.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from remora_sidecar.sqlite_file import open_alone, transaction

RUNS_FILE: Final = "workflows.db"

_PAGE_BYTES: Final = 4096
_VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE run (
  execution_id TEXT PRIMARY KEY,
  ordered BLOB NOT NULL,
  taken_ms INTEGER NOT NULL DEFAULT 0,
  began_unix_ns INTEGER NOT NULL,
  ended_unix_ns INTEGER,
  result BLOB
) STRICT;
CREATE INDEX run_by_end ON run (ended_unix_ns);
CREATE TABLE entry (
  execution_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (execution_id, number)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


class NewRun(NamedTuple):
    """A run that was ordered.

    Attributes:
        ordered: JSON.
    """

    execution_id: str
    ordered: bytes
    began_unix_ns: int


class NewEntries(NamedTuple):
    """What a run wants kept.

    Attributes:
        first: Number of the first.
        values: JSON of each.
        taken_ms: How long the run has taken so far.
    """

    execution_id: str
    first: int
    values: Sequence[bytes]
    taken_ms: int


class Ending(NamedTuple):
    """A run that is over: its entries go, its result stays for a while.

    Attributes:
        ordered: What stays of the order, as JSON.
        result: JSON.
    """

    execution_id: str
    ordered: bytes
    ended_unix_ns: int
    result: bytes


type Change = NewRun | NewEntries | Ending


class OpenRun(NamedTuple):
    """A run that is not over.

    Attributes:
        ordered: What `Ordered.value` wrote.
        taken_ms: How long it had taken.
        entries: What it had saved, in order, as `entry_value` wrote it.
    """

    ordered: dict[str, Any]
    taken_ms: int
    entries: list[dict[str, Any]]


class EndedRun(NamedTuple):
    """A run that is over.

    Attributes:
        ordered: What `Ordered.value` wrote, without texts.
        result: The execution, as answers carry it.
    """

    ordered: dict[str, Any]
    ended_unix_ns: int
    result: dict[str, Any]


class RunTable:
    """An open file; for one thread."""

    def __init__(self, path: Path) -> None:
        """Open or make it; raises sqlite3.Error or OSError."""
        self._connection = open_alone(path, _SCHEMA, _VERSION, page_bytes=_PAGE_BYTES)
        self._connection.execute("PRAGMA secure_delete = ON")
        self._connection.execute(
            "DELETE FROM entry WHERE execution_id NOT IN (SELECT execution_id FROM run)"
        )

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def apply(self, changes: Sequence[Change]) -> bool:
        """Make changes, all or none; those that were made before change nothing. True: they are."""
        with transaction(self._connection):
            for change in changes:
                self._apply(change)
        return True

    def _apply(self, change: Change) -> None:
        run = self._connection.execute
        match change:
            case NewRun():
                run(
                    "INSERT OR IGNORE INTO run (execution_id, ordered, began_unix_ns)"
                    " VALUES (?, ?, ?)",
                    change,
                )
            case NewEntries(execution_id, first, values, taken_ms):
                rows = [(execution_id, first + n, value) for n, value in enumerate(values)]
                self._connection.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?, ?)", rows)
                run("UPDATE run SET taken_ms = ? WHERE execution_id = ?", (taken_ms, execution_id))
            case Ending(execution_id, ordered, ended_unix_ns, result):
                run("DELETE FROM entry WHERE execution_id = ?", (execution_id,))
                run(
                    "UPDATE run SET ordered = ?, ended_unix_ns = ?, result = ?"
                    " WHERE execution_id = ?",
                    (ordered, ended_unix_ns, result, execution_id),
                )

    def open_runs(self) -> list[OpenRun]:
        """Read the runs that are not over, oldest first."""
        rows = self._connection.execute(
            "SELECT execution_id, ordered, taken_ms FROM run WHERE ended_unix_ns IS NULL"
            " ORDER BY began_unix_ns"
        )
        return [
            OpenRun(json.loads(ordered), taken_ms, self._entries(execution_id))
            for execution_id, ordered, taken_ms in rows
        ]

    def _entries(self, execution_id: str) -> list[dict[str, Any]]:
        rows = self._connection.execute(
            "SELECT value FROM entry WHERE execution_id = ? ORDER BY number", (execution_id,)
        )
        return [json.loads(value) for (value,) in rows]

    def ended_runs(self) -> list[EndedRun]:
        """Read the runs that are over, oldest first, with their results."""
        rows = self._connection.execute(
            "SELECT ordered, ended_unix_ns, result FROM run"
            " WHERE ended_unix_ns IS NOT NULL ORDER BY ended_unix_ns"
        )
        return [
            EndedRun(json.loads(ordered), ended_unix_ns, json.loads(result))
            for ordered, ended_unix_ns, result in rows
        ]

    def forget(self, execution_ids: Sequence[str]) -> None:
        """Delete runs that are over."""
        with transaction(self._connection):
            self._connection.executemany(
                "DELETE FROM run WHERE execution_id = ? AND ended_unix_ns IS NOT NULL",
                [(execution_id,) for execution_id in execution_ids],
            )

    def tidy(self) -> None:
        """Fold the write-ahead log, where deleted texts still stand, into the file."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
