"""The table of records, line by line, so that it can grow while calls are made. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, tzinfo

from rich.text import Text

from remora.cli.figures import clipped
from remora.cli.moments import local_time
from remora.cli.record_cells import CELLS, is_bad, time_cell
from remora.records import CallRecord, EndReason

_LEAST_MODEL = 14


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        width: In characters; 0: what the others leave.
        shown_from: The least width of the screen that shows it.
        is_number: Whether it is set to the right.
    """

    name: str
    width: int
    shown_from: int = 0
    is_number: bool = False


COLUMNS = (
    Column("time", 8),
    Column("model", 0),
    Column("operation", 10, shown_from=150),
    Column("status", 16),
    Column("in", 7, is_number=True),
    Column("cached", 7, shown_from=110, is_number=True),
    Column("out", 7, is_number=True),
    Column("cost", 11, is_number=True),
    Column("ttft", 6, shown_from=110, is_number=True),
    Column("latency", 7, is_number=True),
    Column("session", 13, shown_from=130),
)
_WIDE = (Column("session", 37), Column("task", 16), Column("call", 32))


class RecordLines:
    """Writes records as lines of one table: a heading first, a date where the day changes."""

    def __init__(self, width: int, *, wide: bool = False, zone: tzinfo | None = None) -> None:
        """Fit the table to a screen.

        Args:
            width: Of the screen.
            wide: Add the whole session, the task and the call id, however wide it becomes.
            zone: In which times are shown; None: the machine's zone.
        """
        shown = [column for column in COLUMNS if column.shown_from <= width]
        if wide:
            shown = [column for column in shown if column.name != "session"]
        self._gap = " " * (1 if width < 100 else 2)
        taken = sum(column.width for column in shown) + len(self._gap) * (len(shown) - 1)
        self._model_width = max(width - taken, _LEAST_MODEL)
        self._columns = (*shown, *(_WIDE if wide else ()))
        self._zone = zone
        self._day: date | None = None

    def lines(self, record: CallRecord) -> Iterator[Text]:
        """Write one record, with what must stand before it."""
        if self._day is None:
            yield self._line([column.name for column in self._columns], "bold")
        day = local_time(record.started_unix_ns, self._zone).date()
        if day != self._day:
            self._day = day
            yield Text(f"{day}", style="dim")
        yield self._line([self._cell(column, record) for column in self._columns], _style(record))

    def _cell(self, column: Column, record: CallRecord) -> str:
        if column.name == "time":
            return time_cell(record, self._zone)
        return CELLS[column.name](record)

    def _line(self, cells: list[str], style: str) -> Text:
        pairs = zip(self._columns, cells, strict=True)
        text = self._gap.join(self._fitted(column, cell) for column, cell in pairs)
        return Text(text.rstrip(), style=style, no_wrap=True, overflow="ignore")

    def _fitted(self, column: Column, cell: str) -> str:
        width = column.width or self._model_width
        text = clipped(cell, width)
        return text.rjust(width) if column.is_number else text.ljust(width)


def _style(record: CallRecord) -> str:
    if is_bad(record):
        return "red"
    return "" if record.end_reason is EndReason.COMPLETED else "yellow"
