"""Matrix UCB: always some datapoints of the combination that may be best. Pure."""

import math

import numpy as np

from remora.selectors.algorithm import Combinations, Grid
from remora.selectors.observations import Cells, Observations


class MatrixUCB:
    """Evaluates, of the combination with the highest mean + sqrt(a / n), datapoints at random."""

    def __init__(
        self,
        grid: Grid,
        *,
        a: float = 1.0,
        sample_fraction: float | None = None,
        observation_budget_fraction: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Take what there is to evaluate, and how.

        Args:
            grid: What there is; so many cells as fit at once are asked for together.
            a: How much trying counts against what is known to be good.
            sample_fraction: Share of all cells to evaluate; the same as
                ``observation_budget_fraction``, and goes before it.
            observation_budget_fraction: By default all.
            seed: Of the order of datapoints.

        Raises:
            ValueError: A parameter is out of its range.
        """
        share = observation_budget_fraction if sample_fraction is None else sample_fraction
        if share <= 0 or a < 0:
            raise ValueError("sample_fraction is more than 0, a at least 0")
        self._a = a
        self._at_once = grid.at_once
        self._wanted = min(grid.cells, math.ceil(share * grid.cells))
        shape = (grid.combinations, grid.datapoints)
        self._orders = np.random.default_rng(seed).random(shape).argsort(axis=1)

    def next_cells(self, seen: Observations) -> Cells | None:
        """Ask for more of the combination that may be best, until the share is evaluated."""
        left = self._wanted - int(seen.evaluated.sum())
        if left <= 0:
            return None
        best = int(np.argmax(self._bounds(seen)))
        begun = int(seen.evaluated[best])
        datapoints = self._orders[best, begun : begun + min(self._at_once, left)]
        return np.stack([np.full(len(datapoints), best), datapoints], axis=1)

    def _bounds(self, seen: Observations) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Give the highest that each may be: unknown is infinite, all evaluated never again."""
        number = np.maximum(seen.counts, 1)
        bounds = np.where(seen.counts > 0, seen.sums / number + np.sqrt(self._a / number), np.inf)
        bounds[seen.evaluated == self._orders.shape[1]] = -np.inf
        return bounds

    def finalists(self, seen: Observations) -> Combinations:
        """All that were tried."""
        return np.flatnonzero(seen.evaluated > 0)
