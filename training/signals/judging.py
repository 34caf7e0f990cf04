"""How good a classifier is: accuracy, F1, confusion, calibration. Numbers in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from remora.feedback.classifier.verdict import Label, Verdict

_EDGES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict beside the truth."""

    truth: Label
    verdict: Verdict
    language: str

    @property
    def is_right(self) -> bool:
        """Whether the verdict is true."""
        return self.verdict.label is self.truth


@dataclass(frozen=True, slots=True)
class Bin:
    """Verdicts of about one confidence.

    Attributes:
        confidence: Their mean.
        accuracy: How many of them are right, as a share.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def accuracy(judged: Sequence[Judged]) -> float:
    """Return the share that is right."""
    return sum(one.is_right for one in judged) / len(judged)


def macro_f1(judged: Sequence[Judged]) -> float:
    """Return the mean over labels of the harmonic mean of precision and recall."""
    return sum(f1(judged, label) for label in Label) / len(Label)


def f1(judged: Sequence[Judged], label: Label) -> float:
    """Return a label's harmonic mean of precision and recall; 0 where it never occurs."""
    hits = sum(one.is_right and one.truth is label for one in judged)
    said = sum(one.verdict.label is label for one in judged)
    true = sum(one.truth is label for one in judged)
    return 2 * hits / (said + true) if said + true else 0.0


def confusion(judged: Sequence[Judged]) -> dict[tuple[Label, Label], int]:
    """Count verdicts by (truth, said)."""
    counts = {(truth, said): 0 for truth in Label for said in Label}
    for one in judged:
        counts[one.truth, one.verdict.label] += 1
    return counts


def reliability(judged: Sequence[Judged]) -> list[Bin]:
    """Sort verdicts by confidence and see how often they are right."""
    bins = []
    for low, high in pairwise(_EDGES):
        inside = [
            one
            for one in judged
            if low <= one.verdict.confidence < high or (one.verdict.confidence == high == 1)
        ]
        if inside:
            mean = sum(one.verdict.confidence for one in inside) / len(inside)
            bins.append(Bin(low, high, len(inside), mean, accuracy(inside)))
    return bins


def calibration_error(judged: Sequence[Judged]) -> float:
    """Return the mean distance of confidence and accuracy over the bins, by their counts."""
    return sum(
        one.count / len(judged) * abs(one.confidence - one.accuracy) for one in reliability(judged)
    )
