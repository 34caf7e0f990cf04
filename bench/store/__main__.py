"""`python -m bench.store`: what the aggregator takes in and answers."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from bench.cores import pin_this_process
from bench.figure import Figure
from bench.machine import CHECKOUT, machine, today, versions
from bench.report import between_markers, table_row
from bench.store import ingest as ingesting
from bench.store import questions as asking
from bench.store.growth import plot
from remora.testing.postgres_server import postgres_server, why_not

_MILLION = 1_000_000


@click.command()
@click.option("--quick", is_flag=True, help="A short look; nothing is written.")
@click.option("--only", multiple=True, type=click.Choice(["sqlite", "postgres", "questions"]))
@click.option("--records", default=_MILLION, show_default=True, help="Of the largest store.")
def main(*, quick: bool, only: tuple[str, ...], records: int) -> None:
    """Measure ingest on both databases, and questions against the number of records."""
    pin_this_process()
    chosen = only or ("sqlite", "postgres", "questions")
    found: list[Figure] = []
    rounds, count = (1, 20_000) if quick else (5, 60_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "sqlite" in chosen:
            found += _shown(ingesting.ingest(folder / "sqlite", rounds, count, {}, "SQLite"))
        if "postgres" in chosen:
            found += _shown(_postgres(folder, rounds, count))
            found += _shown(ingesting.compared(found, "PostgreSQL", "SQLite"))
        if "questions" in chosen:
            sizes = [_MILLION // 10] if quick else _sizes(records)
            by_size = asking.questions(folder / "questions", sizes)
            found += _shown(asking.figures(by_size, min(_MILLION, sizes[-1])))
            if not quick:
                plot(by_size, CHECKOUT / "docs" / "store-growth.svg")
    if not quick and not only:
        _write(found)


def _sizes(records: int) -> list[int]:
    steps = (10_000, 100_000, _MILLION, 3 * _MILLION, 10 * _MILLION)
    return [*(size for size in steps if size < records), records]


def _postgres(folder: Path, rounds: int, count: int) -> list[Figure]:
    if reason := why_not():
        click.echo(f"PostgreSQL is not measured: {reason}", err=True)
        return []
    with postgres_server(fsync=True) as server:
        settings = {"REMORA_AGGREGATOR_DATABASE": server.dsn()}
        alone = ingesting.ingest(folder / "postgres", rounds, count, settings, "PostgreSQL")
        return [*alone, *ingesting.two_replicas(folder, rounds, count, settings)]


def _shown(figures: list[Figure]) -> list[Figure]:
    for figure in figures:
        click.echo(f"{table_row(figure)}  {figure.note}")
    return figures


def _write(figures: list[Figure]) -> None:
    results = CHECKOUT / "bench" / "results" / "store.json"
    shown = {
        "date": today(), "versions": versions(), "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
    }  # fmt: skip
    results.write_text(json.dumps(shown, indent=1, default=str) + "\n")
    page = CHECKOUT / "docs" / "performance.md"
    rows = "\n".join(_row(figure) for figure in figures)
    table = f"Measured {today()}.\n\n| what | is | promised |\n|---|--:|--:|\n{rows}"
    page.write_text(between_markers(page.read_text(), "store", table))


def _row(figure: Figure) -> str:
    target = figure.target.text() if figure.target else ""
    met = "" if figure.is_met is not False else " (missed)"
    verdict = 0.0 if figure.verdict is None else figure.verdict
    note = f" ({figure.note})" if figure.note else ""
    return f"| {figure.title}{note} | {verdict:,.4g}{figure.verdict_unit}{met} | {target} |"


if __name__ == "__main__":
    main()
