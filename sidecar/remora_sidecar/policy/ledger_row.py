"""An account as it is kept in the data directory."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from remora_sidecar.policy.budget_verdict import Per

_FORMAT = "remora-ledger-1"

type _Count = Annotated[int, Field(ge=0)]


class LedgerRow(NamedTuple):
    """One account of one budget. Money is in picodollars."""

    name: str
    per: Per
    window_ms: int | None
    key: str
    window: int
    spent_picousd: _Count
    spent_tokens: _Count
    reported_picousd: _Count
    reported_tokens: _Count


_ROW = TypeAdapter(LedgerRow)


def written(rows: Iterable[LedgerRow]) -> Iterator[str]:
    """Write rows as lines of JSON, below a line that names the format.

    Line by line, so that the thread that writes lets the loop have its turns.
    """
    yield json.dumps(_FORMAT)
    for row in rows:
        yield json.dumps(row)


def read(text: str) -> list[LedgerRow]:
    """Read what `written` wrote.

    Raises:
        ValueError: It is something else, or damaged; the message says in which line.
    """
    first, *lines = text.split("\n")
    if first != json.dumps(_FORMAT):
        raise ValueError("line 1: not a ledger of this version")
    return [_row(number, line) for number, line in enumerate(lines, 2) if line]


def _row(number: int, line: str) -> LedgerRow:
    try:
        return _ROW.validate_json(line, strict=False)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise ValueError(f"line {number}: {problem}") from None
