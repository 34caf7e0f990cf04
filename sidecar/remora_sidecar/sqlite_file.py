"""What every SQLite file of the sidecar has in common: what is broken, and where it goes.

The spool and the cache put their files into the data directory. A file that can't be read is
moved aside, never deleted.
"""

import sqlite3
from pathlib import Path

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
