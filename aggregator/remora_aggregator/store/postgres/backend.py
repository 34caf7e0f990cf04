"""The back end in PostgreSQL: a connection writes, one listens, each reading thread has its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, cast

import psycopg

from remora.errors import ConfigError, Problem
from remora_aggregator.store.port import Abandoned, ReadRows, Row
from remora_aggregator.store.postgres import turns
from remora_aggregator.store.postgres.abandonment import ReadWatch
from remora_aggregator.store.postgres.connections import (
    LIMITS,
    Connection,
    Limits,
    Login,
    is_well,
    marked,
    milliseconds,
    told_safely,
    without_nul,
)
from remora_aggregator.store.postgres.dsn import place_of, unfit
from remora_aggregator.store.postgres.lexemes import lexeme
from remora_aggregator.store.postgres.listening import Listening
from remora_aggregator.store.postgres.migrations import SETTING, migrate
from remora_aggregator.store.postgres.partitions import Partitions, drop_an_empty
from remora_aggregator.store.postgres.writing import PostgresWriting, prepare
from remora_aggregator.store.record_store import RecordStore, serving
from remora_aggregator.store.retention import Stock
from remora_aggregator.store.sql import Flavour, Statement

FLAVOUR: Final = Flavour(
    # `marked` makes psycopg's marks of these.
    mark="?",
    like="lower({}) like {}",
    any_text="%",
    any_letter="_",
    escaped=(("%", r"\%"), ("_", r"\_"), ("\\", r"\\")),
    unindexed="{}",
    number="cast({} as double precision)",
    money_sum="sum",
    words=(
        "select position from words where lexemes @@ cast(? as tsquery) union all "
        "select position from bodies where lexemes @@ cast(? as tsquery)"
    ),
    word_joint=" & ",
    word=lexeme,
)

_STOCK: Final = """
    select (select bytes from stock where name = 'facts'),
        (select bytes from stock where name = 'bodies'),
        (select min(received_unix_ns) from records),
        (select received_unix_ns from records
            where position = (select min(position) from bodies))
"""
_LOOK: Final = """
    select (select count(*) from records), (select count(*) from calls),
        (select coalesce(checksum_failures, 0) from pg_stat_database
            where datname = current_database())
"""
_WITHOUT_LIMIT: Final = {"statement_timeout": "0", "default_transaction_read_only": "on"}
_NOW_US: Final = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint"


class PostgresBackend:
    """Records in a database; `transaction` is for one thread, `read` for several."""

    flavour = FLAVOUR
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, login: Login, limits: Limits = LIMITS) -> None:
        """Connect, and bring the schema up to date.

        Raises:
            psycopg.Error: There is no connection to be had, or the schema can't be made.
            ConfigError: It was written by a newer Remora, or the server is not fit for it.
        """
        self._login = login
        self._limits = limits
        self._partitions = Partitions()
        self._local = threading.local()
        self._readers: list[Connection] = []
        self._listening: Listening | None = None
        self._committed: Callable[[], None] = _nobody_listens
        with told_safely():
            with closing(login.connect({})) as connection:
                migrate(connection)
            self._writer = self._open_writer()
        try:
            self._make_first_partitions()
            self._watch = ReadWatch()
        except BaseException:
            self._writer.close()
            raise

    def _open_writer(self) -> Connection:
        connection = self._login.connect(turns.writing_settings(self._limits))
        try:
            turns.make_durable(connection)
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._writer_pid = connection.info.backend_pid
        return connection

    def _make_first_partitions(self) -> None:
        # Whoever holds the turn for long does not hinder a start: the first insert makes them too.
        with suppress(psycopg.errors.LockNotAvailable), self.transaction():
            ((now_us,),) = self._writer.execute(_NOW_US).fetchall()
            self._partitions.ensure(self._writer, int(str(now_us)), int(str(now_us)))

    @contextmanager
    def transaction(self) -> Iterator[PostgresWriting]:
        """Begin a transaction; raises psycopg.Error where it can't be committed."""
        with told_safely():
            try:
                self._begin()
                yield PostgresWriting(self._writer, self._partitions)
                turns.end(self._writer)
            except BaseException as error:
                self._undo(error)
                raise

    def _undo(self, error: BaseException) -> None:
        self._partitions.forget()
        if not isinstance(error, psycopg.Error):
            with suppress(psycopg.Error):
                self._writer.execute("rollback", prepare=False)
                return
        # Whatever it was, the next one begins with a connection that is well.
        self._writer.close()
        # It may be committed all the same, and heard of as one's own.
        self._committed()

    def _begin(self) -> None:
        if not is_well(self._writer):
            self._reopen()
        turns.begin(self._writer, self._limits)

    def _reopen(self) -> None:
        self._writer.close()
        self._writer = self._open_writer()

    def read[T](self, statement: Statement, read: ReadRows[T], abandoned: Abandoned) -> T:
        """Run a statement and have its rows read; it ends soon once it is abandoned."""
        parameters = [without_nul(value) for value in statement.parameters]
        with told_safely():
            connection = self._reader()
            with (
                self._watch.watched(connection, abandoned),
                connection.cursor(binary=True) as cursor,
            ):
                # Row by row as they are read: bodies may be larger than the memory there is.
                asked = cursor.stream(marked(statement.sql), parameters)
                rows = cast(Generator[Row], asked)
                with closing(rows):
                    answer = read(rows)
                    # Most often that was the last one. Else the server is told to stop.
                    next(rows, None)
                    return answer

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or not is_well(connection):
            if connection is not None:
                connection.close()
            connection = self._login.connect(_reading_settings(self._limits))
            self._local.connection = connection
            self._readers = [*(each for each in self._readers if not each.closed), connection]
        return connection

    def stock(self) -> Stock:
        """Say how much there is, by what was written and taken away."""
        with told_safely():
            if not is_well(self._writer):
                self._reopen()
            ((facts, bodies, oldest, oldest_body),) = self._writer.execute(_STOCK).fetchall()
            return Stock(facts, bodies, oldest, oldest_body)  # type: ignore[arg-type]  # as the columns say

    def tidy(self) -> bool:
        """Drop a partition that is empty and past; tells whether there may be more of them."""
        try:
            with self.transaction():
                return drop_an_empty(self._writer)
        except psycopg.errors.LockNotAvailable:
            return False

    def damage(self) -> str:
        """Look the whole database over, with a connection of its own."""
        with told_safely(), closing(self._login.connect(_WITHOUT_LIMIT)) as connection:
            ((records, calls, bad_pages),) = connection.execute(_LOOK).fetchall()
        found = [f"{bad_pages} pages were not as they had been written"] if bad_pages else []
        if records != calls:
            found.append(f"there are {records} records, and {calls} calls that have one")
        return "; ".join(found)

    def listen(self, committed: Callable[[], None]) -> None:
        """Have something called, in a thread, after commits of other aggregators."""
        self._committed = committed
        self._listening = Listening(self._login, lambda: self._writer_pid, committed)

    def close(self) -> None:
        """Close all connections; nothing may be under way."""
        if self._listening is not None:
            self._listening.close()
        self._watch.close()
        for connection in (*self._readers, self._writer):
            connection.close()


def _nobody_listens() -> None:
    pass


def _reading_settings(limits: Limits) -> dict[str, str]:
    return {
        "statement_timeout": milliseconds(limits.read_s),
        "default_transaction_read_only": "on",
    }


@asynccontextmanager
async def opened(
    dsn: str,
    *,
    password_file: Path | None = None,
    limits: Limits = LIMITS,
) -> AsyncIterator[RecordStore]:
    """Open the store in a database and keep its writer running.

    Args:
        dsn: How to connect: what libpq takes.
        password_file: Where the password is, if it is not in there.
        limits: How long things may take.

    Raises:
        ConfigError: It can't be opened.
    """
    if problem := unfit(dsn):
        raise ConfigError([Problem(SETTING, problem)])
    try:
        backend = await asyncio.to_thread(PostgresBackend, Login(dsn, password_file), limits)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        what = f"{place_of(dsn)} can't be used: {reason}"
        raise ConfigError([Problem(SETTING, what)]) from None
    async with serving(backend) as store:
        yield store
