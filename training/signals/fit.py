"""Fits the linear model: multinomial logistic regression by mini-batches, in numpy.

Nothing in it depends on the processor or on numpy's version: sums are taken in one order
(``bincount``), `exp` is made of sums and products alone, because the library's differs by
processor, and messages are shuffled by Python's own generator.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from random import Random

import numpy as np
from numpy.typing import NDArray
from training.signals.labelled import Message

from remora.feedback.classifier.context import context_features
from remora.feedback.classifier.features import features
from remora.feedback.classifier.model import CONTEXT_SHARE, LABELS, Model, Weights
from remora.feedback.classifier.wording import read

type Floats = NDArray[np.float64]
type Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to try.

    Attributes:
        batch: Messages looked at for one step.
        rate: Length of a step.
        caution: Added to the squares that steps are divided by, which shortens the first ones.
        fewest: Times a feature must occur.
        most_features: Of those, the heaviest are kept.
        decay: How strongly weights are drawn to 0.
    """

    epochs: int = 6
    batch: int = 512
    rate: float = 0.3
    caution: float = 1e-6
    decay: float = 1e-6
    fewest: int = 3
    most_features: int = 16_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Messages as numbers: entry i says that row ``rows[i]`` has feature ``columns[i]``."""

    starts: Whole
    columns: Whole
    values: Floats
    labels: Whole
    weights: Floats


def fit(messages: Sequence[Message], effort: Effort, trained_from: str) -> Model:
    """Train a model."""
    named = [_features(message) for message in messages]
    vocabulary = _vocabulary(named, effort.fewest)
    weights = _descend(_rows(messages, named, vocabulary), len(vocabulary), effort)
    kept = _heaviest(weights, vocabulary, effort.most_features)
    # What the lightest features said is learnt by the others.
    weights = _descend(_rows(messages, named, kept), len(kept), effort)
    return _quantized(weights, kept, trained_from)


def _features(message: Message) -> tuple[set[str], set[str]]:
    tokens = read(message.text)
    return features(tokens), context_features(tokens, message.context)


def _vocabulary(named: Sequence[tuple[set[str], set[str]]], fewest: int) -> dict[str, int]:
    counts = Counter(name for both in named for some in both for name in some)
    kept = sorted(name for name, count in counts.items() if count >= fewest)
    return {name: number for number, name in enumerate(kept)}


def _rows(
    messages: Sequence[Message],
    named: Sequence[tuple[set[str], set[str]]],
    vocabulary: dict[str, int],
) -> Rows:
    starts, columns, values = [0], [], []
    for said, around in named:
        known = sorted(vocabulary[name] for name in said if name in vocabulary)
        beside = sorted(vocabulary[name] for name in around if name in vocabulary)
        columns += known + beside
        values += [1 / sqrt(len(said))] * len(known) + [CONTEXT_SHARE] * len(beside)
        starts.append(len(columns))
    labels = np.array([LABELS.index(message.label) for message in messages])
    weights = np.array([message.weight for message in messages])
    totals = np.bincount(labels, weights=weights, minlength=len(LABELS))
    balanced = weights * (totals.sum() / len(LABELS) / np.maximum(totals, 1e-9))[labels]
    balanced /= fsum(balanced) / len(balanced)
    return Rows(np.array(starts), np.array(columns), np.array(values), labels, balanced)


def _descend(rows: Rows, width: int, effort: Effort) -> Floats:
    """AdaGrad over shuffled mini-batches."""
    weights = np.zeros((len(LABELS), width))
    squares = np.full((len(LABELS), width), effort.caution)
    random = Random(20)  # noqa: S311 - no secret
    for _ in range(effort.epochs):
        order = np.argsort([random.random() for _ in rows.labels], kind="stable")
        for start in range(0, len(order), effort.batch):
            gradient = _gradient(rows, order[start : start + effort.batch], weights)
            gradient += effort.decay * weights
            squares += gradient * gradient
            weights -= effort.rate * gradient / np.sqrt(squares)
    return weights


def _gradient(rows: Rows, batch: Whole, weights: Floats) -> Floats:
    entries, owners = _entries(rows, batch)
    columns, values = rows.columns[entries], rows.values[entries]
    size, width = len(batch), weights.shape[1]
    scores = [np.bincount(owners, each[columns] * values, minlength=size) for each in weights]
    errors = _softmax(np.array(scores))
    errors[rows.labels[batch], np.arange(size)] -= 1
    errors *= rows.weights[batch] / size
    return np.array([np.bincount(columns, e[owners] * values, minlength=width) for e in errors])


def _entries(rows: Rows, batch: Whole) -> tuple[Whole, Whole]:
    counts = rows.starts[batch + 1] - rows.starts[batch]
    owners = np.repeat(np.arange(len(batch)), counts)
    firsts = np.repeat(rows.starts[batch] - np.cumsum(counts) + counts, counts)
    return firsts + np.arange(len(owners)), owners


def _softmax(scores: Floats) -> Floats:
    shares = _exp(scores - scores.max(axis=0))
    total = shares[0] + shares[1] + shares[2] + shares[3]
    return shares / total


def _exp(exponents: Floats) -> Floats:
    """Return e to the power of numbers from -40 to 0, by (1 + x/2¹²+ …)^2¹²."""
    small = np.maximum(exponents, -40.0) / 4096
    power = 1 + small * (1 + small / 2 * (1 + small / 3))
    for _ in range(12):
        power = power * power
    return power


def _heaviest(weights: Floats, vocabulary: dict[str, int], most: int) -> dict[str, int]:
    spread = weights.max(axis=0) - weights.min(axis=0)
    order = sorted(vocabulary, key=lambda name: (-spread[vocabulary[name]], name))
    return {name: number for number, name in enumerate(sorted(order[:most]))}


def _quantized(weights: Floats, vocabulary: dict[str, int], trained_from: str) -> Model:
    scale = float(np.abs(weights).max()) / 999
    whole = np.rint(weights / scale).astype(int)
    found: dict[str, Weights] = {}
    for name, number in vocabulary.items():
        first, second, third, fourth = (int(one) for one in whole[:, number])
        if any((first, second, third, fourth)):
            found[name] = (first, second, third, fourth)
    return Model(found, scale, 1.0, trained_from)
