"""Chances that are worked out, against draws that are counted."""

import random

import numpy as np
import pytest
from bench.learning import twin
from hypothesis import given
from hypothesis import strategies as st

from remora.learning.beta import Beta
from remora.learning.chances import best_chances

parameters = st.floats(0.2, 1_000_000)
beliefs = st.lists(st.builds(Beta, parameters, parameters), min_size=1, max_size=6)

CASES = {
    "little known": [Beta(2, 2), Beta(4, 2), Beta(2, 4)],
    "one well known": [Beta(800, 200), Beta(5, 2), Beta(3, 3)],
    "close": [Beta(160, 40), Beta(155, 45), Beta(150, 50), Beta(158, 42)],
    "nearly always good": [Beta(99, 1.5), Beta(40, 1), Beta(500, 9)],
    "firm and far apart": [Beta(9_000, 1_000), Beta(1_000, 9_000)],
    "twenty": [Beta(20 + number, 20) for number in range(20)],
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_chances_are_as_drawing_finds_them(case):
    chance = np.random.default_rng(7)
    draws = chance.beta([b.good for b in case], [b.bad for b in case], size=(100_000, len(case)))
    counted = np.bincount(draws.argmax(1), minlength=len(case)) / len(draws)
    assert np.abs(np.array(best_chances(case)) - counted).sum() / 2 < 0.012


@given(beliefs)
def test_chances_are_chances(many):
    chances = best_chances(many)
    assert sum(chances) == pytest.approx(1)
    assert all(0 <= chance <= 1 for chance in chances)


@given(beliefs, st.randoms(use_true_random=False))
def test_the_order_of_arms_does_not_matter(many, chance: random.Random):
    order = chance.sample(range(len(many)), len(many))
    shuffled = best_chances([many[index] for index in order])
    whole = best_chances(many)
    assert shuffled == pytest.approx([whole[index] for index in order], abs=1e-9)


def test_equal_arms_are_equally_likely():
    assert best_chances([Beta(3, 2)] * 4) == pytest.approx([0.25] * 4)


@given(beliefs)
def test_the_twin_of_simulations_comes_to_the_same(many):
    good, bad = (np.array([[belief[side] for belief in many]]) for side in (0, 1))
    assert twin.best_chances(good, bad)[0] == pytest.approx(best_chances(many), abs=1e-4)
