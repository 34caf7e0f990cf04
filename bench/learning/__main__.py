"""`python -m bench.learning`: writes the tables of docs/learned-routing.md."""

import os
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import click

from bench.learning import contests
from bench.learning.contests import as_table
from bench.learning.cost import (
    chance_errors,
    decision_us,
    preparation_ms,
    sidecar_decision_us,
)
from bench.learning.figures import met
from bench.machine import CHECKOUT, today
from bench.report import between_markers
from bench.score_tables import find_scores

PAGE = CHECKOUT / "docs" / "learned-routing.md"
_REGRETS = (
    "arms, gap|commits by objective|commits to the best rate|ours"
    "|of the better one|wanted|with drift handling|wanted"
)
_DRIFT = "arms, gap|signals missing|median calls|nine in ten|not in 600|wanted"
_DESIGNS = "design|regret, gap 10 %|regret, gap 2 %|calls after a fall"
_HARDSHIPS = "|calls 1–50|51–200|801–1,000|regret|of the baseline"
_STEADY = "arms, gap|taken for being cheaper|taken at all|wanted"
_TABLES = (
    "table, arms|best|mean of all|ours, 2,000 calls|last 200"
    "|cost of these, the best arm's being 1|the least within the band|regret, of the baseline's"
)


def _cost_table(*, quick: bool) -> str:
    cases = 40 if quick else 400
    mean, worst, noise = chance_errors(cases)
    microseconds, in_sidecar = decision_us(20), sidecar_decision_us(20)
    rows = [
        ["a decision, 20 arms", f"{microseconds:.1f} µs", f"30 µs {met(microseconds <= 30)}"],
        [
            "the same in a sidecar's router",
            f"{in_sidecar:.1f} µs",
            f"30 µs {met(in_sidecar <= 30)}",
        ],
        ["a new snapshot, 20 arms that could all be the best", f"{preparation_ms(20):.1f} ms", ""],
        ["a new snapshot, 4 arms", f"{preparation_ms(4):.2f} ms", ""],
        [f"distance from Thompson sampling, mean of {cases} cases", f"{mean:.2%}", ""],
        ["of which counting adds", f"{noise:.2%}", ""],
        ["the greatest distance", f"{worst:.2%}", ""],
    ]
    return as_table("|measured|wanted", rows)


def _tables(seeds: int, pool: Executor, folder: Path | None, *, quick: bool) -> dict[str, str]:
    long = max(seeds // 2, 2)
    tables = {
        "cost": _cost_table(quick=quick),
        "stationary": as_table(_REGRETS, contests.stationary_rows(seeds, pool)),
        "cheap-best": as_table(_REGRETS, contests.stationary_rows(seeds, pool, best_is_dear=False)),
        "drift": as_table(_DRIFT, contests.drift_rows(seeds, pool)),
        "designs": as_table(_DESIGNS, contests.design_rows(seeds, pool)),
        "hardships": as_table(_HARDSHIPS, contests.hardship_rows(seeds, pool)),
    }
    if not quick:
        tables["steady"] = as_table(_STEADY, contests.steady_rows(long, pool))
    if folder is not None:
        tables["tables"] = as_table(_TABLES, contests.table_rows(long // 2 or 2, pool, folder))
    return tables


@click.command()
@click.option("--seeds", default=200, show_default=True, help="Runs of each row.")
@click.option("--quick", is_flag=True, help="Twenty seeds; nothing is written.")
def main(*, seeds: int, quick: bool) -> None:
    """Simulate learned routing; writes the tables in docs/learned-routing.md.

    Score tables are in the folder that REMORA_CORPUS names, or beside the checkout.
    """
    folder = find_scores(os.environ.get("REMORA_CORPUS", ""), CHECKOUT)
    seeds = 20 if quick else seeds
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        tables = _tables(seeds, pool, folder, quick=quick)
    page = PAGE.read_text()
    for name, table in tables.items():
        click.echo(f"\n{name}\n{table}")
        page = between_markers(page, name, f"`python -m bench.learning`, {today()}.\n\n{table}")
    if not quick:
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
