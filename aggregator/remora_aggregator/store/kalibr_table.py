"""What every table of Kalibr's clients is reached by: statements with marks, documents as JSON."""

from collections.abc import Callable, Iterable, Sequence

from remora_aggregator.store.facts import Value
from remora_aggregator.store.port import Row, Writing
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sql import Statement

type Run = Callable[..., Sequence[Row]]
"""Runs a statement with its parameters, in a transaction."""


class KalibrTable:
    """Reads, and writes in transactions of the store's one writer."""

    def __init__(self, store: RecordStore) -> None:
        """Take the store that has the tables."""
        self._store = store
        self._mark = store.backend.flavour.mark

    def _statement(self, sql: str, *parameters: Value) -> Statement:
        return Statement(sql.replace("?", self._mark), parameters)

    async def _rows(self, sql: str, *parameters: Value) -> list[Row]:
        """Read all rows; raises Unavailable."""

        def read(rows: Iterable[Row]) -> list[Row]:
            return list(rows)

        return await self._store.ask(self._statement(sql, *parameters), read)

    async def _write[T](self, work: Callable[[Run], T]) -> T:
        """Do something in one transaction; raises Unavailable."""

        def transaction() -> T:
            with self._store.backend.transaction() as writing:
                return work(self._running(writing))

        return await self._store.write_with(transaction)

    def _running(self, writing: Writing) -> Run:
        def run(sql: str, *parameters: Value) -> Sequence[Row]:
            return writing.run(self._statement(sql, *parameters))

        return run
