"""Runs a selector over a table of scores, without an agent or a model. Pure.

It shows what an algorithm would have found and spent on a benchmark that was evaluated whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remora.selectors.algorithm import Selector
from remora.selectors.observations import Observations, Values


@dataclass(frozen=True)
class ScoreTable:
    """A benchmark that was evaluated whole.

    Attributes:
        combinations: Their labels.
        scores: Combinations times datapoints; NaN where a cell is missing.
        costs_usd: Likewise; NaN where a cell is missing.
    """

    combinations: Sequence[str]
    scores: Values
    costs_usd: Values

    def shuffled(self, seed: int) -> "ScoreTable":
        """Give the same table with its datapoints in another order."""
        order = np.random.default_rng(seed).permutation(self.scores.shape[1])
        return ScoreTable(self.combinations, self.scores[:, order], self.costs_usd[:, order])

    def missing_counted_wrong(self) -> "ScoreTable":
        """Give the same table with the score 0 in missing cells."""
        return ScoreTable(self.combinations, np.nan_to_num(self.scores), self.costs_usd)


@dataclass(frozen=True)
class Replayed:
    """What a selector made of a table.

    Attributes:
        chosen: Number of the combination that it found best.
        seen: Which cells it evaluated.
    """

    chosen: int
    seen: NDArray[np.bool_]


def replay(selector: Selector, scores: Values) -> Replayed:
    """Run a selector over a table; a missing cell is evaluated and has no value."""
    seen = Observations.none(*scores.shape)
    while (cells := selector.next_cells(seen)) is not None:
        seen.note(cells, scores[cells[:, 0], cells[:, 1]])
    finalists = selector.finalists(seen)
    means = np.nan_to_num(seen.means[finalists], nan=-np.inf)
    return Replayed(int(finalists[np.argmax(means)]), seen.seen)
