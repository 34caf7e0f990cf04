"""The spool's other side: what reads, deletes, sheds and checkpoints, in one worker thread.

Every write transaction is small and takes the lock that the appender takes, so that an
append waits microseconds for one, and never for a checkpoint's fsync unless the write-ahead
log has reached its hard bound. Called by the spool only; nothing here runs on the event loop.
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import batched

from google.protobuf.message import DecodeError

from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.spool.database import PAGE_BYTES
from remora_sidecar.spool.row import SHED, Row, Spooled

_CHUNK = 32
"""Rows changed in one transaction: some 100 µs under the lock."""
_DEAD_LETTERS = 1000
"""How many refused records are kept for a person to look at."""
_SHED_ABOVE = 0.9
_SHED_TO = 0.85
"""Parts of the limit: shedding starts before the file is full, and then makes some room."""
_WAL_BOUND_BYTES = 64 * 1024 * 1024
_PASSES = 3

_READ = "SELECT sequence, record, bodies FROM records WHERE sequence > ? ORDER BY sequence"
_FACTS = "SELECT record FROM records ORDER BY sequence"
_DELETE = "DELETE FROM records WHERE sequence BETWEEN ? AND ?"
_BURY = "INSERT INTO dead_letters (reason, record) SELECT ?, record FROM records WHERE sequence = ?"
_TRIM = (
    "DELETE FROM dead_letters WHERE id <= "
    "(SELECT id FROM dead_letters ORDER BY id DESC LIMIT 1 OFFSET ?)"
)
_OLDEST_BODIES = (
    "SELECT sequence FROM records WHERE sequence > ? AND length(bodies) > 0 "
    "ORDER BY sequence LIMIT ?"
)
_OLDEST = "SELECT sequence FROM records ORDER BY sequence LIMIT ?"
_SHED_BODIES = "UPDATE records SET bodies = ? WHERE sequence = ?"


@dataclass(frozen=True, slots=True)
class Found:
    """What a read handed out; ``cursor`` is where to go on, ``whole`` says nothing was left."""

    entries: list[Spooled]
    cursor: int
    whole: bool


class Drain:
    """Reads and shrinks the spool over a connection of its own.

    Attributes:
        deleted_total: Rows that left the table, for whatever reason.
    """

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock, limit_bytes: int):
        """Take the connection and the lock shared with the appender."""
        self._connection = connection
        self._lock = lock
        self._limit_bytes = limit_bytes
        self._no_bodies_up_to = 0
        self.deleted_total = 0
        self.shed_bodies_total = 0
        self.shed_records_total = 0
        self.unreadable_total = 0

    def read(self, after: int, limit: int, max_bytes: int, skip: Collection[int]) -> Found:
        """Read records after a sequence: at least one if there is any, within both bounds.

        A row that is no record is buried, and passed over.
        """
        entries: list[Spooled] = []
        unreadable: list[int] = []
        cursor, size, whole = after, 0, True
        with closing(self._connection.execute(_READ, (after,))) as found:
            for row in (Row(*columns) for columns in found):
                size += row.size
                if len(entries) >= limit or (entries and size > max_bytes):
                    whole = False
                    break
                cursor = row.sequence
                if cursor not in skip:
                    self._decode(row, entries, unreadable)
        self.bury(unreadable, "unreadable")
        self.unreadable_total += len(unreadable)
        return Found(entries, cursor, whole)

    @staticmethod
    def _decode(row: Row, entries: list[Spooled], unreadable: list[int]) -> None:
        try:
            entries.append(row.spooled())
        except DecodeError:
            unreadable.append(row.sequence)

    def find(self, is_wanted: Callable[[pb.CallRecord], bool]) -> list[pb.CallRecord]:
        """Read records that somebody looks for, oldest first, without bodies; a pass over all."""
        found = []
        with closing(self._connection.execute(_FACTS)) as rows:
            for (written,) in rows:
                message = pb.CallRecord()
                with suppress(DecodeError):  # whoever delivers buries it
                    message.ParseFromString(written)
                    if is_wanted(message):
                        found.append(message)
        return found

    def delete(self, sequences: Iterable[int]) -> int:
        """Delete these rows; returns how many there were."""
        before = self.deleted_total
        for chunk in batched(sequences, _CHUNK):
            with self._transaction():
                changed = self._delete(chunk)
            self.deleted_total += changed
        return self.deleted_total - before

    def bury(self, sequences: Iterable[int], reason: str) -> int:
        """Move these rows to the bounded table of dead letters, without their bodies."""
        before = self.deleted_total
        for chunk in batched(sequences, _CHUNK):
            with self._transaction():
                self._connection.executemany(_BURY, [(reason, number) for number in chunk])
                self._connection.execute(_TRIM, (_DEAD_LETTERS,))
                changed = self._delete(chunk)
            self.deleted_total += changed
        return self.deleted_total - before

    def upkeep(self) -> None:
        """Shed what is over the limit, then fold the write-ahead log into the file."""
        if self.used_bytes() > self._limit_bytes * _SHED_ABOVE:
            while self.used_bytes() > self._limit_bytes * _SHED_TO and self._shed_some():
                pass
        self._checkpoint()

    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * PAGE_BYTES

    def _shed_some(self) -> bool:
        if bodies := self._sequences(_OLDEST_BODIES, self._no_bodies_up_to, _CHUNK):
            with self._transaction():
                self._connection.executemany(_SHED_BODIES, [(SHED, number) for number in bodies])
            self._no_bodies_up_to = bodies[-1]
            self.shed_bodies_total += len(bodies)
            return True
        records = self._sequences(_OLDEST, _CHUNK)
        self.delete(records)
        self.shed_records_total += len(records)
        return bool(records)

    def _sequences(self, query: str, *arguments: int) -> list[int]:
        with closing(self._connection.execute(query, arguments)) as rows:
            return [sequence for (sequence,) in rows]

    def _delete(self, sequences: Iterable[int]) -> int:
        """Delete rows; such as follow each other, which most do, in one statement."""
        return sum(self._connection.execute(_DELETE, run).rowcount for run in _runs(sequences))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _checkpoint(self) -> None:
        """Copy the log into the file beside running appends, then start the log anew.

        The write that starts it anew pays an fsync, so it is done here. Appends that come
        faster than the copying keep the log from being whole; it then grows up to its
        bound, where they have to wait once.
        """
        copied = self._copy_log()
        for _ in range(_PASSES):
            before, copied = copied, self._copy_log()
            if copied == before:  # nothing was appended meanwhile
                with self._lock:
                    self._start_log_anew()
                return
        if copied * PAGE_BYTES > _WAL_BOUND_BYTES:
            with self._lock:
                self._copy_log()
                self._start_log_anew()

    def _copy_log(self) -> int:
        """Copy what the log held when this began; returns how many frames that were."""
        _, _, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(copied)

    def _start_log_anew(self) -> None:
        self._connection.execute("UPDATE upkeep SET checkpoints = checkpoints + 1")


def _runs(sequences: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Give the first and last of each run of numbers without a gap."""
    ascending = sorted(sequences)
    start = 0
    for end in range(1, len(ascending) + 1):
        if end == len(ascending) or ascending[end] != ascending[end - 1] + 1:
            yield ascending[start], ascending[end - 1]
            start = end
