"""`python -m bench`: the paired runs; `python -m bench profile`: where the time goes."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from bench import (
    beside,
    cached,
    dialect_cost,
    imports,
    memory,
    policy_cost,
    profile,
    relay,
    speed,
    startup,
    streams,
    tracking,
)
from bench.cores import pin_this_process
from bench.figure import Figure
from bench.machine import CHECKOUT, machine, today, versions
from bench.report import Report, between_markers, table_row, write, write_rows
from bench.scale import FULL, QUICK, Scale
from bench.servers import Bench, started_bench

RESULTS = CHECKOUT / "bench" / "results"
Suite = Callable[[Bench, Scale], list[Figure]]

SUITES: Mapping[str, Suite] = {
    "throughput": speed.throughput,
    "kept": speed.kept,
    "cached": cached.cached,
    "latency": speed.latency,
    "first-byte": speed.first_byte,
    "streams": streams.streams,
    "dialects": dialect_cost.dialect_cost,
    "policy": policy_cost.policy_cost,
    "tracker": tracking.tracking,
    "new-connections": speed.new_connections,
    "memory": memory.memory,
    "relay": relay.relay,
    "shaped-relay": relay.shaped_relay,
    "startup": startup.startup,
    "imports": imports.imports,
    "litellm": beside.beside_litellm,
}


@click.group(invoke_without_command=True)
@click.option("--only", multiple=True, type=click.Choice(list(SUITES)), help="Measure only this.")
@click.option("--quick", is_flag=True, help="A short look: fewer and shorter rounds.")
@click.option("--write", "keep", is_flag=True, help="With --only: keep these rows as well.")
@click.pass_context
def main(context: click.Context, *, only: tuple[str, ...], quick: bool, keep: bool) -> None:
    """Measure the sidecar against stock mitmdump, side by side.

    A whole run writes bench/results/latest.json and the table in README.md; with --only or
    --quick the figures are only printed, unless --only's are to be kept in the places of the
    last whole run's: date and commit then stand beside them.
    """
    if context.invoked_subcommand is not None:
        return
    if keep and (quick or not only):
        raise click.UsageError("--write is for --only, and not for a quick look")
    figures = _measured(only or tuple(SUITES), QUICK if quick else FULL)
    if quick or (only and not keep):
        return
    report = Report(today(), versions(), machine(), figures)
    keeping = write_rows if only else write
    keeping(report, RESULTS / "latest.json", CHECKOUT / "README.md")


@main.command(name="profile")
@click.option("--quick", is_flag=True, help="Fewer calls; nothing is written.")
@click.option("--of", type=click.Choice(list(profile.KINDS)), default="plain", show_default=True)
def profile_command(*, quick: bool, of: str) -> None:
    """Say where the CPU time of a call goes, room by room.

    Of plain calls it writes bench/results/profile.json and the table in docs/performance.md;
    others are only printed.
    """
    pin_this_process()
    with tempfile.TemporaryDirectory() as folder, started_bench(Path(folder)) as bench:
        found = profile.profile(bench, 3_000 if quick else 30_000, profile.KINDS[of])
    table = profile.as_markdown(found, today())
    click.echo(table)
    for function, share in found.functions.items():
        click.echo(f"{share:7.1%}  {function}", err=True)
    if not quick and of == "plain":
        profile.write(found, today(), RESULTS)
        page = CHECKOUT / "docs" / "performance.md"
        page.write_text(between_markers(page.read_text(), "profile", table))


def _measured(names: tuple[str, ...], scale: Scale) -> list[Figure]:
    pin_this_process()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, started_bench(Path(folder)) as bench:
        for name in names:
            click.echo(f"measuring {name} …", err=True)
            found = SUITES[name](bench, scale)
            figures += found
            for figure in found:
                click.echo(table_row(figure))
    return figures


if __name__ == "__main__":
    main()
