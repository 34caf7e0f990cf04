"""The objective: scores, less cost and latency as the user weighs them. Pure.

Cost and latency are scaled to [0, 1] by the least and most that were seen. What failed, and what
has no known cost, counts as the most: neither ever gains by it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remora.selectors.observations import Values


@dataclass(frozen=True, slots=True)
class Weights:
    """How much a scaled cost and latency count against a score of 1."""

    cost: float = 0.0
    latency: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would make cost a gain."""
        if not (0 <= self.cost < float("inf") and 0 <= self.latency < float("inf")):
            raise ValueError("lambda_cost and lambda_latency are at least 0")

    @property
    def any(self) -> bool:
        """Whether anything but scores counts."""
        return bool(self.cost or self.latency)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Evaluations as tables of combinations times datapoints.

    Attributes:
        seen: Which cells were evaluated; nothing else is known of others.
        failed: Which of them failed.
        scores: 0 where they did.
        costs: In USD; NaN where unknown.
        latencies: In seconds.
    """

    seen: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    scores: Values
    costs: Values
    latencies: Values

    def objectives(self, weights: Weights) -> Values:
        """Weigh every cell; NaN in those not seen."""
        values = self.scores.copy()
        good = self.seen & ~self.failed
        for weight, spent in ((weights.cost, self.costs), (weights.latency, self.latencies)):
            if weight:
                values = values - weight * _scaled(spent, good & ~np.isnan(spent))
        return np.where(self.seen, values, np.nan)


def _scaled(spent: Values, counting: NDArray[np.bool_]) -> Values:
    """Scale to [0, 1] by the cells that count; the others have 1."""
    scaled = np.ones_like(spent)
    if counting.any():
        least, most = spent[counting].min(), spent[counting].max()
        scaled[counting] = (spent[counting] - least) / ((most - least) or 1.0)
    return scaled
