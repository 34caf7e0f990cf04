"""What a run comes to: numbers with their intervals, and whether they are as good as is wanted."""

import math
from dataclasses import dataclass

import numpy as np

_Z = 1.959964


@dataclass(frozen=True)
class Ratio:
    """A mean over seeds, as a share of another mean.

    Attributes:
        half: Of the interval of 95 %.
    """

    value: float
    half: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.half:.2f}"


def ratio(ours: np.ndarray, theirs: np.ndarray) -> Ratio:
    """Divide the means of two sets of seeds."""
    a, b = float(ours.mean()), float(theirs.mean())
    spread = ours.var(ddof=1) / len(ours) / a**2 + theirs.var(ddof=1) / len(theirs) / b**2
    return Ratio(a / b, _Z * a / b * math.sqrt(spread))


def mean_told(values: np.ndarray, digits: int = 1) -> str:
    """Give a mean with its interval of 95 %."""
    half = _Z * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():.{digits}f} ± {half:.{digits}f}"


def median_told(values: np.ndarray) -> str:
    """Give a median with its interval of 95 %, by the order of the values."""
    ordered = np.sort(values)
    reach = _Z * math.sqrt(len(values)) / 2
    low = ordered[max(math.floor(len(values) / 2 - reach), 0)]
    high = ordered[min(math.ceil(len(values) / 2 + reach), len(values) - 1)]
    median = ordered[len(values) // 2]
    return f"{_calls(median)} ({_calls(low)} to {_calls(high)})"


def _calls(number: float) -> str:
    return "never" if math.isinf(number) else f"{number:.0f}"


def met(is_met: bool) -> str:
    """Say whether what was wanted is so."""
    return "met" if is_met else "**missed**"
