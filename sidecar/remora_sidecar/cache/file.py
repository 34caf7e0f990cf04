"""Answers in a file, for callers that must never see it fail. Synchronous.

Under `DiskCache`, which calls it in a thread of its own, and `ResponseCache`. The file is opened
on first use. Where it can't be used there are only misses, counted, and it is tried again; a
broken one is moved aside and a new one begun.
"""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from remora_sidecar.cache.entry import decode, encode
from remora_sidecar.cache.level import CacheStats, Kept
from remora_sidecar.cache.table import AnswerTable
from remora_sidecar.sqlite_file import is_broken, move_aside

logger = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 1024 * 1024
_RETRY_NS = 10_000_000_000


class AnswerFile:
    """Keeps answers; used by one thread at a time.

    Attributes:
        moved_aside: Where a broken file was moved, None if none was.
        problem: Why nothing is kept; empty if all is well.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        """Name the file and the bound of its size; its write-ahead log comes on top."""
        self.moved_aside: Path | None = None
        self.problem = ""
        self._path = path
        self._limit_bytes = limit_bytes
        self._table: AnswerTable | None = None
        self._closed = False
        self._retry_at_ns = 0
        self._gone = [0, 0]
        self._hits = self._misses = self._expirations = self._errors = self._refused = 0

    def find(self, key: str, now_unix_ns: int) -> Kept | None:
        """Return what is kept under the key and has not expired."""
        kept = self._attempt(lambda table: self._found(table, key, now_unix_ns), now_unix_ns)
        if kept is None:
            self._misses += 1
        else:
            self._hits += 1
        return kept

    def _found(self, table: AnswerTable, key: str, now_unix_ns: int) -> Kept | None:
        if (row := table.get(key)) is None:
            return None
        value, expires_ns = row
        if now_unix_ns >= expires_ns:
            table.remove(key)
            self._expirations += 1
            return None
        if (answer := decode(value, key)) is None:
            self._errors += 1
            table.remove(key)
            return None
        kept = Kept(answer, expires_ns)
        return kept if kept.is_fresh(now_unix_ns) else None

    def keep(self, key: str, kept: Kept, now_unix_ns: int) -> None:
        """Keep an answer."""
        value = encode(kept.answer, key)
        if value is None or not self._attempt(
            lambda table: table.put(
                key, value, expires_ns=kept.expires_unix_ns, now_ns=now_unix_ns
            ),
            now_unix_ns,
        ):
            self._refused += 1

    def count(self) -> int:
        """How many answers are in the file, expired ones that were not yet removed included."""
        return self._attempt(lambda table: table.entries, None) or 0

    def __contains__(self, key: str) -> bool:
        """Tell whether something is kept under the key, expired or not."""
        return bool(self._attempt(lambda table: table.has(key), None))

    def flush(self) -> None:
        """Make everything outlive a loss of power."""
        if self._table is not None:
            self._attempt(AnswerTable.flush, None)

    def clear(self) -> None:
        """Forget everything."""
        self._attempt(AnswerTable.clear, None)

    def resize(self, limit_bytes: int) -> None:
        """Change the bound."""
        self._limit_bytes = limit_bytes
        if self._table is not None:
            self._attempt(lambda table: table.resize(limit_bytes), None)

    def stats(self) -> CacheStats:
        """Say how it goes; entries and bytes of a file that was not used yet are unknown."""
        table, used = self._table, None
        if table is not None:
            used = self._attempt(lambda table: table.used_bytes, None)
        evicted, expired = self._gone
        return CacheStats(
            entries=None if table is None else table.entries,
            held_bytes=used,
            hits=self._hits,
            misses=self._misses,
            evictions=evicted + (0 if table is None else table.evicted),
            expirations=self._expirations + expired + (0 if table is None else table.expired),
            errors=self._errors,
            refused=self._refused,
            problem=self.problem,
        )

    def close(self) -> None:
        """Let go of the file for good."""
        if not self._closed:
            self._closed = True
            self._let_go()

    # What may fail.

    def _attempt[T](self, work: Callable[[AnswerTable], T], now_ns: int | None) -> T | None:
        """Do something with the table; None where it does not allow it.

        Args:
            work: What to do.
            now_ns: When, so that a file that can't be opened is not tried at every call; None
                to try it whenever.
        """
        if self._closed or (self._table is None and now_ns is not None and self._waits(now_ns)):
            return None
        try:
            table = self._table = self._table or self._opened()
            result = work(table)
        except (sqlite3.Error, OSError) as error:
            self._failed(error, now_ns)
            return None
        self.problem = ""
        return result

    def _waits(self, now_ns: int) -> bool:
        # Not longer than the pause, whatever the clock does.
        return 0 < self._retry_at_ns - now_ns <= _RETRY_NS

    def _opened(self) -> AnswerTable:
        try:
            return AnswerTable(self._path, self._limit_bytes)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise
            self._set_aside(error)
        return AnswerTable(self._path, self._limit_bytes)

    def _failed(self, error: Exception, now_ns: int | None) -> None:
        self._errors += 1
        if not self.problem:
            logger.warning("the cache %s can't be used: %s", self._path, error)
        self.problem = f"can't use {self._path}: {error}"
        if now_ns is not None and self._table is None:
            self._retry_at_ns = now_ns + _RETRY_NS
        if isinstance(error, sqlite3.Error) and is_broken(error):
            self._let_go()
            self._set_aside(error)

    def _set_aside(self, error: sqlite3.Error) -> None:
        self.moved_aside = move_aside(self._path)
        logger.error(
            "the cache %s is unreadable (%s): moved to %s", self._path, error, self.moved_aside
        )

    def _let_go(self) -> None:
        table, self._table = self._table, None
        if table is None:
            return
        self._gone[0] += table.evicted
        self._gone[1] += table.expired
        try:
            table.close()
        except sqlite3.Error as error:
            logger.warning("the cache %s could not be closed: %s", self._path, error)
