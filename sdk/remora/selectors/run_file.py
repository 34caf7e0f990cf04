"""Evaluations in SQLite, so that a run goes on after a crash where it was.

One file is one run. Each evaluation is committed as it ends; a file is used by one run at a time.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from remora.errors import RemoraError
from remora.selectors.evaluation import CallFacts, Cell, Evaluation
from remora.selectors.pricing import PriceList

_APPLICATION_ID = 0x52656D73  # "Rems", in the header of the file
_FORMAT = "1"

_TABLES = """
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE evaluation (
  combination INTEGER NOT NULL,
  datapoint INTEGER NOT NULL,
  score REAL NOT NULL,
  latency_seconds REAL NOT NULL,
  calls TEXT NOT NULL,
  error TEXT,
  PRIMARY KEY (combination, datapoint)
) STRICT, WITHOUT ROWID;
"""


class RunFileError(RemoraError):
    """A run file that can't be used: another run's, in use, or none at all."""


class RunFile:
    """The evaluations of one run."""

    def __init__(self, path: Path | None, fingerprint: Mapping[str, str]) -> None:
        """Open a file, or make it; None keeps evaluations in memory.

        Raises:
            RunFileError: It is of another agent, other models or another data set, is used by a
                run just now, or is no run file.
        """
        self._name = str(path) if path is not None else "the run"
        try:
            self._database = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise RunFileError(f"{self._name} can't be opened: {error}") from error
        try:
            self._prepare({"format": _FORMAT, **fingerprint})
        except sqlite3.Error as error:
            self.close()
            raise RunFileError(f"{self._name} can't be used: {_reason(error)}") from error
        except RunFileError:
            self.close()
            raise

    def _prepare(self, expected: Mapping[str, str]) -> None:
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("BEGIN EXCLUSIVE")
        if self._is_new():
            for statement in filter(str.strip, _TABLES.split(";")):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._database.executemany("INSERT INTO run VALUES (?, ?)", expected.items())
        self._database.execute("COMMIT")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._check(expected)

    def _is_new(self) -> bool:
        [[application]] = self._database.execute("PRAGMA application_id")
        [[tables]] = self._database.execute("SELECT count(*) FROM sqlite_master")
        if tables and application != _APPLICATION_ID:
            raise RunFileError(f"{self._name} is a database, but not of a run: name another file")
        return not tables

    def _check(self, expected: Mapping[str, str]) -> None:
        found = dict(self._database.execute("SELECT name, value FROM run"))
        other = [name for name, value in expected.items() if found.get(name) != value]
        if other:
            raise RunFileError(
                f"{self._name} holds a run with another {' and another '.join(other)}: "
                "go on with what it was begun with, or name another file"
            )

    def evaluations(self, prices: PriceList) -> Iterator[Evaluation]:
        """Give all that are kept, by these prices."""
        for combination, datapoint, score, latency, written, error in self._database.execute(
            "SELECT combination, datapoint, score, latency_seconds, calls, error FROM evaluation"
        ):
            cell = Cell(combination, datapoint)
            calls = tuple(_read_call(call) for call in json.loads(written))
            bill = prices.bill(calls, has_failed=error is not None)
            yield Evaluation(cell, score, latency, calls, bill, error)

    def keep(self, evaluation: Evaluation) -> None:
        """Keep one; it is on disk when this returns."""
        self._database.execute(
            "INSERT OR REPLACE INTO evaluation VALUES (?, ?, ?, ?, ?, ?)",
            (
                *evaluation.cell,
                evaluation.score,
                evaluation.latency_seconds,
                json.dumps([asdict(call) for call in evaluation.calls], default=str),
                evaluation.error,
            ),
        )

    def close(self) -> None:
        """Let others use the file."""
        self._database.close()


def _reason(error: sqlite3.Error) -> str:
    return "a run uses it just now" if "locked" in str(error) else str(error)


def _read_call(written: dict[str, Any]) -> CallFacts:
    sums = {name: written[name] for name in ("cost_usd", "saved_usd")}
    read = {name: None if usd is None else Decimal(usd) for name, usd in sums.items()}
    return CallFacts(**{**written, **read})
