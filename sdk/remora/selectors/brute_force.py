"""Brute force: every combination on every datapoint. Pure."""

import math

import numpy as np

from remora.selectors.algorithm import Combinations, Grid, cells_of
from remora.selectors.observations import Cells, Observations

_BLOCKS = 10


class BruteForce:
    """Evaluates all cells.

    They come in blocks of a tenth of the datapoints, each for all combinations, so that a run
    which ends early has tried all combinations about equally.
    """

    def __init__(self, grid: Grid) -> None:
        """Take what there is to evaluate."""
        self._grid = grid

    def next_cells(self, seen: Observations) -> Cells | None:
        """Ask for all that is left."""
        if seen.seen.all():
            return None
        everyone = np.arange(self._grid.combinations)
        size = math.ceil(self._grid.datapoints / _BLOCKS)
        blocks = [
            cells_of(everyone, np.arange(start, min(start + size, self._grid.datapoints)))
            for start in range(0, self._grid.datapoints, size)
        ]
        cells = np.concatenate(blocks)
        return cells[~seen.seen[cells[:, 0], cells[:, 1]]]

    def finalists(self, seen: Observations) -> Combinations:
        """All of them."""
        return np.arange(len(seen.counts))
