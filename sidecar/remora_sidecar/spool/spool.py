"""The durable queue between finished calls and the aggregator.

The engine appends on the event loop: one short transaction, no thread hop, never an exception. The
reporter takes batches, from memory where they are the newest, and deletes what was acknowledged;
reading, deleting, shedding and checkpoints run in one worker thread over a second connection.
While the file does not take records they wait in a bounded queue in memory, from where they are
delivered or written down later.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from remora.clock import Clock
from remora.records import CallRecord
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.spool.backlog import Backlog
from remora_sidecar.spool.database import PAGE_BYTES, Database, insert, open_database
from remora_sidecar.spool.drain import Drain, Found
from remora_sidecar.spool.row import SHED, Encoded, Row, Spooled, encode
from remora_sidecar.spool.tail import Tail

logger = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 1024 * 1024
"""Default bound of the file: some 400,000 records without bodies."""
_BACKLOG_LIMIT_BYTES = 16 * 1024 * 1024
_UPKEEP_EVERY_BYTES = 4 * 1024 * 1024
_WRITE_WAIT_S = 0.05
"""How long an append waits for the drain; it rather keeps the record in memory than wait more."""
_RETRY_FIRST_S = 0.1
_RETRY_MOST_S = 30.0
_RETRY_ROWS = 32
"""Rows written from memory in one go, so that a retry is about as bounded as an append."""

_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
}
"""Errors that say nothing against the open connection; after others the file is opened anew."""


class Spool:
    """Records that wait for the aggregator, in a file that survives kill -9.

    All methods are called on one event loop's thread.

    Attributes:
        arrived: Set when a record was appended; whoever takes batches clears it.
        moved_aside: Where a broken file was moved, None if none was.
        unwritten_total: Records that their file did not take at once.
        lost_total: Records that could not be written down in any form.
    """

    def __init__(self, path: Path, limit_bytes: int, clock: Clock) -> None:
        """Use `Spool.open`."""
        self.arrived = asyncio.Event()
        self.moved_aside: Path | None = None
        self.unwritten_total = 0
        self.lost_total = 0
        self._refused = 0
        self._oversize = 0
        self._closed = False
        self._path = path
        self._limit_bytes = limit_bytes
        self._upkeep_every = min(_UPKEEP_EVERY_BYTES, limit_bytes // 64)
        self._clock = clock
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "remora-spool")
        self._backlog = Backlog(_BACKLOG_LIMIT_BYTES)
        self._database: Database | None = None
        self._drain: Drain | None = None
        self._tail = Tail()
        self._opening: Future[Database] | None = None
        self._next = 1
        self._cursor = 0
        self._stored = 0
        self._forgotten: set[int] = set()
        self._since_upkeep = 0
        self._upkeep_waits = False
        self._retry_at = 0.0
        self._retry_s = _RETRY_FIRST_S
        self._unwritable = ""
        self._unkept = ""
        self._before: list[Drain] = []

    @classmethod
    def open(cls, path: Path, *, limit_bytes: int = LIMIT_BYTES, clock: Clock) -> "Spool":
        """Open or make the file; where that fails the spool works in memory and says so.

        Args:
            path: The file; its folder is made if it is missing.
            limit_bytes: Bound of the file, without its write-ahead log (at most 64 MiB more).
            clock: Decides when a failed write is tried again.
        """
        spool = cls(path, limit_bytes, clock)
        try:
            spool._attach(open_database(path, limit_bytes))
        except (sqlite3.Error, OSError) as error:
            spool._next = clock.now_unix_ns()  # above whatever the file holds, if it opens later
            spool._failed(error)
        return spool

    # What the engine calls.

    def append(self, *records: CallRecord) -> None:
        """Write records down, all at once; never raises, and never waits for a disk to sync."""
        if self._closed:
            self.lost_total += len(records)
            logger.error("a record came after the spool was closed")
            return
        rows = [
            self._numbered(encoded)
            for encoded in map(self._encoded, records)
            if encoded is not None
        ]
        if not rows:
            return
        if self._take(rows):
            for row in rows:
                self._remember(row)
        else:
            self._tail.clear()
        self.arrived.set()

    def _encoded(self, record: CallRecord) -> Encoded | None:
        try:
            return encode(record)
        except (TypeError, ValueError) as error:
            self.lost_total += 1
            logger.error("a record could not be written down: %s", type(error).__name__)
            return None

    def _numbered(self, encoded: Encoded) -> Row:
        self._oversize += encoded.bodies == SHED
        row = Row(self._next, encoded.record, encoded.bodies)
        self._next += 1
        return row

    def _remember(self, row: Row) -> None:
        if row.bodies is None:
            self._tail.add(Spooled(row.sequence, row.record))
        else:
            self._tail.clear()

    def _take(self, rows: Sequence[Row]) -> bool:
        """Write rows down, or queue them; true if the file has them and all before them."""
        if self._database is None or self._backlog or self._unwritable:
            self._queue(rows)
            self._retry()
            return False
        if not self._insert(self._database, rows):
            self._queue(rows)
            return False
        return True

    def _queue(self, rows: Sequence[Row]) -> None:
        self.unwritten_total += len(rows)
        for row in rows:
            self._backlog.add(row)

    def _insert(self, database: Database, rows: Sequence[Row]) -> bool:
        if not self._lock.acquire(timeout=_WRITE_WAIT_S):
            self._failed(TimeoutError("its upkeep takes too long"))
            return False
        try:
            insert(database.appender, rows)
        except sqlite3.Error as error:
            self._failed(error)
            return False
        finally:
            self._lock.release()
        self._stored += len(rows)
        self._grew(rows)
        return True

    def _grew(self, rows: Sequence[Row]) -> None:
        self._since_upkeep += PAGE_BYTES + sum([row.size for row in rows])
        if self._since_upkeep > self._upkeep_every and not self._upkeep_waits:
            self._since_upkeep = 0
            self._upkeep_waits = True
            self._worker.submit(self._upkeep)

    # When the file does not take records.

    def _failed(self, error: Exception) -> None:
        if not self._unwritable:
            logger.warning("the spool %s can't be written: %s", self._path, error)
        self._unwritable = f"can't write {self._path}: {error}"
        self._retry_at = self._clock.monotonic_s() + self._retry_s
        self._retry_s = min(self._retry_s * 2, _RETRY_MOST_S)
        if isinstance(error, sqlite3.Error) and not _is_passing(error):
            self._detach()

    def _retry(self) -> None:
        """Open the file anew or write queued rows, where the time for it has come."""
        if self._opening is not None and self._opening.done():
            self._opened(self._opening)
        if not (self._backlog or self._unwritable) or self._clock.monotonic_s() < self._retry_at:
            return
        if self._database is not None:
            self._write_queued(self._database)
        elif self._opening is None:
            self._opening = self._worker.submit(open_database, self._path, self._limit_bytes)

    def _write_queued(self, database: Database) -> None:
        for row in list(self._backlog)[:_RETRY_ROWS]:
            if not self._insert(database, [row]):
                return
            self._backlog.discard([row.sequence])
        self._unwritable = ""
        self._retry_s = _RETRY_FIRST_S

    def _opened(self, opening: Future[Database]) -> None:
        self._opening = None
        try:
            database = opening.result()
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return
        if self._fits_before_backlog(database.highest):
            self._attach(database)
        else:
            self._worker.submit(database.close)
            self._failed(ValueError("the clock went back since it was written"))

    def _fits_before_backlog(self, highest: int) -> bool:
        """Make queued rows follow the file's; False while their old numbers are out."""
        first = next((row.sequence for row in self._backlog), self._next)
        if highest < first:
            return True
        if self._cursor >= first:
            return False
        self._next = self._backlog.renumber(highest + 1)
        return True

    def _attach(self, database: Database) -> None:
        self._database = database
        self._drain = Drain(database.drain, self._lock, self._limit_bytes)
        self.moved_aside = database.moved_aside or self.moved_aside
        self._next = max(self._next, database.highest + 1)
        self._stored = database.depth
        self._cursor = 0
        self._retry_at = 0.0
        self._worker.submit(self._upkeep)

    def _detach(self) -> None:
        if self._database is not None and self._drain is not None:
            self._worker.submit(self._database.close)
            self._before.append(self._drain)
            self._stored -= self._drain.deleted_total
        self._tail.clear()
        self._database = self._drain = None

    # What the reporter calls.

    async def batch(self, limit: int, max_bytes: int) -> list[Spooled]:
        """Hand out the oldest records not yet handed out, at least one if there is any."""
        self._retry()
        if (fresh := self._fresh(limit, max_bytes)) is not None:
            return fresh
        stored, drain = self._stored, self._drain
        found = Found([], self._cursor, whole=True)
        if drain is not None:
            skip = frozenset(self._forgotten)
            read = await self._in_worker(
                lambda: drain.read(self._cursor, limit, max_bytes, skip),
            )
            if read is None or drain is not self._drain:
                return []
            found = read
        self._cursor = found.cursor
        if found.whole and stored == self._stored:
            self._add_queued(found.entries, limit, max_bytes)
        return found.entries

    def _fresh(self, limit: int, max_bytes: int) -> list[Spooled] | None:
        """Hand out what need not be read from the file; None if something must."""
        if self._backlog:
            return None
        taken = self._tail.take(self._cursor, limit, max_bytes)
        if taken:
            self._cursor = taken[-1].sequence
        return taken

    def _add_queued(self, entries: list[Spooled], limit: int, max_bytes: int) -> None:
        """Add rows from memory, which follow all rows of the file."""
        size = sum(len(entry.written) for entry in entries)
        for row in self._backlog:
            if row.sequence <= self._cursor:
                continue
            size += row.size
            if len(entries) >= limit or (entries and size > max_bytes):
                return
            entries.append(row.spooled())
            self._cursor = row.sequence

    async def forget(self, sequences: Collection[int]) -> None:
        """Delete records that the aggregator acknowledged."""
        self._backlog.discard(sequences)
        self._forgotten.update(sequences)
        if (drain := self._drain) is None:
            return
        gone = sorted(self._forgotten)
        if await self._in_worker(lambda: drain.delete(gone)) is not None:
            self._forgotten.difference_update(gone)

    async def refused(self, reasons: Mapping[int, str]) -> None:
        """Keep records that the aggregator will never take apart, bounded, out of delivery."""
        self._refused += len(reasons)
        for reason in sorted(set(reasons.values())):
            sequences = [number for number in reasons if reasons[number] == reason]
            logger.warning("%d records were refused: %s", len(sequences), reason)
            await self._bury(sequences, reason)

    async def _bury(self, sequences: list[int], reason: str) -> None:
        self._backlog.discard(sequences)
        drain = self._drain
        if drain is None or await self._in_worker(lambda: drain.bury(sequences, reason)) is None:
            self._forgotten.update(sequences)

    def rewind(self) -> None:
        """Hand out again, from the oldest, what was neither forgotten nor refused."""
        self._cursor = 0
        self._tail.clear()

    # What others look for.

    async def find(self, is_wanted: Callable[[pb.CallRecord], bool]) -> list[pb.CallRecord]:
        """Give what the file has of records that somebody looks for, oldest first.

        Bodies are left out, and nothing counts as handed out. It is a pass over all that waits,
        in the worker thread: 3 µs a record.
        """
        if (drain := self._drain) is None:
            return []
        return await self._in_worker(lambda: drain.find(is_wanted)) or []

    # What people ask.

    @property
    def problem(self) -> str:
        """Why records are not as safe as they should be; empty if they are."""
        return self._unwritable or self._unkept

    @property
    def depth(self) -> int:
        """Records waiting, in the file and in memory."""
        deleted = 0 if self._drain is None else self._drain.deleted_total
        return self._stored - deleted + len(self._backlog)

    @property
    def limit_bytes(self) -> int:
        """The bound of the file."""
        return self._limit_bytes

    async def waiting_bytes(self) -> int | None:
        """Room that waiting records take, in the file and in memory; None: the file can't tell."""
        if not self.depth:
            return 0
        drain = self._drain
        stored = 0 if drain is None else await self._in_worker(drain.used_bytes)
        return None if stored is None else stored + self._backlog.used_bytes

    @property
    def queued(self) -> int:
        """Records that are only in memory."""
        return len(self._backlog)

    @property
    def refused_total(self) -> int:
        """Records the aggregator refused, or nobody could read."""
        return self._refused + sum(drain.unreadable_total for drain in self._drains())

    @property
    def shed_bodies_total(self) -> int:
        """Records that lost their captured bodies to a bound."""
        drains = sum(drain.shed_bodies_total for drain in self._drains())
        return drains + self._backlog.shed_bodies_total + self._oversize

    @property
    def shed_records_total(self) -> int:
        """Records lost to the bound."""
        drains = sum(drain.shed_records_total for drain in self._drains())
        return drains + self._backlog.shed_records_total

    def close(self) -> None:
        """Write down what is queued, as far as the file takes it, and close for good."""
        if self._closed:
            return
        self._closed = True
        self._write_all_queued()
        self._worker.shutdown(wait=True)
        if self._opening is not None and self._opening.exception() is None:
            self._opening.result().close()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _write_all_queued(self) -> None:
        queued = 0
        while self._database is not None and len(self._backlog) != queued:
            queued = len(self._backlog)
            self._write_queued(self._database)
        if self._backlog:
            self.lost_total += len(self._backlog)
            logger.error("%d records were never written down", len(self._backlog))

    # The worker thread.

    def _drains(self) -> list[Drain]:
        return self._before if self._drain is None else [*self._before, self._drain]

    async def _in_worker[T](self, work: Callable[[], T]) -> T | None:
        """Run work of the drain; None where the file did not allow it."""
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except sqlite3.Error as error:
            self._unkept = f"can't read or shrink {self._path}: {error}"
            return None
        self._unkept = ""
        return result

    def _upkeep(self) -> None:
        self._upkeep_waits = False
        try:
            if (drain := self._drain) is not None:
                drain.upkeep()
        except sqlite3.Error as error:
            self._unkept = f"can't shrink {self._path}: {error}"


def _is_passing(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
