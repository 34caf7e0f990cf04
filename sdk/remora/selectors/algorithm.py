"""The seam between algorithms and what runs them. Pure: a selector evaluates nothing.

A selector is asked which cells to evaluate next, is given all that was seen when those are done,
and is asked again until it wants no more. It keeps nothing that happened: the same observations
have the same answer, so that runs can be replayed and go on after a crash.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from remora.selectors.observations import Cells, Observations

Combinations = NDArray[np.intp]
"""Numbers of combinations, counted from 0."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What there is to evaluate.

    Attributes:
        combinations: How many.
        datapoints: How many each can be evaluated on.
        at_once: How many cells can be evaluated at the same time.
        is_score: Values are scores; else cost or latency are weighed in them.
    """

    combinations: int
    datapoints: int
    at_once: int = 1
    is_score: bool = True

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.combinations * self.datapoints


class Selector(Protocol):
    """Decides which cells are evaluated."""

    def next_cells(self, seen: Observations) -> Cells | None:
        """Say which cells to evaluate now: none seen, none twice; None when done.

        The order counts where not all can be evaluated at once.
        """
        ...

    def finalists(self, seen: Observations) -> Combinations:
        """Say among which combinations the best is chosen, now that cells are seen."""
        ...


def cells_of(combinations: Combinations, datapoints: NDArray[np.intp]) -> Cells:
    """Pair every combination with every datapoint, combination by combination."""
    return np.stack(
        [np.repeat(combinations, len(datapoints)), np.tile(datapoints, len(combinations))], axis=1
    )
