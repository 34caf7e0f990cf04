"""How likely each of some arms is the best: Thompson sampling's choice, as numbers.

Drawing from twenty Beta distributions takes plain Python longer than a decision may. What the
drawing comes to is worked out once for each snapshot: the chance that an arm's draw is the
highest. A decision is then one random number, and the propensity it is told with is not an estimate
but the very chance that it was made with.

The integral of each arm's distribution against the others' is a sum over cells between quantiles
of all of them. Cumulative distributions are Camp and Paulson's approximation (Abramowitz and Stegun
26.5.21), the normal one behind it is a hyperbolic tangent; docs/learned-routing.md has the error.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from remora.learning.beta import Beta

DEVIATIONS = (-4.0, -3.0, -2.3, -1.7, -1.2, -0.8, -0.4, 0.0, 0.4, 0.8, 1.2, 1.7, 2.3, 3.0, 4.0)
"""Of each arm, where cells have an edge."""

CUBIC = 0.044715
SLOPE = math.sqrt(2 / math.pi)
_LEAST = 0.2
"""Below it the approximation of cumulative distributions does not rise throughout."""

_OUT_OF_REACH = 6.0
"""Deviations from its mean beyond which an arm is not found."""


class _Shape(NamedTuple):
    """A Beta distribution as its cumulative distribution needs it."""

    rise: float
    drop: float
    rise_variance: float
    drop_variance: float

    def below(self, root: float, other_root: float) -> float:
        """Give the chance of less than x, of which the cubic roots of x and 1 - x are given."""
        spread = self.rise_variance * root * root + self.drop_variance * other_root * other_root
        deviations = (self.rise * root - self.drop * other_root) / math.sqrt(spread)
        slope = SLOPE * (deviations + CUBIC * deviations * deviations * deviations)
        return 0.5 + 0.5 * math.tanh(slope)


def best_chances(beliefs: Sequence[Beta]) -> list[float]:
    """Give each one's chance that a draw from it is higher than from all others; they sum to 1.

    Args:
        beliefs: At least one.
    """
    chances = [0.0] * len(beliefs)
    contenders = _contenders(beliefs)
    if len(contenders) == 1:
        chances[contenders[0]] = 1.0
        return chances
    found = _highest([beliefs[index] for index in contenders])
    whole = math.fsum(found)
    for index, chance in zip(contenders, found, strict=True):
        chances[index] = chance / whole
    return chances


def _contenders(beliefs: Sequence[Beta]) -> list[int]:
    """Leave out those that are certainly not the best."""
    reaches = [(b.mean, _OUT_OF_REACH * math.sqrt(b.variance)) for b in beliefs]
    floor = max(mean - reach for mean, reach in reaches)
    return [index for index, (mean, reach) in enumerate(reaches) if mean + reach >= floor]


def _highest(beliefs: Sequence[Beta]) -> list[float]:
    edges = _edges(beliefs)
    roots = [(edge ** (1 / 3), (1 - edge) ** (1 / 3)) for edge in edges]
    below = [[shape.below(*root) for root in roots] for shape in map(_shape, beliefs)]
    for chances in below:
        chances[0], chances[-1] = 0.0, 1.0
    others = _all_but_each(below)
    return [
        sum(
            (mine[cell + 1] - mine[cell]) * (rest[cell + 1] + rest[cell])
            for cell in range(len(edges) - 1)
        )
        for mine, rest in zip(below, others, strict=True)
    ]


def _edges(beliefs: Sequence[Beta]) -> list[float]:
    edges = [0.0, 1.0]
    for belief in beliefs:
        mean, deviation = belief.mean, math.sqrt(belief.variance)
        edges += [mean + number * deviation for number in DEVIATIONS]
    return sorted(edge for edge in edges if 0 <= edge <= 1)


def _all_but_each(below: Sequence[Sequence[float]]) -> list[list[float]]:
    """Multiply, for each arm, the others' chances at every edge."""
    before = [[1.0] * len(below[0])]
    for chances in below[:-1]:
        before.append([a * b for a, b in zip(before[-1], chances, strict=True)])
    after = [1.0] * len(below[0])
    for index in range(len(below) - 1, -1, -1):
        before[index] = [a * b for a, b in zip(before[index], after, strict=True)]
        after = [a * b for a, b in zip(after, below[index], strict=True)]
    return before


def _shape(belief: Beta) -> _Shape:
    good, bad = (max(parameter, _LEAST) for parameter in belief)
    return _Shape(
        rise=3 * bad ** (1 / 3) * (1 - 1 / (9 * bad)),
        drop=3 * good ** (1 / 3) * (1 - 1 / (9 * good)),
        rise_variance=bad ** (-1 / 3),
        drop_variance=good ** (-1 / 3),
    )
