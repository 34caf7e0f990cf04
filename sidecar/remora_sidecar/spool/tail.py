"""The newest records of the spool's file, still in memory.

Most records are delivered within a moment of being written down; handing them out from here
spares reading them again. What is not here is read from the file. Pure.
"""

from collections import deque

from remora_sidecar.spool.row import Spooled

_LIMIT_RECORDS = 2000
_LIMIT_BYTES = 1024 * 1024

_UNKNOWN = -1
"""No row has this number."""


class Tail:
    """Rows whose numbers follow each other, up to the last one appended; else it is cleared."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: deque[Spooled] = deque()
        self._bytes = 0
        self._last = _UNKNOWN

    def __len__(self) -> int:
        """How many rows are kept."""
        return len(self._rows)

    def add(self, row: Spooled) -> None:
        """Keep a row that is in the file now."""
        if row.sequence != self._last + 1:
            self.clear()
        self._last = row.sequence
        self._rows.append(row)
        self._bytes += len(row.written)
        while len(self._rows) > _LIMIT_RECORDS or self._bytes > _LIMIT_BYTES:
            self._drop()

    def take(self, after: int, limit: int, max_bytes: int) -> list[Spooled] | None:
        """Hand out what follows a number, at least one if there is any; None if the file must say.

        What was handed out is not kept.
        """
        while self._rows and self._rows[0].sequence <= after:
            self._drop()
        if not self._rows or self._rows[0].sequence != after + 1:
            return [] if after == self._last else None
        taken: list[Spooled] = []
        while self._rows and len(taken) < limit:
            row = self._rows[0]
            max_bytes -= len(row.written)
            if taken and max_bytes < 0:
                break
            taken.append(row)
            self._drop()
        return taken

    def clear(self) -> None:
        """Keep nothing: the file alone knows."""
        self._rows.clear()
        self._bytes = 0
        self._last = _UNKNOWN

    def _drop(self) -> None:
        self._bytes -= len(self._rows.popleft().written)
