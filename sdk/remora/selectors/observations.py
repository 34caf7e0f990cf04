"""What is known so far: one value for each cell that was evaluated. Pure.

A cell is a pair of a combination and a datapoint, both counted from 0.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Cells = NDArray[np.intp]
"""Cells as rows of (combination, datapoint)."""


class Observations:
    """The values of cells that were evaluated.

    A cell may be seen and have no value: tables of scores may lack some. Means are of those
    that have one.

    Attributes:
        values: Combinations times datapoints; NaN where there is no value.
        seen: Which cells were evaluated.
        evaluated: Cells that were evaluated, of each combination.
        counts: Those that have a value.
        sums: Of their values.
    """

    __slots__ = ("counts", "evaluated", "seen", "sums", "values")

    def __init__(self, values: Values, seen: NDArray[np.bool_]) -> None:
        """Take what was seen; values of cells that were not are disregarded."""
        self.seen = seen.copy()
        self.values: Values = np.where(seen, values, np.nan)
        known = ~np.isnan(self.values)
        self.evaluated = seen.sum(axis=1)
        self.counts = known.sum(axis=1)
        self.sums: Values = np.where(known, self.values, 0.0).sum(axis=1)

    @classmethod
    def none(cls, combinations: int, datapoints: int) -> "Observations":
        """Nothing was evaluated yet."""
        shape = (combinations, datapoints)
        return cls(np.full(shape, np.nan), np.zeros(shape, dtype=bool))

    def note(self, cells: Cells, values: Values) -> None:
        """Add cells.

        Args:
            cells: Not seen before, none twice.
            values: One each; NaN if a cell has none.
        """
        combinations, datapoints = cells[:, 0], cells[:, 1]
        self.seen[combinations, datapoints] = True
        self.values[combinations, datapoints] = values
        known = ~np.isnan(values)
        np.add.at(self.evaluated, combinations, 1)
        np.add.at(self.counts, combinations[known], 1)
        np.add.at(self.sums, combinations[known], values[known])

    @property
    def means(self) -> Values:
        """Mean value of each combination; NaN where it has none."""
        with np.errstate(invalid="ignore"):
            return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), np.nan)
