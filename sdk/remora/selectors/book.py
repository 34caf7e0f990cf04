"""All evaluations of a run, and what of them the selector may see.

A selector sees steps that are whole. So a run that goes on after a crash takes the same decisions
as one that was never interrupted, whatever evaluations of a step had ended by then.
"""

from collections.abc import Iterable
from decimal import Decimal

import numpy as np

from remora.selectors.evaluation import Cell, Evaluation
from remora.selectors.objective import Outcomes, Weights
from remora.selectors.observations import Cells, Observations
from remora.selectors.pricing import total


class Book:
    """Keeps evaluations by cell.

    Attributes:
        weights: What counts beside scores.
        paid_usd: What they cost so far, as far as it is known.
        unknown: Why it is not known whole; empty if it is.
    """

    def __init__(self, combinations: int, datapoints: int, weights: Weights) -> None:
        """Begin with no evaluation."""
        shape = (combinations, datapoints)
        self.weights = weights
        self.paid_usd = Decimal(0)
        self.unknown: set[str] = set()
        self._evaluations: dict[Cell, Evaluation] = {}
        self._seen = Observations.none(*shape)
        self._all = Outcomes(
            np.zeros(shape, dtype=bool),
            np.zeros(shape, dtype=bool),
            np.zeros(shape),
            np.full(shape, np.nan),
            np.zeros(shape),
        )

    def __contains__(self, cell: Cell) -> bool:
        """Tell whether a cell was evaluated."""
        return cell in self._evaluations

    def __len__(self) -> int:
        """So many cells were evaluated."""
        return len(self._evaluations)

    def add(self, evaluation: Evaluation) -> None:
        """Note an evaluation; the same one twice counts once."""
        if evaluation.cell in self._evaluations:
            return
        self._evaluations[evaluation.cell] = evaluation
        bill = evaluation.bill
        if bill.paid_usd is None:
            self.unknown.update(bill.unknown)
        self.paid_usd += bill.paid_usd or 0
        self._all.seen[evaluation.cell] = True
        self._all.failed[evaluation.cell] = evaluation.has_failed
        self._all.scores[evaluation.cell] = evaluation.score
        self._all.costs[evaluation.cell] = np.nan if bill.cost_usd is None else bill.cost_usd
        self._all.latencies[evaluation.cell] = evaluation.latency_seconds

    def reveal(self, cells: Cells) -> None:
        """Let the selector see cells of a step that is whole."""
        self._seen.note(cells, self._all.scores[cells[:, 0], cells[:, 1]])

    @property
    def observations(self) -> Observations:
        """What the selector sees; with weights all is weighed anew, as more is known."""
        if not self.weights.any:
            return self._seen
        seen = self._seen.seen
        outcomes = Outcomes(
            seen, self._all.failed, self._all.scores, self._all.costs, self._all.latencies
        )
        return Observations(outcomes.objectives(self.weights), seen)

    @property
    def outcomes(self) -> Outcomes:
        """Everything that was evaluated."""
        return self._all

    def of_combination(self, combination: int) -> list[Evaluation]:
        """Give a combination's evaluations in the order of the data set."""
        datapoints = np.flatnonzero(self._all.seen[combination])
        return [self._evaluations[Cell(combination, int(number))] for number in datapoints]

    @property
    def selection_cost_usd(self) -> Decimal | None:
        """What all evaluations cost; None if that is not known whole."""
        return total(list(self._paid()))

    def _paid(self) -> Iterable[Decimal | None]:
        return (evaluation.bill.paid_usd for evaluation in self._evaluations.values())
