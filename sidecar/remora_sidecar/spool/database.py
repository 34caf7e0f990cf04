"""The spool's SQLite file: how it is opened, what is in it, what happens when it is broken.

Two connections share it: the appender, used on the event loop, which only inserts, and the
drain's, used in one worker thread. A file that can't be read is moved aside, never deleted.
"""

import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from remora_sidecar.spool.row import Row
from remora_sidecar.sqlite_file import OtherVersion, is_broken, move_aside

logger = logging.getLogger(__name__)

PAGE_BYTES = 2048
"""Half of SQLite's default: an append rewrites its last page, so this halves what it writes."""

_VERSION = 1
"""Of the tables below; the schema's `user_version`."""
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    bodies BLOB
);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    record BLOB NOT NULL
);
CREATE TABLE upkeep (checkpoints INTEGER NOT NULL);
INSERT INTO upkeep VALUES (0);
PRAGMA user_version = 1;
COMMIT;
"""
_INSERT = "INSERT INTO records VALUES (?, ?, ?)"
_WAL_KEPT_BYTES = 8 * 1024 * 1024
_OTHERS_WAIT_S = 2.0
"""How long the drain waits for another program that holds the file; the appender never waits."""


@dataclass(frozen=True)
class Database:
    """The open file.

    Attributes:
        highest: The highest sequence ever seen in the file, 0 if it is empty.
        depth: How many records were in it.
        moved_aside: Where a broken file was moved, None if there was none.
    """

    appender: sqlite3.Connection
    drain: sqlite3.Connection
    highest: int
    depth: int
    moved_aside: Path | None

    def close(self) -> None:
        """Close both connections; the last one folds the write-ahead log into the file."""
        self.drain.close()
        self.appender.close()


def insert(appender: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write rows down, all or none of them; raises sqlite3.Error."""
    values = [(row.sequence, row.record, row.bodies) for row in rows]
    if len(values) == 1:
        appender.execute(_INSERT, values[0])  # a transaction of its own
        return
    appender.execute("BEGIN")
    try:
        appender.executemany(_INSERT, values)
        appender.execute("COMMIT")
    except sqlite3.Error:
        if appender.in_transaction:  # SQLite itself ends it after some errors
            appender.execute("ROLLBACK")
        raise


def open_database(path: Path, limit_bytes: int) -> Database:
    """Open the file, or make it; a broken one is moved aside first.

    Raises:
        sqlite3.Error: The file can't be opened or made.
        OSError: Its folder can't be made, or the broken file can't be moved.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _open(path, limit_bytes, None)
    except sqlite3.DatabaseError as error:
        if not is_broken(error):
            raise
        aside = move_aside(path)
        logger.error("the spool %s is unreadable (%s): moved to %s", path, error, aside)
    return _open(path, limit_bytes, aside)


def _open(path: Path, limit_bytes: int, moved_aside: Path | None) -> Database:
    # Made here and not by SQLite: records are for their owner's eyes only.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    drain = _connect(path, wait_s=_OTHERS_WAIT_S)
    try:
        highest, depth = _prepare(drain)
        appender = _connect(path, wait_s=0)
    except BaseException:
        drain.close()
        raise
    appender.execute(f"PRAGMA max_page_count = {limit_bytes // PAGE_BYTES}")
    return Database(appender, drain, highest, depth, moved_aside)


def _connect(path: Path, *, wait_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=wait_s, autocommit=True, check_same_thread=False)
    try:
        _configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError("its file system can't hold a write-ahead log")
    # A commit is a write, not an fsync: it outlives the process, and power loss leaves the
    # file whole. The drain checkpoints; the appender never does, since that does fsync.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")


def _prepare(connection: sqlite3.Connection) -> tuple[int, int]:
    """Make or check the tables; returns the highest sequence and the number of records."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and tables == 0:
        connection.executescript(_SCHEMA)
    elif version != _VERSION:
        raise OtherVersion(f"its tables are of version {version}, this is version {_VERSION}")
    # Reads every leaf of the table, which also finds a torn file before it is trusted.
    query = "SELECT coalesce(max(sequence), 0), count(*) FROM records"
    with closing(connection.execute(query)) as rows:
        highest, depth = rows.fetchone()
    if depth == 0:
        connection.execute("VACUUM")  # gives back what a long outage took; nothing is copied
    return highest, depth
