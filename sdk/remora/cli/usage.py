"""`remora usage`: sum up calls, tokens and cost."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from remora.cli.options import Asked, filter_options, record_filter

if TYPE_CHECKING:
    from rich.table import Table

    from remora.client.usage import UsageDimension, UsageRow

BY = ("model", "provider", "session", "data", "combo", "agent", "task", "namespace", "operation")


@click.command(name="usage")
@click.option("--by", multiple=True, type=click.Choice(BY), default=("model",), show_default=True,
              help="What to group by; may be given again.")  # fmt: skip
@filter_options
def command(*, by: tuple[str, ...], asked: Asked, aggregator: str | None, as_json: bool) -> None:
    """Sum up recorded calls: how many, how many tokens, what they cost."""
    from remora.cli.record_json import usage_json
    from remora.cli.screen import output, waiting
    from remora.client.records import RecordClient
    from remora.client.settings import read_client_settings
    from remora.client.usage import UsageDimension

    target = read_client_settings(aggregator).target
    group_by = [UsageDimension[name.upper()] for name in dict.fromkeys(by)]
    with RecordClient(target) as client, waiting(f"Asking {target.address} …"):
        rows = client.usage(record_filter(asked), group_by)
    if as_json:
        for row in rows:
            click.echo(json.dumps(usage_json(row, group_by), ensure_ascii=False))
        return
    if not rows:
        where = f"the aggregator at {target.address}"
        click.echo(f"remora usage: {where} has no call that matches", err=True)
        return
    console = output()
    console.print(usage_table(rows, group_by))
    for warning in warnings(rows):
        console.print(warning)


def usage_table(rows: "Sequence[UsageRow]", group_by: "Sequence[UsageDimension]") -> "Table":
    """Show sums as a table, with a total where there are several groups."""
    from rich.table import Table

    from remora.cli.figures import NONE, seconds, tokens, visible

    table = Table(box=None, pad_edge=False, show_footer=False)
    for dimension in group_by:
        table.add_column(dimension.name.lower(), overflow="fold")
    for name in ("calls", "errors", "cached", "tokens in", "cache read", "out", "cost", "mean"):
        table.add_column(name, justify="right")
    shown = [(tuple(visible(key) or NONE for key in row.keys), row) for row in rows]
    if len(rows) > 1:
        shown.append((("total", *[""] * (len(group_by) - 1)), total(rows)))
    for keys, row in shown:
        table.add_row(
            *keys,
            f"{row.calls:,}",
            f"{row.errors:,}" if row.errors else NONE,
            f"{row.cached_calls:,}" if row.cached_calls else NONE,
            _tokens(row, "input_tokens"),
            tokens(row.cache_read_tokens) if row.cache_read_tokens else NONE,
            _tokens(row, "output_tokens"),
            cost(row),
            seconds(row.latency_sum_s / row.calls) if row.calls else NONE,
            style="bold" if keys[0] == "total" and row is not rows[-1] else "",
        )
    return table


def _tokens(row: "UsageRow", figure: str) -> str:
    from remora.cli.figures import UNKNOWN, tokens
    from remora.cli.record_json import known_tokens

    number = known_tokens(row, figure)
    return UNKNOWN if number is None else tokens(number)


def cost(row: "UsageRow") -> str:
    """Say what a group cost, and whether something of it is unknown."""
    from remora.cli.figures import NONE, UNKNOWN, money

    known = [] if row.cost_usd is None else [money(row.cost_usd)]
    unknown = [UNKNOWN] if row.unpriced_calls or row.unread_usage_calls else []
    return " + ".join([*known, *unknown]) or NONE


def total(rows: "Sequence[UsageRow]") -> "UsageRow":
    """Add groups up; money stays None where no group has any."""
    from remora.client.usage import UsageRow

    priced = [row.cost_usd for row in rows if row.cost_usd is not None]
    return UsageRow(
        keys=(),
        calls=sum(row.calls for row in rows),
        errors=sum(row.errors for row in rows),
        unread_usage_calls=sum(row.unread_usage_calls for row in rows),
        unpriced_calls=sum(row.unpriced_calls for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cache_read_tokens=sum(row.cache_read_tokens for row in rows),
        cache_write_tokens=sum(row.cache_write_tokens for row in rows),
        reasoning_tokens=sum(row.reasoning_tokens for row in rows),
        cost_usd=sum(priced, Decimal(0)) if priced else None,
        latency_sum_s=sum(row.latency_sum_s for row in rows),
        cached_calls=sum(row.cached_calls for row in rows),
    )


def warnings(rows: "Sequence[UsageRow]") -> list[str]:
    """Say what the sums lack."""
    from remora.cli.figures import plural

    whole = total(rows)
    said = []
    if whole.unread_usage_calls:
        count = plural(whole.unread_usage_calls, "call")
        said.append(f"{count} succeeded without readable usage: tokens and cost lack theirs.")
    if whole.unpriced_calls:
        count = plural(whole.unpriced_calls, "call")
        said.append(f"{count} used a model without a known price: the cost lacks theirs.")
    return said
