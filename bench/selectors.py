"""`python -m bench.selectors`: what selectors find and save on published score tables.

Nothing is asked of a model: each selector is replayed over tables that hold a score for every
combination and datapoint, once for each of many orders of the datapoints.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np

from bench.machine import CHECKOUT, today
from bench.report import between_markers
from bench.score_tables import Benchmark, find_scores, load_benchmarks
from remora.selectors import Grid, ScoreTable, Selector, replay
from remora.selectors.registry import make_selector

PAGE = CHECKOUT / "docs" / "selectors.md"
_TIE = 1e-9


@dataclass(frozen=True)
class Contestant:
    """A selector with its options."""

    title: str
    method: str
    options: tuple[tuple[str, object], ...] = ()
    is_seeded: bool = False

    def selector(self, grid: Grid, seed: int) -> Selector:
        """Make it for a table."""
        seeded = {"seed": seed} if self.is_seeded else {}
        return make_selector(self.method, grid, dict(self.options) | seeded)


BETTING = Contestant("arm elimination, betting (default)", "arm_elimination", is_seeded=True)
LOOSER = Contestant(
    "arm elimination, betting, delta 0.2", "arm_elimination", (("delta", 0.2),), is_seeded=True
)
PUBLISHED = Contestant(
    "arm elimination, standard error", "arm_elimination", (("bound", "standard_error"),)
)
UCB = Contestant(
    "matrix UCB, 30 % of the cells", "matrix_ucb", (("sample_fraction", 0.3),), is_seeded=True
)
BRUTE_FORCE = Contestant("brute force", "brute_force")
CONTESTANTS = (BRUTE_FORCE, BETTING, LOOSER, PUBLISHED, UCB)


@dataclass(frozen=True)
class Score:
    """What a selector did on a benchmark, on average over orders of its datapoints.

    Attributes:
        found: Share of the orders in which it chose a combination that is best of all.
        accuracy: Mean score of what it chose, over the whole table.
        best_accuracy: Of the best.
        evaluations: Cells that it evaluated; those that the table lacks don't count.
        saved: Share of brute force's cost that it did not spend.
    """

    found: float
    accuracy: float
    best_accuracy: float
    evaluations: float
    saved: float


def contest(contestant: Contestant, benchmark: Benchmark, seeds: Iterable[int]) -> Score:
    """Replay a selector over a benchmark, once for each seed."""
    table = benchmark.table
    means = np.nanmean(table.scores, axis=1)
    best = means.max()
    rounds = np.array([_round(contestant, table, means, seed) for seed in seeds])
    accuracy, evaluations, cost_usd = rounds.mean(axis=0)
    found = float(np.mean(rounds[:, 0] >= best - _TIE))
    saved = 1 - cost_usd / benchmark.cost_usd
    return Score(found, accuracy, best, evaluations, round(saved, 9) + 0.0)  # no minus zero


def _round(
    contestant: Contestant, table: ScoreTable, means: np.ndarray, seed: int
) -> tuple[float, int, float]:
    """Give what was chosen's accuracy, the evaluations and their cost."""
    shuffled = table.shuffled(seed)
    outcome = replay(contestant.selector(Grid(*table.scores.shape), seed), shuffled.scores)
    costs = shuffled.costs_usd[outcome.seen]
    return means[outcome.chosen], int((~np.isnan(costs)).sum()), float(np.nansum(costs))


WAYS: dict[str, Callable[[ScoreTable], ScoreTable]] = {
    "dropped": lambda table: table,
    "counted as wrong": ScoreTable.missing_counted_wrong,
}
"""What to do with cells that the tables lack."""


def benchmarks_of(folder: Path, way: str) -> list[Benchmark]:
    """Read the tables with their missing cells treated in one of the ways."""
    return [Benchmark(b.title, WAYS[way](b.table)) for b in load_benchmarks(folder)]


def _run(job: tuple[Contestant, str, int, Path, int]) -> Score:
    contestant, way, number, folder, orders = job
    return contest(contestant, benchmarks_of(folder, way)[number], range(orders))


def as_markdown(ways: Sequence[tuple[str, Sequence[tuple[str, str, Score]]]], orders: int) -> str:
    """Write a table for each way, of rows (benchmark, contestant, score)."""
    lines = [f"`python -m bench.selectors`, {today()}, {orders} orders of the datapoints each.", ""]
    for way, rows in ways:
        lines += [f"Missing cells {way}:", "", _HEADINGS, _RULE]
        lines += [_row(*row) for row in rows]
        lines += [""]
    return "\n".join(lines).rstrip()


_HEADINGS = "| benchmark | selector | best found | its accuracy | the best | evaluations | saved |"
_RULE = "|---|---|--:|--:|--:|--:|--:|"


def _row(benchmark: str, contestant: str, score: Score) -> str:
    return (
        f"| {benchmark} | {contestant} | {score.found:.1%} | {score.accuracy:.2%} | "
        f"{score.best_accuracy:.2%} | {score.evaluations:,.0f} | {score.saved:.1%} |"
    )


@click.command()
@click.option("--orders", default=500, show_default=True, help="Of the datapoints, for each row.")
@click.option("--quick", is_flag=True, help="Ten orders; nothing is written.")
def main(*, orders: int, quick: bool) -> None:
    """Replay selectors over published score tables; writes the table in docs/selectors.md.

    The tables are in the folder that REMORA_CORPUS names, or beside the checkout.
    """
    folder = find_scores(os.environ.get("REMORA_CORPUS", ""), CHECKOUT)
    if folder is None:
        raise click.ClickException("no score tables: set REMORA_CORPUS to the folder with scores/")
    orders = 10 if quick else orders
    titles = [benchmark.title for benchmark in load_benchmarks(folder)]
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        ways = []
        for way in WAYS:
            jobs = list(product(range(len(titles)), CONTESTANTS))
            scores = workers.map(_run, [(c, way, n, folder, orders) for n, c in jobs])
            rows = [(titles[n], c.title, s) for (n, c), s in zip(jobs, scores, strict=True)]
            ways.append((way, rows))
    table = as_markdown(ways, orders)
    click.echo(table)
    if not quick:
        PAGE.write_text(between_markers(PAGE.read_text(), "selectors", table))


if __name__ == "__main__":
    main()
