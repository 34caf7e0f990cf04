"""Sums over groups of calls that are kept as calls come, and taken back when records go. Pure.

Two kinds of groups are kept: *periods* (an hour, a day) by provider, model, operation and workload,
with the spreads of three measures; and *spans* (a session, a task and so on) by provider and model.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from operator import add
from typing import Final, NamedTuple

from remora_aggregator.store import spread
from remora_aggregator.store.facts import AT, Facts, Value
from remora_aggregator.store.spread import Spread, bucket_of

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS

SPANS: Final = ("session_id", "task_id", "data_id", "combo_id", "agent_id")
"""The columns of FACTS that name a span."""

SUMS: Final = (
    "calls", "errors", "unread_usage_calls", "unpriced_calls", "cached_calls", "estimated_calls",
    "priced_calls",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "cost_usd", "saved_usd", "latency_sum_s", "saved_s",
)  # fmt: skip
"""What is summed up, in the order of `Totals.sums`; two of them are Decimal, the last two float."""

MEASURES: Final = ("latency_s", "ttft_s", "overhead_s")
"""The columns of FACTS whose spread is kept, in the order of `Totals.spreads`."""

_MONEY_FROM, _FLOATS_FROM = SUMS.index("cost_usd"), SUMS.index("latency_sum_s")
_MONEY_AT = (_MONEY_FROM, _MONEY_FROM + 1)
_MONEY = Context(prec=200)
"""Wide enough for the sum of any amounts that are admitted, so that nothing is rounded."""
_NOTHING = Decimal(0)
_MOST = (1 << 63) - 1
type Sum = int | float | Decimal
_ZEROS: Final[Sequence[Sum]] = (*[0] * _MONEY_FROM, _NOTHING, _NOTHING, 0.0, 0.0)

_FLAGS = [AT[name] for name in ("is_error", "is_usage_unread", "is_unpriced", "is_cached")]
_ESTIMATED = AT["is_estimated"]
_TOKENS = slice(AT["input_tokens"], AT["reasoning_tokens"] + 1)
_COST, _SAVED_USD, _SAVED_S = AT["cost_usd"], AT["saved_usd"], AT["saved_s"]
_MEASURED = [AT[name] for name in MEASURES]
_LATENCY = AT["latency_s"]
_NAMESPACE, _STARTED = AT["namespace"], AT["started_unix_ns"]
_PROVIDER, _MODEL = AT["provider"], AT["model"]
_OPERATION, _WORKLOAD = AT["operation"], AT["workload"]
_SPANS = [(name, AT[name]) for name in SPANS]


class PeriodKey(NamedTuple):
    """A group of calls that began in one hour or on one day; empty text for what is not stated."""

    level_ns: int
    start_unix_ns: int
    namespace: str
    provider: str
    model: str
    operation: str
    workload: str


class SpanKey(NamedTuple):
    """A group of one span's calls; ``kind`` is one of `SPANS`."""

    namespace: str
    kind: str
    span_id: str
    provider: str
    model: str


def _empty_spreads() -> tuple[Spread, ...]:
    return tuple(Spread() for _ in MEASURES)


class Totals:
    """The sums of one group.

    Attributes:
        sums: In the order of `SUMS`.
        spreads: In the order of `MEASURES`; empty for spans.
        first_unix_ns: When the first call began.
        last_unix_ns: When the last one began.
    """

    __slots__ = ("first_unix_ns", "last_unix_ns", "spreads", "sums")

    def __init__(self, spreads: tuple[Spread, ...] | None = None) -> None:
        """Begin with nothing.

        Args:
            spreads: Those of the group; by default empty ones, and `()` for a span.
        """
        self.sums = [*_ZEROS]
        self.spreads = _empty_spreads() if spreads is None else spreads
        self.first_unix_ns = _MOST
        self.last_unix_ns = 0

    def merge(self, other: "Totals") -> None:
        """Add another group's sums."""
        self.add_row(other.sums)
        for into, more in zip(self.spreads, other.spreads, strict=True):
            into.add(more)
        self.first_unix_ns = min(self.first_unix_ns, other.first_unix_ns)
        self.last_unix_ns = max(self.last_unix_ns, other.last_unix_ns)

    def add_row(self, sums: Sequence[Sum]) -> None:
        """Add sums in the order of `SUMS`."""
        mine = self.sums
        mine[:_MONEY_FROM] = map(add, mine[:_MONEY_FROM], sums[:_MONEY_FROM])
        for at in _MONEY_AT:
            if sums[at]:
                mine[at] = _MONEY.add(mine[at], sums[at])  # type: ignore[arg-type]  # Decimal
        mine[_FLOATS_FROM:] = map(add, mine[_FLOATS_FROM:], sums[_FLOATS_FROM:])

    def count(self, changes: Sequence[Sum], started_unix_ns: int) -> None:
        """Add the changes that one call makes (`changes_of`)."""
        self.add_row(changes)
        if started_unix_ns < self.first_unix_ns:
            self.first_unix_ns = started_unix_ns
        if started_unix_ns > self.last_unix_ns:
            self.last_unix_ns = started_unix_ns

    @property
    def kept_sums(self) -> list[Sum]:
        """The sums as they are kept: no count is too large for a column."""
        counts = self.sums[:_MONEY_FROM]
        if max(counts) > _MOST or min(counts) < -_MOST:
            counts = [max(-_MOST, min(count, _MOST)) for count in counts]
        return [*counts, *self.sums[_MONEY_FROM:]]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of the group."""
        return self.sums[0] == 0 and not any(self.spreads)

    def kept_spreads(self) -> bytes:
        """Write the spreads down."""
        return spread.written(self.spreads)

    def add_spreads(self, kept: bytes) -> None:
        """Add what was written down."""
        spread.add_kept(self.spreads, kept)


def changes_of(facts: Facts, sign: int = 1) -> list[Sum]:
    """Say what one call adds to the sums of its groups, or takes from them."""
    cost, saved_usd = facts[_COST], facts[_SAVED_USD]
    numbers: list[Value] = [
        1, *(facts[at] for at in _FLAGS), facts[_ESTIMATED], cost is not None, *facts[_TOKENS],
        cost or _NOTHING, saved_usd or _NOTHING, facts[_LATENCY] or 0.0, facts[_SAVED_S] or 0.0,
    ]  # fmt: skip
    added: list[Sum] = numbers  # type: ignore[assignment]  # FACTS says so
    return added if sign == 1 else [_negative(number) for number in added]


def _negative(number: Sum) -> Sum:
    # A minus would round money to the precision of the thread's context.
    return number.copy_negate() if isinstance(number, Decimal) else -number


class _Tally:
    """What several calls add to one group: their changes, which are summed up at the end."""

    __slots__ = ("changes", "first_unix_ns", "last_unix_ns", "spreads")

    def __init__(self, spreads: tuple[Spread, ...]) -> None:
        self.changes: list[Sequence[Sum]] = []
        self.first_unix_ns = _MOST
        self.last_unix_ns = 0
        self.spreads = spreads

    def count(self, changes: Sequence[Sum], started_unix_ns: int) -> None:
        self.changes.append(changes)
        if started_unix_ns < self.first_unix_ns:
            self.first_unix_ns = started_unix_ns
        if started_unix_ns > self.last_unix_ns:
            self.last_unix_ns = started_unix_ns

    def totals(self) -> Totals:
        found = Totals(self.spreads)
        if len(self.changes) == 1:
            found.add_row(self.changes[0])
        else:
            with localcontext(_MONEY):
                found.sums = list(map(sum, zip(found.sums, *self.changes, strict=True)))
        found.first_unix_ns, found.last_unix_ns = self.first_unix_ns, self.last_unix_ns
        return found


class Changes:
    """What a transaction changes: what it adds to the totals that are kept."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._periods: dict[PeriodKey, _Tally] = {}
        self._spans: dict[SpanKey, _Tally] = {}

    def count(self, facts: Facts, sign: int = 1) -> None:
        """Add one call to its groups, or take it from them."""
        changes = changes_of(facts, sign)
        began: int = facts[_STARTED]  # type: ignore[assignment]  # FACTS says that it is a number
        namespace, provider, model = facts[_NAMESPACE], facts[_PROVIDER] or "", facts[_MODEL] or ""
        period = self._period(
            HOUR_NS, began - began % HOUR_NS, namespace, provider, model,
            facts[_OPERATION] or "", facts[_WORKLOAD] or "",
        )  # fmt: skip
        period.count(changes, began)
        for into, at in zip(period.spreads, _MEASURED, strict=True):
            value = facts[at]
            if value is not None:
                into.count(bucket_of(value), sign)  # type: ignore[arg-type]  # as above
        for kind, at in _SPANS:
            if span_id := facts[at]:
                self._span(namespace, kind, span_id, provider, model).count(changes, began)

    def _period(self, *words: Value) -> _Tally:
        key = PeriodKey._make(words)
        found = self._periods.get(key)
        if found is None:
            found = self._periods[key] = _Tally(_empty_spreads())
        return found

    def _span(self, *words: Value) -> _Tally:
        key = SpanKey._make(words)
        found = self._spans.get(key)
        if found is None:
            found = self._spans[key] = _Tally(())
        return found

    def spans(self) -> dict[SpanKey, Totals]:
        """Give what is added to the totals of spans."""
        return {key: tally.totals() for key, tally in self._spans.items()}

    def periods(self) -> dict[PeriodKey, Totals]:
        """Give what is added to the totals of hours, and of the days that they are part of."""
        hours = {key: tally.totals() for key, tally in self._periods.items()}
        everything = dict(hours)
        for key, totals in hours.items():
            start = key.start_unix_ns - key.start_unix_ns % DAY_NS
            day = key._replace(level_ns=DAY_NS, start_unix_ns=start)
            everything.setdefault(day, Totals()).merge(totals)
        return everything
