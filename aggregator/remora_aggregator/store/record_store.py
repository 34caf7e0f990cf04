"""The store as the service sees it: awaits, while threads do what blocks.

One thread writes, and commits what came in meanwhile as one transaction; a few threads
read. Whoever follows the store is woken after each commit and reads at its own pace, so a
slow follower holds nothing up and misses nothing.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from remora.errors import ConfigError, Problem, Unavailable
from remora.tasks import TaskOwner
from remora_aggregator.store import questions
from remora_aggregator.store.columns import Stamp, Value, position_of
from remora_aggregator.store.files import open_writer
from remora_aggregator.store.questions import Selection, Statement
from remora_aggregator.store.reading import PAGE_RECORDS, Readers, Row, read_page
from remora_aggregator.store.writer import Batch, Outcome, commit
from remora_proto.v1 import records_pb2 as pb

logger = logging.getLogger(__name__)

_BATCHES_A_COMMIT = 64


class RecordStore:
    """All records of one aggregator.

    Attributes:
        outcomes: How many records were stored, merged, refused and so on.
        problem: Why the last commit failed; empty while all is well.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; made by `opened`."""
        self._writer = open_writer(path)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._readers = Readers(path)
        self._incoming: asyncio.Queue[tuple[Batch, asyncio.Future[None]]] = asyncio.Queue()
        self._followers: set[asyncio.Event] = set()
        self.outcomes: Counter[str] = Counter()
        self.problem = ""

    # Writing.

    async def write(self, records: Sequence[pb.CallRecord], stamp: Stamp) -> list[Outcome]:
        """Store records durably; the outcomes are in their order.

        Raises:
            Unavailable: The store can't be written; nothing of them was.
        """
        batch = Batch(stamp, list(records))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._incoming.put((batch, done))
        await done
        return batch.outcomes

    async def run(self) -> None:
        """Commit what comes in, for as long as the aggregator runs."""
        while True:
            waiting = [await self._incoming.get()]
            while len(waiting) < _BATCHES_A_COMMIT and not self._incoming.empty():
                waiting.append(self._incoming.get_nowait())
            await self._commit(waiting)

    async def _commit(self, waiting: list[tuple[Batch, asyncio.Future[None]]]) -> None:
        loop = asyncio.get_running_loop()
        batches = [batch for batch, _ in waiting]
        try:
            await loop.run_in_executor(self._write_thread, commit, self._writer, batches)
        except Exception as error:  # noqa: BLE001 - the only writer must outlive any one batch
            self._failed(error)
            _settle(waiting, Unavailable(self.problem))
            return
        self.problem = ""
        self.outcomes.update(
            outcome.verdict.value for batch in batches for outcome in batch.outcomes
        )
        _settle(waiting, None)
        for follower in self._followers:
            follower.set()

    def _failed(self, error: Exception) -> None:
        is_expected = isinstance(error, sqlite3.Error)
        text = f"the store can't be written: {error if is_expected else type(error).__name__}"
        if text != self.problem:
            logger.error("%s", text, exc_info=None if is_expected else error)
        self.problem = text

    # Reading.

    async def pages(
        self,
        chosen: Selection,
        *,
        after: int | None,
        newest_first: bool = False,
        limit: int = 0,
        bodies: bool = False,
    ) -> AsyncIterator[list[pb.StoredRecord]]:
        """Yield matching records page by page; a limit of 0 is none.

        Raises:
            Unavailable: The store can't be read.
        """
        left = limit or None
        while left is None or left > 0:
            size = min(PAGE_RECORDS, left or PAGE_RECORDS)
            statement = questions.page(
                chosen, after=after, newest_first=newest_first, limit=size, bodies=bodies
            )
            page = await self._readers.ask(statement, partial(read_page, most_records=size))
            if page.records:
                yield page.records
                after = position_of(page.records[-1].cursor)
            if page.is_last:
                return
            left = None if left is None else left - len(page.records)

    async def usage(self, chosen: Selection, dimensions: Sequence[int]) -> list[tuple[Value, ...]]:
        """Sum up matching records by dimensions; raises Unavailable."""
        return await self._readers.ask(questions.usage(chosen, dimensions), list)

    async def last_position(self) -> int:
        """Return the position of the newest record; 0 if there is none."""
        statement = Statement("select coalesce(max(position), 0) from records", ())
        return await self._readers.ask(statement, _only_number)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set after each commit, by whoever stores."""
        woken = asyncio.Event()
        self._followers.add(woken)
        try:
            yield woken
        finally:
            self._followers.discard(woken)

    def close(self) -> None:
        """Close the file; nothing may be under way."""
        self._write_thread.shutdown(wait=True)
        self._readers.close()
        self._writer.close()


def _only_number(rows: Iterable[Row]) -> int:
    return next(int(value or 0) for (value,) in rows)


def _settle(waiting: list[tuple[Batch, asyncio.Future[None]]], failure: Unavailable | None) -> None:
    for _, done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[RecordStore]:
    """Open the store and keep its writer running.

    Raises:
        ConfigError: It can't be opened.
    """
    try:
        store = RecordStore(path)
    except sqlite3.Error as error:
        what = f"{path} can't be opened: {error}"
        raise ConfigError([Problem("REMORA_AGGREGATOR_DATA_DIR", what)]) from error
    tasks = TaskOwner("store")
    tasks.spawn(store.run(), name="writer")
    try:
        yield store
    finally:
        await tasks.aclose()
        await asyncio.to_thread(store.close)
