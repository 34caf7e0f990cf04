"""`remora usage`: sum up calls, tokens, cost, and what the cache saved."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from remora.cli.options import Asked, Span, filter_options, record_filter

if TYPE_CHECKING:
    from remora.client.usage import UsageDimension, UsageRow

BY = (
    "model", "provider", "session", "data", "combo", "agent", "task", "namespace", "operation",
    "dialect", "workload", "pod", "requested_model", "sent_model", "response_model", "status",
    "error", "rule", "cache",
)  # fmt: skip
QUANTILES = (0.5, 0.9, 0.99)


@click.command(name="usage")
@click.option("--by", multiple=True, type=click.Choice(BY), default=("model",), show_default=True,
              metavar="DIMENSION",
              help=f"What to group by; may be given again. One of {', '.join(BY)}.")  # fmt: skip
@click.option("--every", type=Span(), metavar="SPAN", default=0,
              help="Sums for each span of so long, in UTC: 1h, 1d, …")  # fmt: skip
@click.option("--quantiles", is_flag=True,
              help="Tell p50, p90 and p99 of latency, first token and overhead.")  # fmt: skip
@click.option("--limit", "-n", type=click.IntRange(min=0), default=0,
              help="The groups with the most calls; 0, the default: all.")  # fmt: skip
@filter_options
def command(
    *,
    by: tuple[str, ...],
    every: int,
    quantiles: bool,
    limit: int,
    asked: Asked,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Sum up recorded calls: how many, how many tokens, what they cost, what the cache saved."""
    from remora.cli.screen import waiting
    from remora.client.records import RecordClient
    from remora.client.settings import read_client_settings
    from remora.client.usage import UsageDimension

    if every and limit:
        raise click.UsageError("--limit and --every don't go together: the most calls of which?")
    wanted = record_filter(asked)
    target = read_client_settings(aggregator).target
    group_by = [UsageDimension[name.upper()] for name in dict.fromkeys(by)]
    parts = QUANTILES if quantiles else ()
    with RecordClient(target) as client, waiting(f"Asking {target.address} …"):
        rows = client.usage(wanted, group_by, interval_s=every, quantiles=parts, limit=limit)
    if as_json:
        _show_json(rows, group_by, every, quantiles=quantiles)
        return
    if not rows:
        where = f"the aggregator at {target.address}"
        click.echo(f"remora usage: {where} has no call that matches", err=True)
        return
    _show_tables(rows, group_by, every, quantiles=quantiles)


def _show_json(
    rows: "Sequence[UsageRow]", group_by: "Sequence[UsageDimension]", every: int, *, quantiles: bool
) -> None:
    from remora.cli.record_json import usage_json

    for row in rows:
        shown = usage_json(row, group_by, interval_s=every, with_quantiles=quantiles)
        click.echo(json.dumps(shown, ensure_ascii=False))


def _show_tables(
    rows: "Sequence[UsageRow]", group_by: "Sequence[UsageDimension]", every: int, *, quantiles: bool
) -> None:
    from remora.cli.screen import output
    from remora.cli.usage_tables import quantile_note, quantile_table, usage_table, warnings

    console = output()
    console.print(usage_table(rows, group_by, interval_s=every))
    if quantiles:
        console.print()
        console.print(quantile_table(rows, group_by, QUANTILES, interval_s=every))
        console.print(quantile_note(rows))
    for warning in warnings(rows):
        console.print(warning)
