"""A table in a file of its own: opened on first use, moved aside where it is broken.

For one thread; `problem` may be read from others.
"""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from remora_sidecar.sqlite_file import is_broken, move_aside

logger = logging.getLogger(__name__)


class Table(Protocol):
    """What stands in the file."""

    def close(self) -> None:
        """Let go of the file; raises sqlite3.Error."""
        ...


class TableFile[T: Table]:
    """The file and the table in it.

    Attributes:
        problem: Why the file can't be used; empty if it can.
    """

    def __init__(self, what: str, path: Path, open_table: Callable[[Path], T]) -> None:
        """Name the file; nothing is opened yet.

        Args:
            what: What it is, for the log.
            path: Where it is.
            open_table: Opens or makes it; raises sqlite3.Error or OSError.
        """
        self.problem = ""
        self._what = what
        self._path = path
        self._open = open_table
        self._table: T | None = None

    def table(self) -> T:
        """Give the table; raises sqlite3.Error or OSError where there is none to be had."""
        if self._table is None:
            try:
                self._table = self._open(self._path)
            except sqlite3.Error as error:
                if not is_broken(error):
                    raise
                self._set_aside(error)
                self._table = self._open(self._path)
        return self._table

    def works(self) -> None:
        """Take note that the file could be used."""
        self.problem = ""

    def failed(self, error: Exception) -> None:
        """Take note that it could not, and begin anew if it is broken; raises OSError."""
        if not self.problem:
            logger.warning("the %s %s can't be used: %s", self._what, self._path, error)
        self.problem = f"can't use {self._path}: {error}"
        if isinstance(error, sqlite3.Error) and is_broken(error):
            self.let_go()
            self._set_aside(error)

    def let_go(self) -> None:
        """Close the file, if it is open."""
        table, self._table = self._table, None
        try:
            if table is not None:
                table.close()
        except sqlite3.Error as error:
            logger.warning("the %s %s could not be closed: %s", self._what, self._path, error)

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = move_aside(self._path)
        logger.error(
            "the %s %s is unreadable (%s): moved to %s", self._what, self._path, error, aside
        )
