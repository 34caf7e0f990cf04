"""The bounded queue in memory for records that the spool's file does not take just now.

The spool fills it while its disk is full or unwritable. Oldest bodies are given up first,
then oldest records. It does no I/O and knows no file.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from remora_sidecar.spool.row import Row

_ROW_OVERHEAD_BYTES = 200
"""What a row costs in memory beside its bytes."""


class Backlog:
    """Rows in order of their sequence, within a bound of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        """Start empty."""
        self._limit_bytes = limit_bytes
        self._rows: dict[int, Row] = {}
        self._with_bodies: deque[int] = deque()
        self._bytes = 0
        self.shed_bodies_total = 0
        self.shed_records_total = 0

    def __len__(self) -> int:
        """How many rows wait."""
        return len(self._rows)

    @property
    def used_bytes(self) -> int:
        """The memory that they take."""
        return self._bytes

    def __iter__(self) -> Iterator[Row]:
        """The rows, oldest first."""
        return iter(self._rows.values())

    def add(self, row: Row) -> None:
        """Queue a row behind all others; sheds what no longer fits."""
        self._put(row)
        while self._bytes > self._limit_bytes and self._with_bodies:
            self._shed_bodies(self._with_bodies.popleft())
        while self._bytes > self._limit_bytes and self._rows:
            self.discard([next(iter(self._rows))])
            self.shed_records_total += 1

    def discard(self, sequences: Iterable[int]) -> None:
        """Drop the rows of these numbers; unknown ones are passed over."""
        for sequence in sequences:
            if (row := self._rows.pop(sequence, None)) is not None:
                self._bytes -= row.size + _ROW_OVERHEAD_BYTES

    def renumber(self, first: int) -> int:
        """Number the rows anew from ``first``; returns the number after the last."""
        rows = list(self._rows.values())
        self._rows.clear()
        self._with_bodies.clear()
        self._bytes = 0
        for sequence, row in enumerate(rows, first):
            self._put(Row(sequence, row.record, row.bodies))
        return first + len(rows)

    def _put(self, row: Row) -> None:
        self._rows[row.sequence] = row
        self._bytes += row.size + _ROW_OVERHEAD_BYTES
        if row.bodies:
            self._with_bodies.append(row.sequence)

    def _shed_bodies(self, sequence: int) -> None:
        if (row := self._rows.get(sequence)) is not None:
            self._rows[sequence] = row.without_bodies()
            self._bytes -= len(row.bodies or b"")
            self.shed_bodies_total += 1
