"""Learned routing at work, under virtual time; `python -m bench.learning` does much more of it."""

import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.learning.contests import SHIPPED, STEADY, table_worlds
from bench.learning.simulation import calls_until_avoided, explore_then_commit, simulate
from bench.learning.twin import Sums, propensities, standing
from bench.learning.worlds import World, stationary
from bench.score_tables import find_scores

from remora.learning import Arm, Chooser, GoalScores, Series, score
from remora.learning.counts import counts_of
from remora.learning.settings import LearningSettings

COSTS = (0.3, 0.1, 0.9, 0.5)
SETTINGS = {
    "as shipped": SHIPPED,
    "nothing against drift": STEADY,
    "fading": replace(SHIPPED, half_life_ms=200_000),
}


def evidence(seed: int, calls: int) -> list[tuple[int, int, float]]:
    """Give when each call was, its arm and how good it was; the first arm falls halfway."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    told = []
    for number in range(calls):
        arm = chance.choice([0, 0, 0, 1, 2, 3])
        share = (0.85 if number < calls / 2 else 0.3, 0.8, 0.82, 0.4)[arm]
        told.append((number * 1_000, arm, float(chance.random() < share)))
    return told


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("calls", [0, 9, 120, 700])
def test_the_twin_of_simulations_decides_as_what_is_shipped(settings, calls):
    now_ms = calls * 1_000
    sums = Sums.empty(4, 4)
    choosers, told = [], [evidence(seed, calls) for seed in range(4)]
    for seed in range(4):
        series = [Series() for _ in COSTS]
        for at_ms, arm, good in told[seed]:
            series[arm].add(at_ms, counts_of(good, 1.0))
        choosers.append(shipped(series, settings, now_ms))
    for number in range(calls + 1):
        sums.open(number * 1_000)
        for seed in range(4):
            for at_ms, arm, good in told[seed][number : number + 1]:
                sums.add(*map(np.array, ([at_ms], [seed], [arm], [good], [1.0])))
        sums.pack(number * 1_000)
    stands = standing(sums, settings, now_ms)
    shares, greedy = propensities(stands, np.array(COSTS), settings)
    for seed, chooser in enumerate(choosers):
        table = chooser.table((0, 1, 2, 3))
        assert shares[seed] == pytest.approx(table.propensities, abs=2e-4)
        assert greedy[seed] == table.greedy


def shipped(series: list[Series], settings: LearningSettings, now_ms: int) -> Chooser:
    scores = [
        replace(score(Arm("p", f"m{n}"), each, settings, now_ms), cost_usd=COSTS[n])
        for n, each in enumerate(series)
    ]
    return Chooser(GoalScores("g", tuple(scores), settings))


def test_what_is_shipped_learns_which_arm_is_best():
    """The same, slowly: every decision by the shipped code, with seeds of its own."""
    chance = random.Random(5)  # noqa: S311 - no secret
    quality, series = (0.5, 0.9, 0.6), [Series() for _ in range(3)]
    taken = []
    for call in range(400):
        scores = [score(Arm("p", str(n)), s, SHIPPED, call * 1_000) for n, s in enumerate(series)]
        decision = Chooser(GoalScores("g", tuple(scores), SHIPPED)).choose(chance)
        good = float(chance.random() < quality[decision.arm])
        series[decision.arm].add(call * 1_000, counts_of(good, 1.0))
        taken.append(decision.arm)
    assert taken[-100:].count(1) >= 90


def ratio(world: World, settings: LearningSettings, seeds: int = 50) -> float:
    """Give the regret as a share of that of exploring, then committing in the better way."""
    commits = [explore_then_commit(world, 4_000, by_objective=by).mean() for by in (True, False)]
    return simulate(world, settings, seeds).regrets.mean() / min(commits)


@pytest.mark.parametrize(
    ("world", "settings", "bar"),
    [
        (stationary(3, 0.1), STEADY, 0.75),
        (stationary(5, 0.2), STEADY, 0.75),
        (stationary(5, 0.1), SHIPPED, 1.5),
        (stationary(3, 0.02), SHIPPED, 1.5),
    ],
    ids=["3 arms, 10 %", "5 arms, 20 %", "handling drift", "all in the band"],
)
def test_regret_is_below_that_of_exploring_and_committing(world, settings, bar):
    assert ratio(world, settings) <= bar


@pytest.mark.parametrize(("missing", "bar"), [(0.0, 200), (0.5, 300)])
def test_an_arm_that_fell_by_thirty_points_is_left_soon(missing, bar):
    world = replace(stationary(3, 0.2, calls=1_100), falls_at=500, missing=missing)
    assert np.median(calls_until_avoided(simulate(world, SHIPPED, 60))) <= bar


def test_without_change_detection_it_is_left_late():
    world = replace(stationary(3, 0.2, calls=1_100), falls_at=500)
    assert np.median(calls_until_avoided(simulate(world, STEADY, 40))) > 300


def test_late_and_missing_signals_slow_learning_and_do_not_stop_it():
    world = stationary(3, 0.2)
    late = simulate(replace(world, missing=0.5, delay_calls=50), SHIPPED, 40)
    assert (late.picks[-200:] == world.best).mean() > 0.8
    assert (late.picks[:50] == world.best).mean() < 0.6


def test_one_reporter_who_rejects_the_best_does_not_move_everybody():
    world = replace(stationary(3, 0.3), flooding=0.3)
    limited = simulate(world, SHIPPED, 40)
    unlimited = simulate(world, SHIPPED, 40, limit=False)
    assert (limited.picks[-200:] == world.best).mean() > 0.9
    assert (unlimited.picks[-200:] == world.best).mean() < 0.5


def test_a_cheaper_arm_outside_of_the_band_is_not_taken_for_being_cheap():
    world = stationary(3, 0.2, calls=2_000)
    run = simulate(world, SHIPPED, 30)
    assert (run.greedy[-500:] == world.best).all()
    assert (run.picks[-500:] == world.best).mean() > 0.99


def test_published_score_tables_replayed_as_traffic():
    folder = find_scores(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[3])
    if folder is None:
        pytest.skip("no score tables: set REMORA_CORPUS to the folder with scores/")
    for world in list(table_worlds(folder))[:2]:
        quality = np.array(world.quality)
        picks = simulate(replace(world, calls=900), SHIPPED, 6).picks
        assert quality[picks[-200:]].mean() > quality.mean() + 0.6 * (
            quality.max() - quality.mean()
        )


def test_regret_puts_every_arm_outside_of_the_band_after_those_within():
    world = World("w", (0.8, 0.79, 0.77, 0.75), (1.0, 0.5, 0.2, 0.01))
    assert world.regrets() == pytest.approx([0.04, 0.015, 0.0, 0.05], abs=1e-9)
