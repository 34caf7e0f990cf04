"""How values lie between bounds: a histogram in plain numbers, for one thread to fill."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client.utils import floatToGoString


@dataclass(slots=True)
class Spread:
    """A histogram that costs one bisection for each value.

    Attributes:
        bounds: Upper bounds of the buckets, the last one open, ascending.
        total: Sum of the values.
    """

    bounds: Sequence[float]
    total: float = 0.0
    _counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Start empty."""
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def merge(self, other: "Spread") -> None:
        """Add another's values, whose bounds are the same."""
        for index, count in enumerate(other._counts):
            self._counts[index] += count
        self.total += other.total

    def buckets(self) -> list[tuple[str, float]]:
        """Counts below each bound, as the exposition format wants them."""
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        below, buckets = 0, []
        for name, count in zip(names, self._counts, strict=True):
            below += count
            buckets.append((name, float(below)))
        return buckets
