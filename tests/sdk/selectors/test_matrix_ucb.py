"""Which combination is tried next."""

import numpy as np
import pytest

from remora.selectors import Grid, Observations, replay
from remora.selectors.matrix_ucb import MatrixUCB


def observed(rows, datapoints=10):
    """Observations of the first datapoints of each combination's own order."""
    selector = MatrixUCB(Grid(len(rows), datapoints))
    seen = Observations.none(len(rows), datapoints)
    for number, row in enumerate(rows):
        cells = np.array([[number, selector._orders[number, k]] for k in range(len(row))], int)
        seen.note(cells.reshape(-1, 2), np.array(row, dtype=float))
    return selector, seen


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([[1.0], [], [1.0]], 1),
        ([[1.0], [0.9], [0.0]], 0),
        ([[0.6] * 8, [0.2]], 1),
        ([[1.0] * 10, [0.0] * 3], 1),
        ([[0.0] * 3, [0.0]], 1),
        ([[np.nan] * 3, [1.0]], 0),
    ],
    ids=[
        "who was never tried",
        "the better mean",
        "who was tried less",
        "not who is done",
        "failures count as tries",
        "missing values don't",
    ],
)
def test_who_may_be_best_is_tried(rows, chosen):
    selector, seen = observed(rows)

    assert selector.next_cells(seen)[0, 0] == chosen


@pytest.mark.parametrize(("share", "cells"), [(0.1, 4), (0.25, 10), (1.0, 40), (5, 40)])
def test_a_share_of_the_cells_is_evaluated(share, cells):
    scores = np.random.default_rng(0).random((4, 10))

    assert replay(MatrixUCB(Grid(4, 10), sample_fraction=share), scores).seen.sum() == cells


def test_as_many_as_fit_at_once_are_asked_for():
    selector = MatrixUCB(Grid(3, 10, at_once=4), sample_fraction=0.2)
    seen, sizes = Observations.none(3, 10), []
    while (cells := selector.next_cells(seen)) is not None:
        assert len({combination for combination, _ in cells}) == 1
        seen.note(cells, np.zeros(len(cells)))
        sizes.append(len(cells))

    assert sizes == [4, 2]
