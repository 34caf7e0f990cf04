"""What every SQLite file of the sidecar has in common: what is broken, and where it goes.

The spool, the cache and the journal put their files into the data directory. A file that can't be
read is moved aside, never deleted.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WAL_KEPT_BYTES = 4 * 1024 * 1024
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class OtherVersion(sqlite3.DatabaseError):
    """The file's tables are those of another version of Remora."""


def is_broken(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the file itself is of no use."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return isinstance(error, OtherVersion) or code in _BROKEN


def move_aside(path: Path) -> Path:
    """Keep the broken file under one name, so that breaking again and again fills no disk.

    Raises:
        OSError: It can't be moved.
    """
    aside = path.with_name(path.name + ".broken")
    for suffix in ("", "-wal", "-shm"):
        source, target = (base.with_name(base.name + suffix) for base in (path, aside))
        target.unlink(missing_ok=True)
        if source.exists():
            source.replace(target)
    return aside


def open_alone(
    path: Path, schema: str, version: int, *, page_bytes: int, gives_back: bool = False
) -> sqlite3.Connection:
    """Open or make a file that no other program may have at the same time.

    So two sidecars can't share it, and SQLite needs no shared memory beside it. A commit outlives
    the process; a checkpoint makes it outlive a loss of power.

    Args:
        path: The file, for its owner's eyes only; its folder is made if it is missing.
        schema: Makes the tables and sets ``user_version``.
        version: The ``user_version`` that the tables should have.
        page_bytes: Of a new file.
        gives_back: A new file can be made smaller by ``incremental_vacuum``.

    Raises:
        sqlite3.Error: It can't be opened, is broken, or another program has it.
        OSError: Its folder can't be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made here and not by SQLite, which would let others read it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=0.5, autocommit=True, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        if gives_back:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError("its file system can't hold a write-ahead log")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        _make_or_check_tables(connection, schema, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_or_check_tables(connection: sqlite3.Connection, schema: str, version: int) -> None:
    found = pragma(connection, "user_version")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if found == 0 and tables == 0:
        connection.executescript(schema)
    elif found != version:
        raise OtherVersion(f"its table is of version {found}, this is version {version}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make all changes of a block, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself ends it after some errors
            connection.execute("ROLLBACK")
        raise


def used_pages(connection: sqlite3.Connection) -> int:
    """Count the pages that hold something."""
    return pragma(connection, "page_count") - pragma(connection, "freelist_count")


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Read a pragma that is one number."""
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
