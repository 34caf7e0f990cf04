"""The store as the services see it: awaits, while threads do what blocks.

One thread writes, and commits what came in meanwhile as one transaction; a few threads
read. Whoever follows the store is woken after each commit and reads at its own pace, so a
slow follower holds nothing up and misses nothing.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial

from remora.errors import BadRequest, Unavailable
from remora.task_owner import TaskOwner
from remora_aggregator.store import indexing, questions, sql
from remora_aggregator.store.committing import Batch, Outcome, commit
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.port import Backend, ReadRows, Row
from remora_aggregator.store.questions import UsageQuestion
from remora_aggregator.store.reading import (
    BODIES_COLUMN,
    NO_BODIES_COLUMN,
    PAGE_RECORDS,
    RECORD_COLUMNS,
    SCANNED_RECORDS,
    Groups,
    Keys,
    Page,
    read_page,
)
from remora_aggregator.store.selection import Selection
from remora_aggregator.store.sql import Order, Place, Statement
from remora_aggregator.store.totals import Totals
from remora_proto.v1 import records_pb2 as pb

logger = logging.getLogger(__name__)

READERS = 4

_RECORDS_A_COMMIT = 2_000
_BATCHES_A_COMMIT = 64
_WORTH_A_THREAD = 200
_TRIAL_BYTES = 1024 * 1024
_QUIET_S = 0.05
"""So long nobody reported, before words are indexed."""
_MANY_BODIES, _SHORT_QUIET_S = 1_000, 0.005
"""From so many on that are not indexed, a shorter quiet will do."""
_MOST_BODIES = 10_000
"""So many may wait for long: beyond, reports wait for them."""
_AGAIN_S = 5.0
_COMMITTED = Order()


type _Waiting = tuple[Batch, asyncio.Future[None]]
type CommitWatcher = Callable[[Sequence[Batch], float], None]


class RecordStore:
    """All records of one aggregator.

    Attributes:
        outcomes: How many records were stored, merged, refused and so on.
        problem: Why the last commit failed; empty while all is well.
        failed_commits: How many did.
        commit_watchers: Are told of each commit, with the seconds that it took; on the loop.
    """

    def __init__(self, backend: Backend) -> None:
        """Take the database; made by `serving`."""
        self.backend = backend
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._prepare_thread = ThreadPoolExecutor(1, thread_name_prefix="store-prepare")
        self._incoming: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._prepared: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._waiting_batches = 0
        self._unindexed = 1  # nobody has looked yet
        self._next_index_s = 0.0
        self._indexing = asyncio.Lock()
        self._followers: dict[asyncio.Event, bool] = {}
        self.outcomes: Counter[str] = Counter()
        self.problem = ""
        self._refused: Batch | None = None
        self.failed_commits = 0
        self.commit_watchers: list[CommitWatcher] = []

    # Writing.

    async def write(self, records: Sequence[pb.CallRecord], stamp: Stamp) -> list[Outcome]:
        """Store records durably; the outcomes are in their order.

        Raises:
            Unavailable: The store can't be written; nothing of them was.
        """
        batch = Batch(stamp, list(records))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_batches += 1
        self._incoming.put_nowait((batch, done))
        await done
        return batch.outcomes

    async def run(self) -> None:
        """Commit what comes in, for as long as the aggregator runs."""
        while True:
            waiting = _with_more(await self._next(), self._prepared)
            self._waiting_batches -= len(waiting)
            await self._commit(waiting)

    async def prepare(self) -> None:
        """Work out what is to be written, for as long as the aggregator runs.

        Meanwhile the commit before waits for the disk, or for another machine. Of a few records
        it is worked out by who commits them: to hand them over would cost more.
        """
        while True:
            waiting = _with_more(await self._incoming.get(), self._incoming)
            batches = [batch for batch, _ in waiting]
            if sum(len(batch.records) for batch in batches) >= _WORTH_A_THREAD:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._prepare_thread, _prepare, batches)
            for each in waiting:
                self._prepared.put_nowait(each)

    async def _next(self) -> _Waiting:
        """Wait for something to write, and index words meanwhile."""
        while self._unindexed:
            quiet_s = _QUIET_S if self._unindexed < _MANY_BODIES else _SHORT_QUIET_S
            wait_s = max(quiet_s, self._next_index_s - asyncio.get_running_loop().time())
            if wait_s > quiet_s or self._unindexed <= _MOST_BODIES:
                with suppress(TimeoutError):
                    return await self._within(wait_s)
            await self._try_to_index()
        return await self._prepared.get()

    async def _within(self, seconds: float) -> _Waiting:
        if not self._prepared.empty():
            return self._prepared.get_nowait()
        async with asyncio.timeout(seconds):
            return await self._prepared.get()

    async def _try_to_index(self) -> None:
        try:
            await self._index()
        except Exception as error:  # noqa: BLE001 - as in `write_with`
            why = error if isinstance(error, Unavailable) else type(error).__name__
            logger.warning("words are not indexed: %s", why)
            self._next_index_s = asyncio.get_running_loop().time() + _AGAIN_S

    async def _index(self) -> None:
        """Put the words of some bodies into their index; raises Unavailable."""
        async with self._indexing:
            part = await self._asked(partial(indexing.read_slice, self.backend))
            if part is None:
                self._unindexed = 0
                return
            self._unindexed = await self.write_with(partial(indexing.index, self.backend, part))

    async def index_all(self) -> None:
        """Have all that is committed by now found by its words; raises Unavailable."""
        last = await self.last_position()
        while True:
            indexed, waiting = await self._indexing_state()
            if indexed >= last or not waiting:
                return
            await self._index()

    async def _indexing_state(self) -> tuple[int, int]:
        return await self.ask(indexing.STATE, _position_and_count)

    async def _commit(self, waiting: list[_Waiting]) -> None:
        batches = [batch for batch, _ in waiting]
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            await self.write_with(partial(commit, self.backend, batches))
        except Unavailable as error:
            self.failed_commits += 1
            if isinstance(error.__cause__, self.backend.errors):  # no bug of ours: it may heal
                self._refused = _part_of(batches)
            _settle(waiting, error)
            return
        self._refused = None
        self.problem = ""
        took_s = loop.time() - began_s
        self.outcomes.update(
            outcome.verdict.value for batch in batches for outcome in batch.outcomes
        )
        self._unindexed += sum(batch.bodies for batch in batches)
        _settle(waiting, None)
        self.wake_followers()
        for watcher in self.commit_watchers:
            try:
                watcher(batches, took_s)
            except Exception:  # as in `write_with`
                logger.exception("a commit could not be told to %s", watcher)

    async def write_with[T](self, work: Callable[[], T]) -> T:
        """Have something done in the thread that writes.

        Raises:
            Unavailable: It failed; nothing of its transaction was written.
        """
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(self._write_thread, work)
        except BadRequest:  # who asked is told so; the store is well
            raise
        except Exception as error:  # the only writer must outlive any one batch
            self._failed(error)
            raise Unavailable(self.problem) from error
        if self._refused is None:
            # Else only records say that records can be written: a full disk has room for little.
            self.problem = ""
        return done

    async def try_again(self) -> None:
        """Write some of what could not be written; raises Unavailable where it still can't be.

        They are stored once, whoever reports them again.
        """
        if self._refused is not None:
            await self.write(self._refused.records, self._refused.stamp)
        else:
            await self.write_with(partial(commit, self.backend, []))

    def _failed(self, error: Exception) -> None:
        is_expected = isinstance(error, self.backend.errors)
        reason = " ".join(str(error).split()) if is_expected else type(error).__name__
        text = f"the store can't be written: {reason}"
        if text != self.problem:
            logger.error("%s", text, exc_info=None if is_expected else error)
        self.problem = text

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._waiting_batches

    @property
    def waiting_batches(self) -> int:
        """How many batches wait for the commit that is under way."""
        return self._waiting_batches

    @property
    def unindexed_bodies(self) -> int:
        """How many bodies are not in the index of words yet, as far as is known here."""
        return self._unindexed

    @property
    def follower_count(self) -> int:
        """How many programs follow what is committed."""
        return sum(not is_own for is_own in self._followers.values())

    def wake_followers(self) -> None:
        """Have everybody who follows look again."""
        for follower in self._followers:
            follower.set()

    # Reading.

    async def pages(
        self,
        chosen: Selection,
        *,
        after: Place | None,
        order: Order = _COMMITTED,
        limit: int = 0,
        bodies: bool = False,
    ) -> AsyncIterator[Page]:
        """Yield matching records page by page, the last page too if it is empty.

        Args:
            chosen: Which records.
            after: Where to begin; None: at the beginning of the order.
            order: In which order.
            limit: How many at most; 0: all.
            bodies: Whether to read captured bodies too.

        Raises:
            Unavailable: The store can't be read.
        """
        left = limit or None
        while left is None or left > 0:
            page = await self.page(
                chosen, after=after, order=order, most=left or PAGE_RECORDS, bodies=bodies
            )
            yield page
            after = page.last
            if page.is_last:
                return
            left = None if left is None else left - len(page.records)

    async def page(
        self, chosen: Selection, *, after: Place | None, order: Order, most: int, bodies: bool
    ) -> Page:
        """Read one page, which may hold less than asked and not be the last; raises Unavailable."""
        if chosen.words:
            await self.index_all()
        most = min(most, PAGE_RECORDS)
        asked = SCANNED_RECORDS if chosen.residual else most
        statement = sql.page(
            chosen,
            self.backend.flavour,
            order=order,
            after=after,
            limit=asked,
            columns=(*RECORD_COLUMNS, BODIES_COLUMN if bodies else NO_BODIES_COLUMN),
        )
        read = partial(
            read_page, chosen=chosen, asked=asked, most_records=most, ordered=bool(order.column)
        )
        return await self.ask(statement, read)

    async def usage(self, question: UsageQuestion) -> list[tuple[Keys, Totals]]:
        """Sum up; each group with its keys and the start of its interval. Raises Unavailable."""
        groups = Groups()
        if question.chosen.words:
            await self.index_all()
        if question.chosen.residual:
            await self.ask(_scan(self.backend, question), partial(groups.take_records, question))
        else:
            keys = len(question.columns) + 1
            for piece in questions.pieces(question, self.backend.flavour):
                await self.ask(piece.statement, groups.reader(piece.source, keys))
        return groups.most_calls_first(question.limit)

    async def last_position(self) -> int:
        """Return the position of the newest record; 0 if there is none. Raises Unavailable."""
        statement = Statement("select coalesce(max(position), 0) from records")
        return await self.ask(statement, _only_number)

    async def ask[T](self, statement: Statement, read: ReadRows[T]) -> T:
        """Run a statement and read its rows, both off the loop; cancelled, it stops soon.

        Raises:
            Unavailable: The store can't be read.
        """
        return await self._asked(partial(self.backend.read, statement, read))

    async def _asked[T](self, work: Callable[[threading.Event], T]) -> T:
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._read_threads, work, abandoned)
        except asyncio.CancelledError:
            abandoned.set()
            raise
        except self.backend.errors as error:
            reason = " ".join(str(error).split())
            raise Unavailable(f"the store can't be read: {reason}") from error

    @asynccontextmanager
    async def followed(self, *, is_own: bool = False) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set after each commit, by whoever stores.

        Args:
            is_own: The aggregator itself follows, and no program that asked for it.
        """
        woken = asyncio.Event()
        self._followers[woken] = is_own
        try:
            yield woken
        finally:
            del self._followers[woken]

    def close(self) -> None:
        """Close the database; nothing may be under way."""
        self._prepare_thread.shutdown(wait=True)
        self._write_thread.shutdown(wait=True)
        self._read_threads.shutdown(wait=True)
        self.backend.close()


def _with_more(first: _Waiting, others: asyncio.Queue[_Waiting]) -> list[_Waiting]:
    """Take what waits too, as much as goes together."""
    waiting, records = [first], len(first[0].records)
    while len(waiting) < _BATCHES_A_COMMIT and records < _RECORDS_A_COMMIT and not others.empty():
        waiting.append(others.get_nowait())
        records += len(waiting[-1][0].records)
    return waiting


def _prepare(batches: Sequence[Batch]) -> None:
    for batch in batches:
        # What can't be read fails its commit, where all that fails is dealt with.
        with suppress(Exception):
            batch.prepare()


def _scan(backend: Backend, question: UsageQuestion) -> Statement:
    written = sql.where(question.chosen, backend.flavour)
    columns = ", ".join((*RECORD_COLUMNS, NO_BODIES_COLUMN))
    text = f"select {columns} from records where {written.sql}"  # noqa: S608 - our own words
    return Statement(text, tuple(written.parameters))


def _only_number(rows: Iterable[Row]) -> int:
    return next(int(value or 0) for (value,) in rows)


def _position_and_count(rows: Iterable[Row]) -> tuple[int, int]:
    return next((int(position or 0), int(count or 0)) for position, count in rows)


def _part_of(batches: Sequence[Batch]) -> Batch | None:
    """Keep a part of what could not be written, to try with."""
    first = next((batch for batch in batches if batch.records), None)
    if first is None:
        return None
    kept, room = [], _TRIAL_BYTES
    for record in first.records:
        kept.append(record)
        room -= record.ByteSize()
        if room <= 0:
            break
    return Batch(first.stamp, kept)


def _settle(waiting: list[_Waiting], failure: Unavailable | None) -> None:
    for _, done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)


def _wake_from_thread(loop: asyncio.AbstractEventLoop, store: RecordStore) -> None:
    loop.call_soon_threadsafe(store.wake_followers)


@asynccontextmanager
async def serving(backend: Backend) -> AsyncIterator[RecordStore]:
    """Keep a store's writer running, and finally close its database."""
    store = RecordStore(backend)
    backend.listen(partial(_wake_from_thread, asyncio.get_running_loop(), store))
    tasks = TaskOwner("store")
    tasks.spawn(store.prepare(), name="preparer")
    tasks.spawn(store.run(), name="writer")
    try:
        yield store
    finally:
        await tasks.aclose()
        await asyncio.to_thread(store.close)
