"""What is no longer kept, and when: by age and by size, for bodies and facts apart. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from remora_aggregator.store.facts import Value
from remora_aggregator.store.sql import Flavour, Statement
from remora_aggregator.store.totals import DAY_NS, HOUR_NS

SLICE_RECORDS: Final = 500
"""How many records go in one transaction: whoever reports waits no longer than that takes."""
FEW_RECORDS: Final = 50
"""How many go at a time for the room that they take, so that few go without need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long and how much is kept; None: without bound.

    Attributes:
        facts_ns: Records, totals by hour and span, tasks and executions, so long after they came.
        bodies_ns: Captured bodies, so long after they were received.
        days_ns: Totals by day, so long after the day.
        signals_ns: Signals, so long after they came, and trials, so long after their calls began.
        spans_ns: Spans and capsules of Kalibr's clients, so long after they came.
        facts_bytes: Of records without bodies; the oldest go first.
        bodies_bytes: Of bodies as they are stored, compressed; the oldest go first.
    """

    facts_ns: int | None = None
    bodies_ns: int | None = None
    days_ns: int | None = None
    facts_bytes: int | None = None
    bodies_bytes: int | None = None
    signals_ns: int | None = None
    spans_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """What is there.

    Attributes:
        facts_bytes: What records take, without bodies, indexes included.
        bodies_bytes: What bodies take, compressed.
        oldest_received_unix_ns: Of all records; None where there is none.
        oldest_body_received_unix_ns: Of all records that have bodies.
    """

    facts_bytes: int
    bodies_bytes: int
    oldest_received_unix_ns: int | None = None
    oldest_body_received_unix_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """What goes next: the oldest so many, of those that were received before a moment.

    Attributes:
        before_unix_ns: None: whenever they were received.
    """

    records: int
    before_unix_ns: int | None = None


def facts_to_shed(keep: Retention, stock: Stock, now_unix_ns: int) -> Slice | None:
    """Say which records have to go next; None: none."""
    return _slice(
        _cut(stock.oldest_received_unix_ns, keep.facts_ns, now_unix_ns),
        is_too_much=keep.facts_bytes is not None and stock.facts_bytes > keep.facts_bytes,
    )


def bodies_to_shed(keep: Retention, stock: Stock, now_unix_ns: int) -> Slice | None:
    """Say which bodies have to go next; None: none."""
    return _slice(
        _cut(stock.oldest_body_received_unix_ns, keep.bodies_ns, now_unix_ns),
        is_too_much=keep.bodies_bytes is not None and stock.bodies_bytes > keep.bodies_bytes,
    )


def _cut(oldest_unix_ns: int | None, keep_ns: int | None, now_unix_ns: int) -> int | None:
    """Say before when what was received is too old; None: nothing is."""
    if oldest_unix_ns is None or keep_ns is None or oldest_unix_ns >= now_unix_ns - keep_ns:
        return None
    return now_unix_ns - keep_ns


def _slice(before_unix_ns: int | None, *, is_too_much: bool) -> Slice | None:
    if before_unix_ns is not None:
        return Slice(SLICE_RECORDS, before_unix_ns)
    return Slice(FEW_RECORDS) if is_too_much else None


def oldest_records(part: Slice, flavour: Flavour) -> Statement:
    """Ask for the positions of the records that go."""
    before, parameters = _before(part, flavour)
    return Statement(
        f"select position from records where {before} "  # noqa: S608 - our own words
        f"order by received_unix_ns limit {flavour.mark}",
        parameters,
    )


def oldest_bodies(part: Slice, flavour: Flavour) -> Statement:
    """Ask for the positions of the bodies that go."""
    before, parameters = _before(part, flavour)
    return Statement(
        "select bodies.position from bodies join records on records.position = bodies.position "  # noqa: S608 - as above
        f"where {before} order by bodies.position limit {flavour.mark}",
        parameters,
    )


def _before(part: Slice, flavour: Flavour) -> tuple[str, tuple[Value, ...]]:
    if part.before_unix_ns is None:
        return "true", (part.records,)
    return f"received_unix_ns < {flavour.mark}", (part.before_unix_ns, part.records)


def old_totals(keep: Retention, now_unix_ns: int, flavour: Flavour) -> Sequence[Statement]:
    """Take totals away that are older than what they are kept for."""
    found = []
    mark = flavour.mark
    if keep.facts_ns is not None:
        before = now_unix_ns - keep.facts_ns
        found.append(_older(f"last_unix_ns < {mark}", "span_totals", before))
        found.append(_older(f"stirred_unix_ns < {mark}", "tasks", before))
        found.append(_older(f"received_unix_ns < {mark}", "executions", before))
        hours = f"level_ns = {mark} and start_unix_ns < {mark}"
        found.append(_older(hours, "period_totals", HOUR_NS, before - HOUR_NS))
    if keep.days_ns is not None:
        days = f"level_ns = {mark} and start_unix_ns < {mark}"
        found.append(_older(days, "period_totals", DAY_NS, now_unix_ns - keep.days_ns - DAY_NS))
    return found


def _older(condition: str, table: str, *parameters: Value) -> Statement:
    return Statement(f"delete from {table} where {condition}", parameters)  # noqa: S608 - our own words
