"""What a message can say about the answer before it, and what that is worth as a signal.

The one list of labels: the training data, the model, the second opinion and the callers use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Label(StrEnum):
    """What a user's message says about the answer that came before it."""

    ACCEPTED = "accepted"
    """The answer is good, or is used: thanks, praise, "that works"."""
    REJECTED = "rejected"
    """The answer is no use: wrong, fails, off the point, or the same question again."""
    CORRECTED = "corrected"
    """The answer is nearly good: it is to be changed, or comes back edited."""
    NEUTRAL = "neutral"
    """Nothing about the answer: a new question, a fact, small talk."""


STRENGTHS: Mapping[Label, float] = {
    Label.ACCEPTED: 1.0,
    Label.CORRECTED: 0.25,
    Label.REJECTED: 0.0,
}
"""How good the answer was, from 0 to 1; a neutral message says nothing, so it has none."""

ASK_BELOW = 0.6
"""Confidence under which the model is guessing; `docs/signals-classifier.md` has a table of what
this and other limits cost and gain."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message says about an answer. Holds nothing of the message.

    Attributes:
        label: The likeliest.
        confidence: Its probability, from 0 to 1; calibrated, so of verdicts with 0.8 about four
            in five are right.
        probabilities: Of each label; they add up to 1.
    """

    label: Label
    confidence: float
    probabilities: Mapping[Label, float]

    @property
    def strength(self) -> float | None:
        """How good the answer was, from 0 to 1; None where the message does not say."""
        return STRENGTHS.get(self.label)

    @property
    def weight(self) -> float:
        """How much the verdict counts as evidence, from 0 to 1: nothing where it is neutral."""
        return 0.0 if self.label is Label.NEUTRAL else self.confidence

    @property
    def is_guess(self) -> bool:
        """Whether a second opinion is worth its price."""
        return self.confidence < ASK_BELOW
