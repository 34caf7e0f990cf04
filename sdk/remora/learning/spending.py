"""What an arm's calls cost and how long they took: sums that can be added and taken back."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

STEPS_PER_DOUBLING = 8
"""Latencies are counted in steps of a ninth, so a quantile is right to 5 %."""


@dataclass(slots=True)
class Spending:
    """Sums over calls.

    Attributes:
        priced: Calls whose cost is known.
        cost_usd: Of those.
        timed: Calls whose latency is known, by step of latency.
    """

    priced: int = 0
    cost_usd: Decimal = Decimal(0)
    timed: Counter[int] = field(default_factory=Counter)

    def add(self, cost_usd: Decimal | None, latency_ms: float | None) -> None:
        """Count a call; None is unknown, never 0."""
        self._count(cost_usd, latency_ms, 1)

    def take_back(self, cost_usd: Decimal | None, latency_ms: float | None) -> None:
        """Count a call no longer, such as one whose record was revised."""
        self._count(cost_usd, latency_ms, -1)

    def merge(self, other: "Spending") -> None:
        """Add other calls."""
        self.priced += other.priced
        self.cost_usd += other.cost_usd
        self.timed.update(other.timed)

    @property
    def mean_cost_usd(self) -> float | None:
        """Of a call; None if unknown."""
        return float(self.cost_usd) / self.priced if self.priced > 0 else None

    def latency_ms(self, quantile: float = 0.5) -> float | None:
        """Give a quantile of latency; None if unknown."""
        wanted = quantile * sum(self.timed.values())
        if wanted <= 0:
            return None
        return _quantile(sorted(self.timed.items()), wanted)

    def _count(self, cost_usd: Decimal | None, latency_ms: float | None, sign: int) -> None:
        if cost_usd is not None:
            self.priced += sign
            self.cost_usd += sign * cost_usd
        if latency_ms is not None:
            self.timed[_step(latency_ms)] += sign


def _step(latency_ms: float) -> int:
    return round(STEPS_PER_DOUBLING * math.log2(max(latency_ms, 0.001)))


def _quantile(steps: Iterable[tuple[int, int]], wanted: float) -> float:
    seen, reached = 0, 0
    for step, number in steps:
        seen, reached = seen + number, step
        if seen >= wanted:
            break
    return float(2 ** (reached / STEPS_PER_DOUBLING))
