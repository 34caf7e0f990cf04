"""Calls of a task, line by line: each with its id and what policy decided. Pure."""

from collections.abc import Iterator
from datetime import tzinfo

from rich.text import Text

from remora.cli.figures import visible
from remora.cli.receipt_json import asked_first
from remora.cli.record_lines import RecordLines
from remora.records import CallRecord

_INDENT = " " * 9


class CallLines:
    """Writes calls as lines of one table, the decision below each."""

    def __init__(self, width: int, *, zone: tzinfo | None = None) -> None:
        """Fit the table to a screen of a width."""
        self._lines = RecordLines(width, zone=zone)

    def lines(self, record: CallRecord) -> Iterator[Text]:
        """Write one call, with what must stand before it."""
        yield from self._lines.lines(record)
        text = f"{_INDENT}{record.call_id}  {visible(decision(record))}".rstrip()
        yield Text(text, style="dim", no_wrap=True, overflow="ignore")


def decision(record: CallRecord) -> str:
    """Say in a line what policy made of a call; empty where it was not asked."""
    receipt = record.receipt
    if receipt is None:
        return ""
    said = [f"rule {receipt.rule}"] if receipt.rule else []
    if receipt.refused_by:
        return ", ".join([*said, f"refused: {receipt.refused_by}"])
    if receipt.router:
        said.append(f"{receipt.router} chose {asked_first(record)}")
    tried = len(record.attempts)
    if tried > 1:
        last = record.attempts[-1]
        said.append(f"attempt {tried} went to {last.provider}/{last.model}")
    warned = [f"budget {one.name}: {one.result}" for one in receipt.budgets if one.result != "ok"]
    return ", ".join([*said, *warned])
