"""Whether, and when, an arm's share of good answers changed.

A generalised likelihood ratio: for each moment between two pieces of evidence, how much better two
shares explain what was seen than one does. The bound grows with the number of answers so that
looking after every one of them raises a false alarm, ever, with a small chance (after
Besson, Kaufmann, Maillard and Seznec, *Efficient change-point detection for tackling
piecewise-stationary bandits*, 2022).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from remora.learning.counts import NOTHING, Counts
from remora.learning.series import Piece


class Shift(NamedTuple):
    """A change.

    Attributes:
        at_ms: When the pieces begin that came after it.
        before: The evidence since the change before it.
        after: The evidence since.
    """

    at_ms: int
    before: Counts
    after: Counts

    @property
    def fall(self) -> float:
        """By how much the share of good answers fell; negative if it rose."""
        return (self.before.rate or 0.0) - (self.after.rate or 0.0)


def latest_shift(pieces: Sequence[Piece], false_alarm: float) -> Shift | None:
    """Find the latest change.

    Args:
        pieces: In the order of time.
        false_alarm: Chance of ever finding one where there is none; 0 finds none.
    """
    shift: Shift | None = None
    while false_alarm > 0:
        split = _likeliest_split(pieces, false_alarm)
        if split is None:
            return shift
        before, after = _total(pieces[:split]), _total(pieces[split:])
        shift = Shift(pieces[split].start_ms, before, after)
        pieces = pieces[split:]
    return None


def bound(weight: float, false_alarm: float) -> float:
    """Say how likely two shares have to be against one, as a logarithm, to believe in them."""
    return math.log(3 * max(weight, 1.0) ** 1.5 / false_alarm)


def _likeliest_split(pieces: Sequence[Piece], false_alarm: float) -> int | None:
    total = _total(pieces)
    good, bad = total.good, total.bad
    one_share = _likelihood(good, bad)
    highest, split = bound(good + bad, false_alarm), None
    so_far_good = so_far_bad = 0.0
    for index, piece in enumerate(pieces[:-1], 1):
        so_far_good += piece.counts.good
        so_far_bad += piece.counts.bad
        ratio = _likelihood(so_far_good, so_far_bad) - one_share
        ratio += _likelihood(good - so_far_good, bad - so_far_bad)
        if ratio > highest:
            highest, split = ratio, index
    return split


def _likelihood(good: float, bad: float) -> float:
    """Give the logarithm of how likely what was seen is at the share that makes it likeliest."""
    if good <= 1e-9 or bad <= 1e-9:  # crumbs of sums of floats are nothing
        return 0.0
    weight = good + bad
    return good * math.log(good / weight) + bad * math.log(bad / weight)


def _total(pieces: Sequence[Piece]) -> Counts:
    total = NOTHING
    for piece in pieces:
        total = total.plus(piece.counts)
    return total
