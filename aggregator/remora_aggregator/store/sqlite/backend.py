"""The back end in one SQLite file: one connection writes, each reading thread has its own."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

from remora.errors import ConfigError, Problem
from remora_aggregator.store.port import Abandoned, ReadRows
from remora_aggregator.store.record_store import RecordStore, serving
from remora_aggregator.store.retention import Stock
from remora_aggregator.store.sql import Flavour, Statement
from remora_aggregator.store.sqlite.files import open_reader, open_writer
from remora_aggregator.store.sqlite.writing import Caches, SqliteWriting

FLAVOUR: Final = Flavour(
    mark="?",
    like="lower({}) glob {}",
    any_text="*",
    any_letter="?",
    escaped=(("[", "[[]"),),
    # The plus keeps a column's index out of the plan.
    unindexed="+{}",
    number="cast({} as real)",
    money_sum="money_sum",
    words="select rowid from words where words match ?",
    word_joint=" ",
    word=str,
)

_STEPS_BETWEEN_LOOKS = 20_000
_INCREMENTAL = 2
_FEW_PAGES = 256
_PAGES_AT_ONCE = 2_000


class SqliteBackend:
    """Records in a file; `transaction` is for one thread, `read` for several."""

    flavour = FLAVOUR
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path) -> None:
        """Open the file to write, and bring its schema up to date.

        Raises:
            sqlite3.Error: It can't be opened.
            ConfigError: It was written by a newer Remora.
        """
        self.writer = open_writer(path)
        self._path = path
        self._caches = Caches()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []

    @contextmanager
    def transaction(self) -> Iterator[SqliteWriting]:
        """Begin a transaction; raises sqlite3.Error where it can't be committed."""
        self.writer.execute("begin immediate")
        try:
            yield SqliteWriting(self.writer, self._caches)
            self.writer.execute("commit")
        except BaseException:
            self._caches.clear()
            if self.writer.in_transaction:
                self.writer.execute("rollback")
            raise

    def read[T](self, statement: Statement, read: ReadRows[T], abandoned: Abandoned) -> T:
        """Run a statement and have its rows read; it ends soon once it is abandoned."""
        connection = self._reader()
        connection.set_progress_handler(abandoned.is_set, _STEPS_BETWEEN_LOOKS)
        # Rows that are left unread would hold back the log's checkpoints.
        with closing(connection.execute(statement.sql, statement.parameters)) as rows:
            return read(rows)

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_reader(self._path)
            self._readers.append(connection)
        return connection

    def stock(self) -> Stock:
        """Say how much there is: facts are what the file holds besides bodies."""
        one = self._one
        used = (one("pragma page_count") - one("pragma freelist_count")) * one("pragma page_size")
        bodies = one("select bytes from stock where name = 'bodies'")
        oldest = "select min(received_unix_ns) from records"
        body = (
            "select received_unix_ns from records where position = "
            "(select min(position) from bodies)"
        )
        return Stock(max(0, used - bodies), bodies, self._value(oldest), self._value(body))

    def _one(self, sql: str) -> int:
        return self._value(sql) or 0

    def _value(self, sql: str) -> int | None:
        row = self.writer.execute(sql).fetchone()
        return None if row is None else row[0]

    def tidy(self) -> bool:
        """Give some pages back; the rest of an old file's only a full vacuum would."""
        free = self._one("pragma freelist_count")
        if free < _FEW_PAGES or self._one("pragma auto_vacuum") != _INCREMENTAL:
            return False
        self.writer.execute(f"pragma incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
        return self._one("pragma freelist_count") < free

    def damage(self) -> str:
        """Look the whole file over, with a connection of its own."""
        with closing(open_reader(self._path)) as connection:
            rows = connection.execute("pragma quick_check(3)").fetchall()
        found = "; ".join(str(text) for (text,) in rows)
        return "" if found == "ok" else found

    def listen(self, committed: Callable[[], None]) -> None:
        """Do nothing: nobody else writes to the file."""

    def close(self) -> None:
        """Close all connections."""
        for connection in self._readers:
            connection.close()
        self.writer.close()


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[RecordStore]:
    """Open the store in a file and keep its writer running.

    Raises:
        ConfigError: It can't be opened.
    """
    try:
        backend = SqliteBackend(path)
    except sqlite3.Error as error:
        what = f"{path} can't be opened: {error}"
        raise ConfigError([Problem("REMORA_AGGREGATOR_DATA_DIR", what)]) from error
    async with serving(backend) as store:
        yield store
