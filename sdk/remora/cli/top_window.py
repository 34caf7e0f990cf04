"""What the last minutes' calls come to, in equal slots of time. Pure: the time is an argument.

A call counts at the time when the aggregator received its record, so every time here is of the
aggregator's clock; `ServerClock` tells how far that is from ours.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from remora.cli.record_cells import is_bad
from remora.records import CallRecord, EndReason, StoredRecord

SLOTS: Final = 60
QUANTILES: Final = (0.5, 0.9, 0.99)
QUANTILE_ERROR: Final = 0.01
"""How far, as a part of it, a quantile may be from the true value."""

_NS: Final = 10**9
_LOG_STEP: Final = math.log((1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR))
_LEAST_S: Final = 1e-6
_RECENT_SLOTS: Final = 12
"""What is said in figures is of so many whole slots and the one that is under way."""


class ServerClock:
    """How far the aggregator's clock is ahead, as its records tell.

    Records are on their way for a while, so those that were quickest tell best; those that were
    read later tell only if they come from the future.
    """

    def __init__(self) -> None:
        """Take both clocks to agree until a record says otherwise."""
        self._ahead_ns: int | None = None

    def take(self, received_unix_ns: int, now_unix_ns: int, *, is_live: bool) -> None:
        """Learn from a record that came now."""
        ahead_ns = received_unix_ns - now_unix_ns
        if not is_live and ahead_ns <= 0:
            return
        known = self._ahead_ns
        self._ahead_ns = ahead_ns if known is None else max(known, ahead_ns)

    def now_unix_ns(self, now_unix_ns: int) -> int:
        """Tell the aggregator's time at a time of ours."""
        return now_unix_ns + (self._ahead_ns or 0)


class Spread:
    """How values are distributed, in buckets that grow with them: small, and can be merged."""

    def __init__(self) -> None:
        """Begin with no value."""
        self._counts: Counter[int] = Counter()

    def add(self, value_s: float) -> None:
        """Count a value."""
        self._counts[math.ceil(math.log(max(value_s, _LEAST_S)) / _LOG_STEP)] += 1

    def quantile(self, part: float) -> float | None:
        """Return a quantile; None if there is no value."""
        rank, seen = math.ceil(part * self._counts.total()), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                # Between the bucket's ends so that it is off from either by the same part.
                return math.exp(bucket * _LOG_STEP) * (1 - QUANTILE_ERROR)
        return None

    @classmethod
    def merged(cls, spreads: Iterable["Spread"]) -> "Spread":
        """Put several together."""
        whole = cls()
        for spread in spreads:
            whole._counts.update(spread._counts)
        return whole


@dataclass(slots=True)
class Slot:
    """What the calls of one slot come to, so far.

    Attributes:
        tokens: Read and written; those of answers from the cache were not used again.
        cost_usd: Over calls with a known price.
        unpriced_calls: Calls with usage but without a price: the cost lacks theirs.
    """

    calls: int = 0
    errors: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced_calls: int = 0
    latencies: Spread = field(default_factory=Spread)
    ttfts: Spread = field(default_factory=Spread)

    def add(self, record: CallRecord) -> None:
        """Count a call."""
        self.calls += 1
        self.errors += _is_error(record)
        if record.usage is not None and not record.cached:
            self.tokens += (record.usage.input_tokens or 0) + (record.usage.output_tokens or 0)
        if record.cost is not None:
            self.cost_usd += record.cost.total_usd
        elif record.usage is not None:
            self.unpriced_calls += 1
        self.latencies.add(record.latency_s)
        if record.ttft_s is not None:
            self.ttfts.add(record.ttft_s)


def _is_error(record: CallRecord) -> bool:
    ends = (EndReason.PROVIDER_CUT, EndReason.NO_ANSWER, EndReason.REFUSED)
    return is_bad(record) or record.end_reason in ends


@dataclass(frozen=True, slots=True)
class Figures:
    """What is said in figures, of the time until now.

    Attributes:
        span_s: How long that time is.
        quantiles_s: Of latency, by `QUANTILES`; None where no call was made.
        ttft_quantiles_s: Of the first token.
    """

    span_s: float
    calls: int
    errors: int
    tokens: int
    cost_usd: Decimal
    unpriced_calls: int
    quantiles_s: tuple[float | None, ...]
    ttft_quantiles_s: tuple[float | None, ...]

    @property
    def calls_per_s(self) -> float:
        """Calls that ended in a second."""
        return self.calls / self.span_s

    @property
    def tokens_per_s(self) -> float:
        """Tokens read and written in a second."""
        return self.tokens / self.span_s

    @property
    def usd_per_h(self) -> Decimal:
        """What an hour like this would cost."""
        return self.cost_usd * 3_600 / Decimal(self.span_s)


@dataclass(frozen=True, slots=True)
class Series:
    """What is plotted: one value for each slot that is over, oldest first; None: not known.

    Attributes:
        slot_s: How long a slot is.
        starts_unix_ns: When the first begins.
    """

    slot_s: float
    starts_unix_ns: int
    calls_per_s: tuple[float | None, ...]
    errors: tuple[float | None, ...]
    tokens_per_s: tuple[float | None, ...]
    usd_per_h: tuple[Decimal | None, ...]
    latency_s: tuple[tuple[float | None, ...], ...]
    ttft_s: tuple[tuple[float | None, ...], ...]


class Window:
    """The calls of the last minutes."""

    def __init__(self, span_s: int, *, slots: int = SLOTS) -> None:
        """Begin without calls.

        Args:
            span_s: How long calls are remembered.
            slots: Into how many parts that is cut.
        """
        self._slot_ns = span_s * _NS // slots
        self._count = slots
        self._slots: dict[int, Slot] = {}
        self._known_from_unix_ns = 0

    def reach_back_unix_ns(self, now_unix_ns: int) -> int:
        """Say from when on calls are of interest."""
        return (now_unix_ns // self._slot_ns - self._count) * self._slot_ns

    def nothing_known_before(self, unix_ns: int) -> None:
        """Leave earlier slots empty in plots: not all of their calls are known."""
        self._known_from_unix_ns = unix_ns

    def add(self, stored: StoredRecord) -> None:
        """Count a call."""
        number = stored.received_unix_ns // self._slot_ns
        self._slots.setdefault(number, Slot()).add(stored.record)
        if len(self._slots) > 2 * self._count:
            self._forget(number)

    def _forget(self, number: int) -> None:
        """Records come nearly in order: what lies far behind one is of no interest."""
        self._slots = {
            at: slot for at, slot in self._slots.items() if abs(at - number) <= self._count
        }

    def figures(self, now_unix_ns: int) -> Figures:
        """Add up the last slots and the one that is under way."""
        now = now_unix_ns // self._slot_ns
        first = max(
            now - min(_RECENT_SLOTS, self._count), -(-self._known_from_unix_ns // self._slot_ns)
        )
        first = min(first, now)
        slots = [self._slots[at] for at in range(first, now + 1) if at in self._slots]
        # A slot that has just begun tells of no time at all.
        span_ns = max(now_unix_ns - first * self._slot_ns, self._slot_ns)
        latencies = Spread.merged(slot.latencies for slot in slots)
        ttfts = Spread.merged(slot.ttfts for slot in slots)
        return Figures(
            span_s=span_ns / _NS,
            calls=sum(slot.calls for slot in slots),
            errors=sum(slot.errors for slot in slots),
            tokens=sum(slot.tokens for slot in slots),
            cost_usd=sum((slot.cost_usd for slot in slots), Decimal(0)),
            unpriced_calls=sum(slot.unpriced_calls for slot in slots),
            quantiles_s=tuple(map(latencies.quantile, QUANTILES)),
            ttft_quantiles_s=tuple(map(ttfts.quantile, QUANTILES)),
        )

    def series(self, now_unix_ns: int) -> Series:
        """Give what is plotted: the slots that are over."""
        last = now_unix_ns // self._slot_ns
        numbers = range(last - self._count, last)
        slots = [self._over(at) for at in numbers]
        slot_s = self._slot_ns / _NS
        return Series(
            slot_s,
            numbers.start * self._slot_ns,
            _each(slots, lambda slot: slot.calls / slot_s),
            _each(slots, lambda slot: float(slot.errors)),
            _each(slots, lambda slot: slot.tokens / slot_s),
            _each(slots, lambda slot: slot.cost_usd * 3_600 / Decimal(slot_s)),
            tuple(_spreads(slots, lambda slot: slot.latencies)),
            tuple(_spreads(slots, lambda slot: slot.ttfts)),
        )

    def _over(self, number: int) -> Slot | None:
        if number * self._slot_ns < self._known_from_unix_ns:
            return None
        return self._slots.get(number) or Slot()


def _each[T](slots: Sequence[Slot | None], value: Callable[[Slot], T]) -> tuple[T | None, ...]:
    return tuple(None if slot is None else value(slot) for slot in slots)


def _spreads(
    slots: Sequence[Slot | None], spread: Callable[[Slot], Spread]
) -> Iterable[tuple[float | None, ...]]:
    for part in QUANTILES:
        yield tuple(None if slot is None else spread(slot).quantile(part) for slot in slots)
