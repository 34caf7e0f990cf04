"""Fractional counts of good and bad answers, in whole millionths.

Whole numbers, because sums of evidence are added in any order, on any replica, and are taken
back when better evidence comes: with floats each of these would leave a different crumb.
"""

from typing import NamedTuple

MILLION = 1_000_000
"""One answer that is known for certain."""


class Counts(NamedTuple):
    """How much evidence there is, and which way it points.

    Attributes:
        good_millionths: Of answers that were good.
        bad_millionths: Of answers that were not.
    """

    good_millionths: int = 0
    bad_millionths: int = 0

    @property
    def good(self) -> float:
        """Answers that were good."""
        return self.good_millionths / MILLION

    @property
    def bad(self) -> float:
        """Answers that were not."""
        return self.bad_millionths / MILLION

    @property
    def weight(self) -> float:
        """Answers that are known of, each as much as one can be sure of it."""
        return (self.good_millionths + self.bad_millionths) / MILLION

    @property
    def rate(self) -> float | None:
        """The share that was good; None without evidence."""
        total = self.good_millionths + self.bad_millionths
        return self.good_millionths / total if total else None

    def plus(self, other: "Counts") -> "Counts":
        """Add evidence."""
        return Counts(
            self.good_millionths + other.good_millionths,
            self.bad_millionths + other.bad_millionths,
        )

    def minus(self, other: "Counts") -> "Counts":
        """Take evidence back."""
        return Counts(
            self.good_millionths - other.good_millionths,
            self.bad_millionths - other.bad_millionths,
        )

    def scaled(self, factor: float) -> "Counts":
        """Let it count for less, or more."""
        return Counts(round(self.good_millionths * factor), round(self.bad_millionths * factor))


NOTHING = Counts()


def counts_of(strength: float, confidence: float) -> Counts:
    """Say what one answer counts for.

    Args:
        strength: How good it was, from 0 to 1.
        confidence: How sure that is, from 0 to 1: what the answer counts for in all.

    Raises:
        ValueError: One of them is outside of 0 to 1.
    """
    for name, value in (("strength", strength), ("confidence", confidence)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}: give a number from 0 to 1")
    total = round(confidence * MILLION)
    good = round(confidence * strength * MILLION)
    return Counts(good, total - good)
