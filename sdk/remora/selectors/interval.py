"""How sure a mean score is. Pure."""

import math
from collections.abc import Sequence

_Z = 1.959964
"""Standard deviations around a normal distribution's mean that hold 95 % of it."""


def confidence_interval(scores: Sequence[float]) -> tuple[float, float]:
    """Give the 95 % interval of the mean.

    Of scores in [0, 1] Wilson's, which for scores between 0 and 1 is rather too wide; else
    the mean and 1.96 standard errors, without end for fewer than two.
    """
    number = len(scores)
    if not number:
        return -math.inf, math.inf
    mean = math.fsum(scores) / number
    if min(scores) >= 0 and max(scores) <= 1:
        return _wilson(mean, number)
    if number == 1:
        return -math.inf, math.inf
    variance = math.fsum((score - mean) ** 2 for score in scores) / (number - 1)
    half = _Z * math.sqrt(variance / number)
    return mean - half, mean + half


def _wilson(share: float, number: int) -> tuple[float, float]:
    weight = _Z**2 / number
    centre = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / number + weight / number / 4) / (1 + weight)
    return max(centre - half, 0.0), min(centre + half, 1.0)
