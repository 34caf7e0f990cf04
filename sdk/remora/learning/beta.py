"""Beta distributions: what is believed of an arm's share of good answers."""

import math
from typing import NamedTuple

from remora.learning.counts import Counts

_Z = 1.959964
"""Standard deviations around a normal distribution's mean that hold 95 % of it."""


class Beta(NamedTuple):
    """A belief about a share.

    Attributes:
        good: Its first parameter: answers as good as known to be good.
        bad: Its second one.
    """

    good: float = 1.0
    bad: float = 1.0

    @property
    def weight(self) -> float:
        """Answers that it is worth."""
        return self.good + self.bad

    @property
    def mean(self) -> float:
        """The share that is expected."""
        return self.good / (self.good + self.bad)

    @property
    def variance(self) -> float:
        """How unsure that is."""
        weight = self.good + self.bad
        return self.good * self.bad / (weight * weight * (weight + 1))

    def after(self, counts: Counts, factor: float = 1.0) -> "Beta":
        """Learn from evidence, each answer of which counts for a factor."""
        return Beta(self.good + factor * counts.good, self.bad + factor * counts.bad)

    def sharpened(self, factor: float) -> "Beta":
        """Believe as if there were so many times the evidence."""
        return Beta(self.good * factor, self.bad * factor)

    def at_most(self, weight: float) -> "Beta":
        """Believe the same, but no more firmly than after so many answers."""
        return self if self.weight <= weight else self.sharpened(weight / self.weight)


IGNORANCE = Beta()
"""Any share is as likely as any other."""


def inherited(prior: Beta, others: Counts, prior_weight: float) -> Beta:
    """Say what is believed of an arm at a place before anything is known of it there.

    Args:
        prior: What is believed one level above before its own evidence.
        others: Evidence of the level above, without that of the place itself.
        prior_weight: Answers that all of ``others`` count for at most.
    """
    known = others.weight
    factor = min(1.0, prior_weight / known) if known > 0 else 0.0
    return prior.after(others, factor)


def wilson(counts: Counts) -> tuple[float, float]:
    """Give Wilson's interval of 95 % for the share of good answers; (0, 1) without evidence."""
    number, share = counts.weight, counts.rate
    if share is None or number <= 0:
        return 0.0, 1.0
    weight = _Z**2 / number
    centre = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / number + weight / number / 4) / (1 + weight)
    return max(centre - half, 0.0), min(centre + half, 1.0)
