"""Many rows in few statements, alike in both databases."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_schema import KINDS
from remora_aggregator.store.port import Row, Writing
from remora_aggregator.store.sql import Statement


class Rows:
    """Reads and writes rows within one transaction."""

    def __init__(self, writing: Writing, mark: str) -> None:
        """Take the transaction, and what stands for a parameter in its SQL."""
        self._writing = writing
        self._mark = mark

    def run(self, sql: str, *parameters: Value) -> Sequence[Row]:
        """Run a statement whose parameters are written as ``?``."""
        return self._writing.run(Statement(sql.replace("?", self._mark), parameters))

    def among(self, sql: str, keys: Iterable[tuple[Value, ...]]) -> Iterator[Row]:
        """Run a statement for tuples of texts and numbers, as a table where it says ``{}``."""
        asked = list(keys)
        if asked:
            kinds = ["bigint" if isinstance(value, int) else "text" for value in asked[0]]
            for part in self._writing.tuples(asked, kinds):
                yield from self.run(sql.format(part.sql), *part.parameters)

    def put(
        self,
        table: str,
        keys: Sequence[str],
        rest: Sequence[str],
        rows: Iterable[tuple[Value, ...]],
        change: str = "{0} = excluded.{0}",
    ) -> None:
        """Write rows, none twice; of those that are there the rest is changed.

        Args:
            table: Its name.
            keys: The columns of its key.
            rest: The other columns; none: rows that are there stay as they are.
            rows: Values in the order of keys and rest.
            change: How a column is changed.
        """
        columns = (*keys, *rest)
        changed = ", ".join(change.format(column, table) for column in rest)
        then = f"do update set {changed}" if rest else "do nothing"
        kinds = [KINDS.get(column, "text") for column in columns]
        for part in self._writing.tuples(list(rows), kinds):
            self.run(
                f"insert into {table} ({', '.join(columns)}) select * from {part.sql} as told "  # noqa: S608 - our own words
                f"where true on conflict ({', '.join(keys)}) {then}",
                *part.parameters,
            )


ADDED: Final = "{0} = {1}.{0} + excluded.{0}"
"""A change by which a column grows."""
