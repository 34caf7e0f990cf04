"""Which evaluations run at the same time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.selectors.evaluation import Cell
from remora.selectors.lanes import Lanes, split_slots


@pytest.mark.parametrize(
    ("max_concurrent", "batch", "split"),
    [
        (20, 5, (4, 5)),
        (20, 100, (1, 20)),
        (20, 1, (20, 1)),
        (10, 10, (1, 10)),
        (20, 7, (2, 7)),
        (1, 50, (1, 1)),
        (20, 0, (20, 1)),
    ],
)
def test_slots_are_split(max_concurrent, batch, split):
    assert split_slots(max_concurrent, batch) == split


@given(
    st.integers(1, 9), st.lists(st.integers(1, 7), max_size=6), st.randoms(use_true_random=False)
)
def test_every_cell_is_given_out_once_and_never_too_many(max_concurrent, sizes, chance):
    cells = [Cell(group, number) for group, size in enumerate(sizes) for number in range(size)]
    groups, each = split_slots(max_concurrent, max(sizes, default=1))
    lanes, out, given_out = Lanes(cells, max_concurrent), [], []
    while lanes.has_more or out:
        while (cell := lanes.next_cell()) is not None:
            out.append(cell)
            given_out.append(cell)
        assert 0 < len(out) <= max_concurrent
        assert len({cell.combination for cell in out}) <= groups
        assert max(sum(c.combination == cell.combination for c in out) for cell in out) <= each
        lanes.ended(out.pop(chance.randrange(len(out))))

    assert sorted(given_out) == cells
    assert lanes.next_cell() is None
