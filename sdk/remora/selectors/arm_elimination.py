"""Arm elimination: all on a few datapoints, then those that may still be best on more. Pure.

Which are dropped is decided by one of two bounds; `ArmElimination` says what each guarantees.
"""

import warnings
from collections.abc import Sequence
from itertools import accumulate, count, takewhile
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from remora.selectors.algorithm import Combinations, Grid, cells_of
from remora.selectors.evidence import fortunes
from remora.selectors.observations import Cells, Observations, Values

BoundName = Literal["betting", "standard_error"]

_LEADERS = 5
"""So many of the best are held against the others: more find hardly anything that these don't."""

_SD_OF_ONE = 0.5
"""Standard deviation that is assumed of a single value."""


class Bound(Protocol):
    """Tells which of some combinations can be dropped."""

    def kept(self, values: Values) -> NDArray[np.bool_]:
        """Take values in the order they were drawn, a row each; at least one row is kept."""
        ...


class StandardErrorBound:
    """Keeps whose mean and error reach the best mean less its error: the rule of AgentOpt.

    It guarantees nothing: it is applied again after every round, to every pair, and values that are
    all the same have no error at all.
    """

    def __init__(self, confidence: float) -> None:
        """Take how many standard errors count."""
        self._confidence = confidence

    def kept(self, values: Values) -> NDArray[np.bool_]:
        """Drop whose upper end is below another's lower end."""
        known = ~np.isnan(values)
        number = known.sum(axis=1)
        mean = _means(values)
        squares = np.where(known, (values - mean[:, np.newaxis]) ** 2, 0.0).sum(axis=1)
        deviation = np.where(number > 1, np.sqrt(squares / np.maximum(number - 1, 1)), _SD_OF_ONE)
        error = self._confidence * deviation / np.sqrt(np.maximum(number, 1))
        enough: NDArray[np.bool_] = mean + error >= np.max(mean - error)
        return enough


class BettingBound:
    """Drops what the evidence of `remora.selectors.evidence` says is not the best.

    Every other's fortune against the combination that is best on the whole data set is a
    supermartingale, and so is their mean, which ever exceeds 1/delta with probability delta at
    most. So the best is dropped in at most that share of runs, however many combinations and
    rounds there are. Values have to be in the stated range and datapoints in random order.
    """

    def __init__(self, grid: Grid, delta: float, score_range: tuple[float, float]) -> None:
        """Take the share of runs that may go wrong, and what scores may be."""
        self._population = grid.datapoints
        self._needed = max(grid.combinations - 1, 1) / delta
        self._low, self._high = score_range

    def kept(self, values: Values) -> NDArray[np.bool_]:
        """Drop those against which the leaders together have evidence.

        With a value that is out of range nothing is dropped: the evidence would prove nothing.
        """
        if np.any(values < self._low) or np.any(values > self._high):
            warnings.warn(
                f"A score is not between {self._low:g} and {self._high:g}, so that no combination "
                "is dropped: say what scores may be with score_range=(low, high)",
                stacklevel=2,
            )
            return np.ones(len(values), dtype=bool)
        scaled = (values - self._low) / (self._high - self._low)
        leaders = np.argsort(-_means(scaled), kind="stable")[:_LEADERS]
        ahead = scaled[leaders, np.newaxis, :] - scaled[np.newaxis, :, :]
        together = fortunes(ahead, self._population).sum(axis=0)
        together[leaders] -= 1.0  # a leader's fortune against itself never moves
        evidence = together.max(axis=1)
        kept: NDArray[np.bool_] = evidence < self._needed
        kept[leaders[0]] = True
        return kept


def _means(values: Values) -> Values:
    """Give the mean of each row's known values, 0 where it has none."""
    known = ~np.isnan(values)
    summed: Values = np.where(known, values, 0.0).sum(axis=1)
    means: Values = summed / np.maximum(known.sum(axis=1), 1)
    return means


class ArmElimination:
    """Evaluates batches of datapoints and drops combinations between them.

    Bounds:
        ``betting``: the best combination of the data set is dropped with
        probability ``delta`` at most. Datapoints come in random order.
        ``standard_error``: AgentOpt's rule, which drops sooner and guarantees nothing.
        Datapoints come in the order of the data set.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        bound: BoundName | None = None,
        n_initial: int | None = None,
        growth_factor: float | None = None,
        confidence: float = 1.0,
        delta: float = 0.05,
        score_range: tuple[float, float] = (0.0, 1.0),
        seed: int = 0,
    ) -> None:
        """Take what there is to evaluate, and how.

        Args:
            grid: What there is.
            bound: By what combinations are dropped; default: ``betting``, but
                ``standard_error`` where cost or latency count beside scores.
            n_initial: Datapoints of the first batch; default: a tenth of them, with
                ``betting`` a twentieth.
            growth_factor: How much larger each batch is than the one before; default: 2, with
                ``betting`` 1, since looking often costs it nothing.
            confidence: Standard errors that count, for ``standard_error``.
            delta: Share of runs that may drop the best, for ``betting``.
            score_range: Lowest and highest possible score, for ``betting``; between them is
                0, the score of failures.
            seed: Of the order of datapoints, for ``betting``.

        Raises:
            ValueError: A parameter is out of its range.
        """
        if bound is None:
            bound = "betting" if grid.is_score else "standard_error"
        is_betting = bound == "betting"
        if n_initial is None:
            n_initial = max(1, grid.datapoints // (20 if is_betting else 10))
        if growth_factor is None:
            growth_factor = 1.0 if is_betting else 2.0
        _check_batches(n_initial, growth_factor)
        _check_bound(grid, bound, confidence, delta, score_range)
        self._ends = _batch_ends(grid.datapoints, n_initial, growth_factor)
        self._bound: Bound
        if is_betting:
            self._bound = BettingBound(grid, delta, score_range)
            self._order = np.random.default_rng(seed).permutation(grid.datapoints)
        else:
            self._bound = StandardErrorBound(confidence)
            self._order = np.arange(grid.datapoints)

    def next_cells(self, seen: Observations) -> Cells | None:
        """Ask for the next batch of those that are left; done when one is, or all is seen."""
        reached = int(seen.evaluated.max())
        kept = self.finalists(seen)
        if reached == len(self._order) or (reached and len(kept) == 1):
            return None
        end = next(end for end in self._ends if end > reached)
        return cells_of(kept, self._order[reached:end])

    def finalists(self, seen: Observations) -> Combinations:
        """Those that are left: evaluated as often as any, and not dropped since."""
        reached = int(seen.evaluated.max())
        running = np.flatnonzero(seen.evaluated == reached)
        if reached == 0 or len(running) == 1:
            return running
        return running[self._bound.kept(seen.values[running][:, self._order[:reached]])]


def _batch_ends(datapoints: int, first: int, growth: float) -> Sequence[int]:
    sizes = accumulate(count(), lambda size, _: max(1, int(size * growth)), initial=first)
    ends = takewhile(lambda end: end < datapoints, accumulate(sizes))
    return [*ends, datapoints]


def _check_batches(n_initial: int, growth_factor: float) -> None:
    if n_initial < 1 or growth_factor < 1:
        raise ValueError("n_initial and growth_factor are at least 1")


def _check_bound(
    grid: Grid, bound: str, confidence: float, delta: float, score_range: tuple[float, float]
) -> None:
    if bound not in ("betting", "standard_error"):
        raise ValueError(f"bound is 'betting' or 'standard_error', not {bound!r}")
    if bound == "betting" and not grid.is_score:
        raise ValueError(
            "bound='betting' is for scores alone: with lambda_cost or lambda_latency take "
            "bound='standard_error'"
        )
    if confidence < 0 or not 0 < delta < 1:
        raise ValueError("confidence is at least 0, delta between 0 and 1")
    if not score_range[0] <= 0 <= score_range[1] or score_range[0] == score_range[1]:
        raise ValueError("score_range is (low, high), with 0, the score of failures, between")
