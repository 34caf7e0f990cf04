"""Signals told to a person, line by line, and to a program. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from remora.cli.figures import NONE, clipped, plural, visible
from remora.cli.moments import iso_utc, local_time
from remora.cli.record_lines import Column
from remora.client.signal import Sent, StoredSignal

COLUMNS = (
    Column("came", 19),
    Column("call", 32),
    Column("kind", 20),
    Column("strength", 8, is_number=True),
    Column("sure", 5, is_number=True),
    Column("state", 9),
    Column("goal", 20, shown_from=130),
)
"""The arm has the rest."""

_LEAST_ARM = 16


class SignalLines:
    """Writes signals as lines of one table: a heading first."""

    def __init__(self, width: int) -> None:
        """Fit the table to a screen of a width."""
        self._columns = [column for column in COLUMNS if column.shown_from <= width]
        taken = sum(column.width + 2 for column in self._columns)
        self._arm_width = max(width - taken, _LEAST_ARM)
        self._is_begun = False

    def lines(self, stored: StoredSignal) -> Iterator[Text]:
        """Write one signal, with what must stand before it."""
        if not self._is_begun:
            self._is_begun = True
            heads = {column.name: column.name for column in self._columns}
            yield self._line({**heads, "arm": "arm"}, "bold")
        yield self._line(_cells(stored), "" if stored.state == "counted" else "dim")

    def _line(self, cells: Mapping[str, str], style: str) -> Text:
        fitted = []
        for column in self._columns:
            text = clipped(cells[column.name], column.width)
            fitted.append(
                text.rjust(column.width) if column.is_number else text.ljust(column.width)
            )
        fitted.append(clipped(cells["arm"], self._arm_width))
        return Text("  ".join(fitted).rstrip(), style=style, no_wrap=True, overflow="ignore")


def _cells(stored: StoredSignal) -> dict[str, str]:
    signal = stored.signal
    return {
        "came": f"{local_time(stored.received_unix_ns):%Y-%m-%d %H:%M:%S}",
        "call": visible(signal.call_id),
        "kind": visible(signal.kind),
        "strength": NONE if signal.strength is None else f"{signal.strength:.2f}",
        "sure": NONE if signal.confidence is None else f"{signal.confidence:.2f}",
        "state": stored.state or NONE,
        "goal": visible(signal.goal) or NONE,
        "arm": visible(stored.arm) or NONE,
    }


def signal_json(stored: StoredSignal) -> dict[str, Any]:
    """Show one signal; what its sender said has the keys of ``POST /v1/signals``."""
    signal = stored.signal
    return {
        "signal_id": signal.signal_id or None,
        "namespace": stored.namespace or None,
        "call_id": signal.call_id,
        "kind": signal.kind,
        "source": None if signal.source is None else signal.source.name.lower(),
        "strength": signal.strength,
        "confidence": signal.confidence,
        "at": iso_utc(signal.at_unix_ns) if signal.at_unix_ns else None,
        "received_at": iso_utc(stored.received_unix_ns),
        "reporter": signal.reporter or None,
        "dimension": signal.dimension or None,
        "failure_category": signal.failure_category or None,
        "goal": signal.goal or None,
        "session_id": signal.session_id or None,
        "text": signal.text or None,
        "state": stored.state or None,
        "arm": stored.arm or None,
    }


def sent_line(sent: Sent, where: str) -> str:
    """Say what became of signals that were sent."""
    parts = {
        "known before": sent.known,
        "waiting for their calls' records": sent.waiting,
        "refused": len(sent.refused),
    }
    said = ", ".join(f"{number:,} {what}" for what, number in parts.items() if number)
    stored = f"{plural(sent.accepted, 'signal')} kept by {where}"
    return f"{stored}: {said}" if said else stored


def sent_json(sent: Sent, where: str) -> dict[str, Any]:
    """Show what became of signals that were sent."""
    refused = [{"position": one.position, "reason": one.reason} for one in sent.refused]
    return {
        "where": where,
        "accepted": sent.accepted,
        "known": sent.known,
        "waiting": sent.waiting,
        "refused": refused,
    }
