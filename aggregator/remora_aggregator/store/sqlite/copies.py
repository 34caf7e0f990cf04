"""Copies of a store's file: made while it is written to, looked over, put back."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from remora.errors import ConfigError, Problem
from remora_aggregator.store.sqlite.files import open_reader

_PAGES_AT_ONCE = 4_000

type Progress = Callable[[int, int], None]
"""Takes how many pages are left, and how many there are."""


def back_up(store: Path, copy: Path, progress: Progress) -> None:
    """Copy a store as it is at one moment, whoever writes to it meanwhile.

    Args:
        store: The store's file.
        copy: Where the copy goes; it is there whole, or not at all.
        progress: Is told how far it is.

    Raises:
        ConfigError: The store can't be read, or the copy can't be written or is damaged.
    """
    if not store.is_file():
        raise ConfigError([Problem(str(store), "there is no store")])
    try:
        with tempfile.TemporaryDirectory(prefix=".remora-", dir=copy.absolute().parent) as folder:
            made = Path(folder) / copy.name
            made.touch(mode=0o600)
            _copy(store, made, progress)
            if found := damage(made):
                raise ConfigError([Problem(str(store), f"the copy would be damaged: {found}")])
            _synced(made)
            os.replace(made, copy)
    except (OSError, sqlite3.Error) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Problem(str(copy), f"can't be written: {what}")]) from error


def _copy(store: Path, made: Path, progress: Progress) -> None:
    with closing(open_reader(store)) as source, closing(sqlite3.connect(made)) as target:
        source.backup(
            target,
            pages=_PAGES_AT_ONCE,
            progress=lambda _status, left, whole: progress(left, whole),
        )
        # One file, without a log beside it.
        target.execute("pragma journal_mode=delete")


def damage(path: Path) -> str:
    """Look a file over, all of it; says what is damaged, empty if nothing is.

    Raises:
        ConfigError: There is no such file, or it is no store.
    """
    if not path.is_file():
        raise ConfigError([Problem(str(path), "there is no store")])
    try:
        with closing(open_reader(path)) as connection:
            rows = connection.execute("pragma integrity_check(20)").fetchall()
    except sqlite3.DatabaseError as error:
        return str(error)
    found = "\n".join(str(text) for (text,) in rows)
    return "" if found == "ok" else found


def put_back(copy: Path, store: Path) -> None:
    """Put a copy in the place of a store that nobody has open.

    The file that was there is kept beside it, with ``.before-restore`` at its name.

    Raises:
        ConfigError: The copy is damaged, or can't be put there.
    """
    if found := damage(copy):
        raise ConfigError([Problem(str(copy), f"it is damaged: {found}")])
    try:
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = store.with_name(f".{store.name}.restored")
        shutil.copyfile(copy, made)
        made.chmod(0o600)
        _synced(made)
        for suffix in ("", "-wal", "-shm"):
            old = store.with_name(store.name + suffix)
            if old.exists():
                os.replace(old, store.with_name(f"{store.name}.before-restore{suffix}"))
        os.replace(made, store)
    except OSError as error:
        raise ConfigError([Problem(str(store), f"can't be replaced: {error.strerror}")]) from error


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
