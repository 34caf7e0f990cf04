"""Who is dropped, when, and how sure that is."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remora.selectors import Grid, Observations, replay
from remora.selectors.arm_elimination import ArmElimination
from remora.selectors.evidence import fortunes


def table(*rows):
    return np.array(rows, dtype=float)


def seen_of(scores, datapoints):
    seen = np.zeros(scores.shape, dtype=bool)
    seen[:, datapoints] = True
    return Observations(scores, seen)


def test_two_equal_scores_are_no_proof():
    """They have no variance: a bound of standard errors alone takes them for certain."""
    scores = np.zeros((2, 20))
    scores[0, :2] = 1.0
    grid = Grid(*scores.shape)
    seen = seen_of(scores, [0, 1])

    published = ArmElimination(grid, bound="standard_error")
    assert list(published.finalists(seen)) == [0]

    sound = ArmElimination(grid, n_initial=2)
    drawn = seen_of(scores[:, np.argsort(sound._order)], sound._order[:2])
    assert list(sound.finalists(drawn)) == [0, 1]


def test_the_published_rule_by_hand():
    """Means .75 and .25, errors .25: the ends meet at .5, and meeting is not yet below."""
    scores = table([1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], [0] * 8)
    seen = seen_of(scores, [0, 1, 2, 3])

    def kept(confidence):
        selector = ArmElimination(
            Grid(*scores.shape), bound="standard_error", confidence=confidence
        )
        return list(selector.finalists(seen))

    assert kept(1.0) == [0, 1]
    assert kept(0.99) == [0]
    assert kept(3.1) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ({"bound": "standard_error"}, [2, 6, 14, 20]),
        ({"bound": "standard_error", "n_initial": 5, "growth_factor": 1.0}, [5, 10, 15, 20]),
        ({"n_initial": 3, "growth_factor": 1.5}, [3, 7, 13, 20]),
        ({}, list(range(1, 21))),
    ],
    ids=str,
)
def test_batches_grow(options, ends):
    scores = np.ones((2, 20))
    selector, seen, found = ArmElimination(Grid(2, 20), **options), Observations.none(2, 20), []
    while (cells := selector.next_cells(seen)) is not None:
        seen.note(cells, scores[cells[:, 0], cells[:, 1]])
        found.append(int(seen.evaluated.max()))

    assert found == ends


def test_the_published_rule_takes_the_data_set_in_its_order_the_sound_one_shuffles():
    def first(**options):
        cells = ArmElimination(Grid(1, 100), n_initial=100, **options).next_cells(
            Observations.none(1, 100)
        )
        return list(cells[:, 1])

    assert first(bound="standard_error") == list(range(100))
    assert first() == first(seed=0) != first(seed=1)
    assert sorted(first()) == list(range(100))


def test_one_that_is_left_ends_it():
    scores = table([1] * 50, [0] * 50)

    outcome = replay(ArmElimination(Grid(2, 50)), scores)

    assert outcome.chosen == 0
    assert outcome.seen.sum() < 50


@pytest.mark.parametrize("bound", ["betting", "standard_error"])
def test_a_combination_without_any_value_is_not_chosen(bound):
    scores = table([np.nan] * 40, [1, 0] * 20)

    assert replay(ArmElimination(Grid(2, 40), bound=bound), scores).chosen == 1


@pytest.mark.filterwarnings("default:A score is not between")
def test_scores_out_of_range_drop_nobody_and_that_is_said():
    scores = table([5.0] * 40, [0] * 40)

    with pytest.warns(UserWarning, match="say what scores may be with score_range"):
        assert replay(ArmElimination(Grid(2, 40)), scores).seen.all()
    assert not replay(ArmElimination(Grid(2, 40), score_range=(0, 5)), scores).seen.all()


def test_the_same_observations_have_the_same_answer():
    scores = np.random.default_rng(3).random((4, 30))
    selector = ArmElimination(Grid(4, 30), seed=5)
    seen = Observations.none(4, 30)
    while (cells := selector.next_cells(seen)) is not None:
        assert np.array_equal(cells, selector.next_cells(seen))
        assert np.array_equal(cells, ArmElimination(Grid(4, 30), seed=5).next_cells(seen))
        seen.note(cells, scores[cells[:, 0], cells[:, 1]])


advantages = st.lists(st.sampled_from([-1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0]), max_size=6)


@given(advantages)
def test_nobody_gains_by_betting_on_what_is_no_advantage(population):
    """Over all orders of drawing, exactly: the fortune is on average 1 at most, at every step."""
    assume(population and sum(population) <= 1e-12)
    orders = np.array(list(itertools.permutations(population)))

    after = fortunes(orders, len(population)).mean(axis=0)

    assert after.max() <= 1 + 1e-9
    assert after.min() > 0


def test_an_advantage_makes_rich():
    drawn = np.tile([1.0, 0.0, 1.0, -1.0, 1.0], 12)

    assert fortunes(drawn, 200)[-1] > 1000
    assert fortunes(-drawn, 200)[-1] < 1


def test_what_can_not_be_otherwise_is_certain():
    """All are drawn but two, and the lead is three: no doubt is left."""
    assert fortunes(np.array([1.0, 1.0, 1.0, 0.0]), 5)[-1] > 1e6


def test_a_missing_value_moves_nothing():
    drawn = np.array([1.0, np.nan, 1.0])

    after = fortunes(drawn, 10)

    assert after[1] == after[0]


def share_lost(scores, **options):
    """In what share of 200 orders of the datapoints the first, the best, is not chosen."""
    chance = np.random.default_rng(0)
    lost = 0
    for seed in range(200):
        seeded = {} if options.get("bound") == "standard_error" else {"seed": seed}
        selector = ArmElimination(Grid(*scores.shape), **options, **seeded)
        lost += replay(selector, scores[:, chance.permutation(scores.shape[1])]).chosen != 0
    return lost / 200


def test_the_best_is_lost_as_seldom_as_promised():
    """Twelve are nearly as good: the best is right for 36 of 60 datapoints, they for 33."""
    chance = np.random.default_rng(1)
    right = np.arange(60) < np.array([36, *[33] * 12])[:, np.newaxis]
    scores = chance.permuted(right, axis=1).astype(float)

    assert share_lost(scores, delta=0.2) <= 0.2
    assert share_lost(scores) <= 0.05
    assert share_lost(scores, bound="standard_error") > 0.2
