"""Which evaluations run at the same time. Pure.

Slots go to datapoints of one combination first, since it is better to be done with few combinations
than to have begun many.
"""

from collections.abc import Sequence
from itertools import groupby

from remora.selectors.evaluation import Cell


def split_slots(max_concurrent: int, batch_size: int) -> tuple[int, int]:
    """Split slots into (combinations at once, datapoints at once of each)."""
    datapoints = max(1, min(max_concurrent, batch_size))
    return max(1, max_concurrent // datapoints), datapoints


class Lanes:
    """Gives out cells: so many groups at once, so many of each at once.

    A group is a run of cells of the same combination.
    """

    def __init__(self, cells: Sequence[Cell], max_concurrent: int) -> None:
        """Take the cells in order; the largest group says how slots are split."""
        runs = (list(run) for _, run in groupby(cells, key=lambda cell: cell.combination))
        self._waiting = [run[::-1] for run in runs][::-1]
        largest = max((len(group) for group in self._waiting), default=1)
        self._groups_at_once, self._at_once = split_slots(max_concurrent, largest)
        self._open: list[_Lane] = []
        self._lane_of: dict[Cell, _Lane] = {}

    @property
    def has_more(self) -> bool:
        """Whether any cell was not given out yet."""
        return bool(self._waiting) or any(lane.waiting for lane in self._open)

    def next_cell(self) -> Cell | None:
        """Give out a cell; None if all slots are taken, or nothing waits."""
        for lane in self._open:
            if lane.waiting and lane.out < self._at_once:
                return self._give_out(lane)
        if not self._waiting or len(self._open) == self._groups_at_once:
            return None
        self._open.append(_Lane(self._waiting.pop()))
        return self._give_out(self._open[-1])

    def _give_out(self, lane: "_Lane") -> Cell:
        cell = lane.waiting.pop()
        lane.out += 1
        self._lane_of[cell] = lane
        return cell

    def ended(self, cell: Cell) -> None:
        """Take back the slot of a cell."""
        lane = self._lane_of.pop(cell)
        lane.out -= 1
        if not lane.waiting and not lane.out:
            self._open.remove(lane)


class _Lane:
    """A group that was begun: its cells in reverse, and how many are out."""

    def __init__(self, waiting: list[Cell]) -> None:
        self.waiting = waiting
        self.out = 0
