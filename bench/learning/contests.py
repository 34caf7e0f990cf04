"""The tables of docs/learned-routing.md: each a function that runs its simulations."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.learning.figures import mean_told, median_told, met, ratio
from bench.learning.simulation import (
    Run,
    calls_until_avoided,
    explore_then_commit,
    simulate,
)
from bench.learning.worlds import World, stationary
from bench.score_tables import load_benchmarks
from remora.learning.settings import LearningSettings

STEADY = LearningSettings(exploration_rate=0, false_alarm=0)
"""Without anything against drift."""

SHIPPED = LearningSettings(exploration_rate=0)
"""As by default, but for forced exploration, which bars leave out."""

BASELINE_SEEDS = 20_000
ARMS, GAPS = (3, 5, 8), (0.02, 0.05, 0.1, 0.2)
type Rows = list[list[str]]


def stationary_rows(seeds: int, pool: Executor, *, best_is_dear: bool = True) -> Rows:
    """Compare regrets with those of explore-then-commit."""
    worlds = [stationary(arms, gap, best_is_dear=best_is_dear) for arms in ARMS for gap in GAPS]
    steady = pool.map(partial(simulate, settings=STEADY, seeds=seeds), worlds)
    shipped = pool.map(partial(simulate, settings=SHIPPED, seeds=seeds), worlds)
    return [_stationary_row(*runs) for runs in zip(steady, shipped, strict=True)]


def _stationary_row(steady: Run, shipped: Run) -> list[str]:
    world = steady.world
    commits = {
        by: explore_then_commit(world, BASELINE_SEEDS, by_objective=by) for by in (True, False)
    }
    # The bars are about the better of the two ways to commit: whichever is harder to beat.
    harder = min(commits.values(), key=lambda regrets: regrets.mean())
    gap = max(world.quality) - min(world.quality)
    bar = 0.75 if len(world.quality) <= 5 and gap > 0.1 - 1e-9 else 1.05
    plain, handled = ratio(steady.regrets, harder), ratio(shipped.regrets, harder)
    return [
        world.title,
        *[f"{regrets.mean():.1f}" for regrets in commits.values()],
        mean_told(steady.regrets),
        str(plain),
        f"{bar} {met(plain.value <= bar)}",
        str(handled),
        f"1.5 {met(handled.value <= 1.5)}",
    ]


def drift_rows(seeds: int, pool: Executor) -> Rows:
    """Count how long a fallen arm is still taken."""
    worlds = [
        replace(stationary(arms, gap), falls_at=500, missing=missing, calls=1_100)
        for arms in ARMS
        for gap in (0.1, 0.2)
        for missing in (0.0, 0.5)
    ]
    runs = pool.map(partial(simulate, settings=SHIPPED, seeds=seeds), worlds)
    return [_drift_row(run) for run in runs]


def _drift_row(run: Run) -> list[str]:
    waits = calls_until_avoided(run)
    bar = 300 if run.world.missing else 200
    median = float(np.sort(waits)[len(waits) // 2])
    late = f"{np.isinf(waits).mean():.1%}"
    return [
        run.world.title,
        f"{run.world.missing:.0%}",
        median_told(waits),
        f"{np.sort(waits)[int(0.9 * len(waits))]:.0f}",
        late,
        f"{bar} {met(median <= bar)}",
    ]


DESIGNS = {
    "nothing against drift": STEADY,
    "half-life of 100 s": replace(STEADY, half_life_ms=100_000),
    "half-life of 300 s": replace(STEADY, half_life_ms=300_000),
    "half-life of 1000 s": replace(STEADY, half_life_ms=1_000_000),
    "change detection, false alarms 0.5": replace(STEADY, false_alarm=0.5),
    "change detection, false alarms 0.05 (shipped)": SHIPPED,
    "change detection, false alarms 0.001": replace(STEADY, false_alarm=0.001),
    "shipped, and a half-life of 1000 s": replace(SHIPPED, half_life_ms=1_000_000),
    "shipped, draws not sharpened": replace(SHIPPED, sharpness=1.0),
    "shipped, ties by means alone": replace(SHIPPED, tie_deviations=0.0),
    "shipped, ties surer": replace(SHIPPED, tie_deviations=1.0),
    "shipped, newcomers no floor": replace(SHIPPED, newcomer_chance=0.0),
}
"""What was weighed against each other. Calls come once a second."""


def design_rows(seeds: int, pool: Executor) -> Rows:
    """Compare designs: regret where nothing changes, and how long after a fall."""
    calm = [stationary(5, 0.1), stationary(5, 0.02)]
    fall = replace(stationary(5, 0.2), falls_at=500, calls=1_100)
    jobs = [(world, settings) for settings in DESIGNS.values() for world in (*calm, fall)]
    runs = list(pool.map(_run, jobs, [seeds] * len(jobs)))
    baselines = [explore_then_commit(world, BASELINE_SEEDS) for world in calm]
    rows = []
    for number, title in enumerate(DESIGNS):
        first, second, fallen = runs[3 * number : 3 * number + 3]
        ratios = [ratio(r.regrets, b) for r, b in zip((first, second), baselines, strict=True)]
        rows.append([title, *map(str, ratios), median_told(calls_until_avoided(fallen))])
    return rows


def _run(job: tuple[World, LearningSettings], seeds: int) -> Run:
    world, settings = job
    return simulate(world, settings, seeds)


def hardship_rows(seeds: int, pool: Executor) -> Rows:
    """Show a cold start, late and missing signals, and a reporter who floods."""
    world = stationary(5, 0.2)
    worlds = {
        "all signals, at once": world,
        "half of the signals missing": replace(world, missing=0.5),
        "signals 50 calls late, on average": replace(world, delay_calls=50),
        "half missing, the others 50 calls late": replace(world, missing=0.5, delay_calls=50),
        "30 % from one who rejects the best": replace(world, flooding=0.3),
    }
    jobs = [(world, SHIPPED, True) for world in worlds.values()]
    titles = [*worlds, "the same, reporters not limited"]
    jobs.append((replace(world, flooding=0.3), SHIPPED, False))
    runs = pool.map(_hardship, jobs, [seeds] * len(jobs))
    baseline = explore_then_commit(world, BASELINE_SEEDS)
    return [_hardship_row(*both, baseline) for both in zip(titles, runs, strict=True)]


def _hardship(job: tuple[World, LearningSettings, bool], seeds: int) -> Run:
    world, settings, limit = job
    return simulate(world, settings, seeds, limit=limit)


def _hardship_row(title: str, run: Run, baseline: np.ndarray) -> list[str]:
    picked = run.picks == run.world.best
    shares = [
        f"{picked[part].mean():.0%}" for part in (slice(50), slice(50, 200), slice(800, 1000))
    ]
    return [title, *shares, mean_told(run.regrets), str(ratio(run.regrets, baseline))]


def steady_rows(seeds: int, pool: Executor) -> Rows:
    """Look for cheaper arms outside of the band after ten thousand calls."""
    worlds = [stationary(3, gap, calls=12_000) for gap in (0.1, 0.2)]
    runs = pool.map(partial(simulate, settings=SHIPPED, seeds=seeds), worlds)
    rows = []
    for run in runs:
        late = slice(10_000, None)
        worse = run.picks[late] != run.world.best
        wrong = (run.greedy[late] != run.world.best).mean()
        rows.append(
            [run.world.title, f"{wrong:.3%}", f"{worse.mean():.3%}", f"0 {met(wrong == 0)}"]
        )
    return rows


def table_rows(seeds: int, pool: Executor, folder: Path) -> Rows:
    """Replay score tables as traffic."""
    worlds = list(table_worlds(folder))
    runs = pool.map(partial(simulate, settings=SHIPPED, seeds=seeds), worlds)
    return [_table_row(run) for run in runs]


def _table_row(run: Run) -> list[str]:
    world, quality = run.world, np.array(run.world.quality)
    late = quality[run.picks[-200:]].mean(0)
    cost = np.array(world.costs)[run.picks[-200:]].mean()
    baseline = explore_then_commit(world, BASELINE_SEEDS)
    target = int(world.regrets().argmin())
    return [
        world.title,
        f"{quality.max():.1%}",
        f"{quality.mean():.1%}",
        f"{quality[run.picks].mean():.1%}",
        f"{late.mean():.1%}",
        f"{cost / world.costs[world.best]:.2f}",
        f"{world.costs[target] / world.costs[world.best]:.2f}",
        str(ratio(run.regrets, baseline)),
    ]


MOST_ARMS = 20


def table_worlds(folder: Path) -> Iterable[World]:
    """Make a world of each table: of many combinations twenty, from the worst to the best."""
    for benchmark in load_benchmarks(folder):
        scores = np.nan_to_num(benchmark.table.scores)  # what the source lacks counts as wrong
        costs = np.nanmean(benchmark.table.costs_usd, axis=1)
        order = scores.mean(1).argsort()
        places = np.linspace(0, len(order) - 1, min(MOST_ARMS, len(order))).round().astype(int)
        chosen = order[places]
        title = f"{benchmark.title}, {len(chosen)} of {len(order)}"
        means = tuple(scores[chosen].mean(1).tolist())
        yield World(title, means, tuple(costs[chosen].tolist()), calls=2_000, scores=scores[chosen])


def as_table(headings: str, rows: Sequence[Sequence[str]]) -> str:
    """Write a table; columns but the first are numbers."""
    cells = headings.split("|")
    lines = [cells, ["---", *["--:"] * (len(cells) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
