"""Reads of the store in threads of their own, each of which ends when nobody waits any more."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from remora.errors import Unavailable
from remora_aggregator.store.columns import Value, stored_of
from remora_aggregator.store.files import open_reader
from remora_aggregator.store.questions import Statement
from remora_proto.v1 import records_pb2 as pb

PAGE_RECORDS = 200
PAGE_BYTES = 4 * 1024 * 1024

_THREADS = 4
_STEPS_BETWEEN_LOOKS = 20_000

type Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in order, and whether none follow them."""

    records: list[pb.StoredRecord]
    is_last: bool


def read_page(rows: Iterable[Row], most_records: int) -> Page:
    """Take rows until there are enough of them, or their bodies fill a page."""
    records: list[pb.StoredRecord] = []
    room = PAGE_BYTES
    for row in rows:
        records.append(stored_of(row))
        room -= sum(len(value) for value in row if isinstance(value, bytes))
        if room <= 0 or len(records) == most_records:
            return Page(records, is_last=False)
    return Page(records, is_last=True)


class Readers:
    """A few threads with a reading connection each."""

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self._path = path
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-read")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def ask[T](self, statement: Statement, read: Callable[[Iterable[Row]], T]) -> T:
        """Run a statement and read its rows, both off the loop; cancelled, it stops soon.

        Raises:
            Unavailable: The store can't be read.
        """
        abandoned = threading.Event()

        def work() -> T:
            connection = self._connection()
            connection.set_progress_handler(abandoned.is_set, _STEPS_BETWEEN_LOOKS)
            # Rows that are left unread would hold back the log's checkpoints.
            with closing(connection.execute(statement.sql, statement.parameters)) as rows:
                return read(rows)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except asyncio.CancelledError:
            abandoned.set()
            raise
        except sqlite3.Error as error:
            raise Unavailable(f"the store can't be read: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_reader(self._path)
            self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Wait for what still runs and close all connections."""
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
