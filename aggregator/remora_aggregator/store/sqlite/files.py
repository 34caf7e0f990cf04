"""Connections to the store's SQLite file: one that writes, any number that read."""

import sqlite3
from decimal import Context, Decimal
from pathlib import Path

from sqlite_utils import Database

from remora_aggregator.store.sqlite.migrations import migrate

_BUSY_MS = 10_000
_CACHE_KIB = 16 * 1024
_READING_CACHE_KIB = 8 * 1024
_MONEY = Context(prec=200)
"""Wide enough for the sum of any amounts that are admitted, so that nothing is rounded."""


class _MoneySum:
    """SQLite's sums are binary floats; money is decimal."""

    def __init__(self) -> None:
        self._total: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None:
            self._total = _MONEY.add(Decimal(value), self._total or Decimal(0))

    def finalize(self) -> str | None:
        return None if self._total is None else format(self._total, "f")


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the store to write, and bring its schema up to date.

    Raises:
        sqlite3.Error: It can't be opened.
        ConfigError: It was written by a newer Remora.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, check_same_thread=False)
    try:
        if connection.execute("pragma page_count").fetchone() == (0,):
            # So that room can be given back a little at a time.
            connection.execute("pragma auto_vacuum=incremental")
        connection.execute("pragma journal_mode=wal")
        # An acknowledged record must outlive a power cut, not only a crash.
        connection.execute("pragma synchronous=full")
        connection.execute(f"pragma cache_size=-{_CACHE_KIB}")
        migrate(Database(connection))
        connection.commit()
        # SQLite opens a file that may only be read without a word. Nothing reaches the disk here,
        # so one that is full can still be asked.
        connection.execute("update stock set bytes = bytes + 1")
        connection.rollback()
    except BaseException:
        connection.close()
        raise
    # From here on every transaction is begun and ended by us.
    connection.isolation_level = None
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the store to read; raises sqlite3.Error if it can't be."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=_BUSY_MS / 1000,
        check_same_thread=False,
        isolation_level=None,
    )
    try:
        connection.execute(f"pragma cache_size=-{_READING_CACHE_KIB}")
        connection.create_aggregate("money_sum", 1, _MoneySum)  # type: ignore[arg-type]  # str is right
    except BaseException:
        connection.close()
        raise
    return connection
