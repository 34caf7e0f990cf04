"""Sums as tables for people; what is not known is said, never counted as zero. Pure."""

from collections.abc import Sequence
from decimal import Decimal

from rich.table import Table

from remora.cli.figures import NONE, UNKNOWN, money, plural, seconds, tokens, visible
from remora.cli.moments import iso_utc
from remora.cli.record_json import known_tokens
from remora.client.usage import Measure, UsageDimension, UsageRow

_DAY_S = 86_400
_MEASURES = {
    Measure.LATENCY: "latency",
    Measure.TTFT: "first token",
    Measure.OVERHEAD: "overhead",
}


def usage_table(
    rows: Sequence[UsageRow], group_by: Sequence[UsageDimension], *, interval_s: int = 0
) -> Table:
    """Show sums, with a total where there are several; savings only where there are any."""
    table = _table_by(group_by, interval_s)
    has_savings = any(row.saved_s or row.saved_usd is not None for row in rows)
    names = ["calls", "errors", "cached", "tokens in", "cache read", "out", "cost", "mean"]
    for name in names + (["saved", "time saved"] if has_savings else []):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*_keys(row, interval_s), *_figures(row, has_savings=has_savings))
    if len(rows) > 1:
        empty = [""] * (len(group_by) - (0 if interval_s else 1))
        table.add_row(
            "total", *empty, *_figures(total(rows), has_savings=has_savings), style="bold"
        )
    return table


def quantile_table(
    rows: Sequence[UsageRow],
    group_by: Sequence[UsageDimension],
    quantiles: Sequence[float],
    *,
    interval_s: int = 0,
) -> Table:
    """Show quantiles of each measure."""
    table = _table_by(group_by, interval_s)
    for name in _MEASURES.values():
        for at, quantile in enumerate(quantiles):
            head = f"p{quantile * 100:g}"
            table.add_column(head if at else f"{name} {head}", justify="right")
    for row in rows:
        cells = [_quantile(row, measure, part) for measure in _MEASURES for part in quantiles]
        table.add_row(*_keys(row, interval_s), *cells)
    return table


def quantile_note(rows: Sequence[UsageRow]) -> str:
    """Say how far quantiles may be off."""
    error = max((one.error for row in rows for one in row.quantiles), default=0.0)
    return f"≈ within {error:.1%} of the true value"


def _quantile(row: UsageRow, measure: Measure, quantile: float) -> str:
    value_s = row.quantile_s(measure, quantile)
    return NONE if value_s is None else f"≈{seconds(value_s)}"


def _table_by(group_by: Sequence[UsageDimension], interval_s: int) -> Table:
    table = Table(box=None, pad_edge=False, show_footer=False)
    if interval_s:
        table.add_column("from (UTC)")
    for dimension in group_by:
        table.add_column(dimension.name.lower().replace("_", " "), overflow="fold")
    return table


def _keys(row: UsageRow, interval_s: int) -> list[str]:
    starts = []
    if interval_s:
        written = iso_utc(row.start_unix_ns).replace("T", " ")
        chars = 10 if interval_s % _DAY_S == 0 else 16 if interval_s % 60 == 0 else 19
        starts = [written[:chars]]
    return starts + [visible(key) or NONE for key in row.keys]


def _figures(row: UsageRow, *, has_savings: bool) -> list[str]:
    return [
        f"{row.calls:,}",
        f"{row.errors:,}" if row.errors else NONE,
        f"{row.cached_calls:,}" if row.cached_calls else NONE,
        _tokens(row, "input_tokens"),
        tokens(row.cache_read_tokens) if row.cache_read_tokens else NONE,
        _tokens(row, "output_tokens"),
        cost(row),
        seconds(row.latency_sum_s / row.calls) if row.calls else NONE,
        *(_savings(row) if has_savings else []),
    ]


def _savings(row: UsageRow) -> list[str]:
    if not row.cached_calls:
        return [NONE, NONE]
    usd = UNKNOWN if row.saved_usd is None else money(row.saved_usd)
    return [usd, seconds(row.saved_s)]


def _tokens(row: UsageRow, figure: str) -> str:
    number = known_tokens(row, figure)
    if number is None:
        return UNKNOWN
    return f"~{tokens(number)}" if row.estimated_calls and number else tokens(number)


def cost(row: UsageRow) -> str:
    """Say what a group cost, and whether something of it is unknown."""
    known = [] if row.cost_usd is None else [money(row.cost_usd)]
    unknown = [UNKNOWN] if row.unpriced_calls or row.unread_usage_calls else []
    return " + ".join([*known, *unknown]) or NONE


def total(rows: Sequence[UsageRow]) -> UsageRow:
    """Add groups up; money stays None where no group has any. Quantiles can't be added up."""
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
        cost_usd=_sum([row.cost_usd for row in rows]),
        latency_sum_s=sum(row.latency_sum_s for row in rows),
        cached_calls=sum(row.cached_calls for row in rows),
        priced_calls=sum(row.priced_calls for row in rows),
        estimated_calls=sum(row.estimated_calls for row in rows),
        saved_usd=_sum([row.saved_usd for row in rows]),
        saved_s=sum(row.saved_s for row in rows),
    )


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def warnings(rows: Sequence[UsageRow]) -> list[str]:
    """Say what the sums lack, and what in them is a guess."""
    whole = total(rows)
    said = []
    if whole.unread_usage_calls:
        count = plural(whole.unread_usage_calls, "call")
        said.append(f"{count} succeeded without readable usage: tokens and cost lack theirs.")
    if whole.unpriced_calls:
        count = plural(whole.unpriced_calls, "call")
        said.append(f"{count} used a model without a known price: the cost lacks theirs.")
    if whole.estimated_calls:
        count = plural(whole.estimated_calls, "call")
        said.append(f"{count} ended before usage was stated: ~ marks sums with Remora's estimate.")
    return said
