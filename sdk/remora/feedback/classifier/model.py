"""The trained weights: data of the package, made by `training/signals/train.py`.

A linear model: each feature adds its four weights to the labels' scores, and a softmax makes
probabilities of them. The file is text, so that a change to it can be read.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import exp, sqrt

from remora.feedback.classifier.verdict import Label

LABELS = tuple(Label)
"""The order of the weights in the file."""
CONTEXT_SHARE = 0.5
"""What a feature of the context counts; one of the message counts 1 / √(how many it has)."""

type Weights = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Model:
    """What was learnt.

    Attributes:
        weights: For each feature, one number for each of `LABELS`, in units of ``scale``.
        scale: What a weight of 1 adds to a score, before the share.
        temperature: Scores are divided by it, so that probabilities are calibrated.
        trained_from: Digest of the data and of the code that made the weights.
    """

    weights: Mapping[str, Weights]
    scale: float
    temperature: float
    trained_from: str

    def probabilities(self, said: Collection[str], around: Collection[str]) -> list[float]:
        """Say how likely each of `LABELS` is.

        Args:
            said: Features of the message.
            around: Features of its context.
        """
        share = self.scale / sqrt(max(len(said), 1)) / self.temperature
        context_share = self.scale * CONTEXT_SHARE / self.temperature
        pairs = zip(self._sums(said), self._sums(around), strict=True)
        return _softmax([a * share + b * context_share for a, b in pairs])

    def _sums(self, features: Collection[str]) -> tuple[int, int, int, int]:
        # Whole numbers, so that the order of a set does not show in the last digit.
        first = second = third = fourth = 0
        known = self.weights.get
        for feature in features:
            if weights := known(feature):
                first += weights[0]
                second += weights[1]
                third += weights[2]
                fourth += weights[3]
        return first, second, third, fourth


def _softmax(scores: list[float]) -> list[float]:
    highest = max(scores)
    shares = [exp(score - highest) for score in scores]
    total = sum(shares)
    return [share / total for share in shares]


def parse(text: str) -> Model:
    """Read a model from the text of its file.

    Raises:
        ValueError: The text is none.
    """
    head, *lines = text.split("\n")
    facts = json.loads(head)
    if facts["labels"] != list(LABELS):
        raise ValueError(f"the model knows the labels {facts['labels']}, not {list(LABELS)}")
    weights = dict(_entry(line) for line in lines if line)
    return Model(weights, facts["scale"], facts["temperature"], facts["trained_from"])


def _entry(line: str) -> tuple[str, Weights]:
    feature, _, numbers = line.rpartition("\t")
    first, second, third, fourth = map(int, numbers.split(" "))
    return feature, (first, second, third, fourth)


def as_text(model: Model) -> str:
    """Write a model as `parse` reads it."""
    facts = {
        "labels": list(LABELS),
        "scale": model.scale,
        "temperature": model.temperature,
        "trained_from": model.trained_from,
    }
    lines = [f"{name}\t{' '.join(map(str, model.weights[name]))}" for name in sorted(model.weights)]
    return "\n".join([json.dumps(facts), *lines, ""])


@lru_cache(maxsize=1)
def shipped_model() -> Model:
    """Return the model of the package, read on first use."""
    return parse(files(__package__).joinpath("model.tsv").read_text(encoding="utf-8"))
