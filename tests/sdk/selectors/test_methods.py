"""Methods of one's own: an installed one is found by its name, a wrong one is stopped."""

import sys

import numpy as np
import pytest

from remora.selectors import Grid, Observations, registry
from remora.selectors.brute_force import BruteForce
from remora.selectors.runner import InvalidStep

NUMBERS = [(number, number) for number in range(8)]

FIRST_ONLY = """
import numpy as np

class FirstOnly:
    def __init__(self, grid, *, datapoints=1):
        self.wanted = np.array([(0, n) for n in range(datapoints)])

    def next_cells(self, seen):
        return None if seen.evaluated[0] else self.wanted

    def finalists(self, seen):
        return np.array([0])
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution with a method."""
    (tmp_path / "first_only.py").write_text(FIRST_ONLY)
    info = tmp_path / "first_only-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: first-only\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[remora.selectors]\nfirst_only = first_only:FirstOnly\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("first_only", None)


def test_an_installed_method_is_found_by_its_name(select, tracker, installed):
    results = select(
        lambda _, given: given, {"n": ["a", "b"]}, NUMBERS, method="first_only", datapoints=3
    ).select_best()

    assert [session.data_id for session in tracker.sessions] == [
        "n=a::dp_1",
        "n=a::dp_2",
        "n=a::dp_3",
    ]
    assert results.get_best_combo() == {"n": "a"}


class Asking:
    """Asks for the same cells again and again."""

    cells = ()

    def __init__(self, grid):  # noqa: D107
        pass

    def next_cells(self, seen):
        return np.array(self.cells, dtype=int).reshape(-1, 2)

    def finalists(self, seen):
        return np.array([0])


@pytest.mark.parametrize(
    "cells",
    [[], [(0, 0)], [(0, 0), (0, 0)], [(0, 8)], [(1, 0)], [(-1, 0)]],
    ids=["none", "again", "twice", "no datapoint", "no combination", "negative"],
)
def test_a_method_that_asks_for_cells_it_can_not_have_is_stopped(
    select, tracker, monkeypatch, cells
):
    method = type("Asking", (Asking,), {"cells": cells})
    monkeypatch.setitem(registry.BUILT_IN, "asking", method)

    with pytest.raises(InvalidStep, match="Asking asked for cells"):
        select(lambda _, given: given, {"n": ["a"]}, NUMBERS, method="asking").select_best()
    assert tracker.stopped == 1
    assert len(tracker.sessions) <= 1


@pytest.mark.parametrize("datapoints", [1, 7, 10, 25])
def test_brute_force_tries_all_combinations_about_equally(datapoints):
    cells = BruteForce(Grid(3, datapoints)).next_cells(Observations.none(3, datapoints))

    assert len({tuple(cell) for cell in cells}) == len(cells) == 3 * datapoints
    tried = np.zeros(3)
    for combination, _ in cells:
        tried[combination] += 1
        assert tried.max() - tried.min() <= -(-datapoints // 10)


def test_observations_grow_as_if_made_at_once():
    values = np.array([[1.0, np.nan, 0.5], [0.0, 1.0, 1.0]])
    cells = np.array([(0, 0), (0, 1), (1, 2)])
    grown = Observations.none(2, 3)
    grown.note(cells, values[cells[:, 0], cells[:, 1]])
    made = Observations(values, np.array([[True, True, False], [False, False, True]]))

    for name in Observations.__slots__:
        assert np.array_equal(getattr(grown, name), getattr(made, name), equal_nan=name == "values")
    assert list(grown.means) == [1.0, 1.0]
    assert list(grown.evaluated) == [2, 1]
