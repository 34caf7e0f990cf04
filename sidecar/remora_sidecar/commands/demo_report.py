"""What the demo shows: a line for each call, and the bill. Pure."""

from collections.abc import Sequence
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from remora.cli.figures import clipped, money, seconds
from remora.client.usage import UsageRow
from remora.records import CallRecord, EndReason

_OUTCOMES = {
    EndReason.CLIENT_GONE: "given up by the agent",
    EndReason.PROVIDER_CUT: "cut by the provider",
    EndReason.NO_ANSWER: "no answer",
    EndReason.REFUSED: "refused by policy",
    EndReason.STOPPED: "sidecar stopped",
}
_COLUMNS = "{kind:<6} {model:<18} {outcome:<25} {tokens:>8} {cost:>10} {took:>7}"
"""Fits into 80 columns."""


def heading() -> Text:
    """Name the columns of `call_line`."""
    line = _COLUMNS.format(
        kind="call", model="model", outcome="outcome", tokens="tokens", cost="cost",
        took="took",
    )  # fmt: skip
    return Text(line, style="bold")


def call_line(record: CallRecord) -> Text:
    """Show one call in one line; what is unknown is a dash, never a zero."""
    line = _COLUMNS.format(
        kind="stream" if record.stream else "plain",
        model=clipped(record.model or "?", 18),
        outcome=clipped(_outcome(record), 25),
        tokens=_tokens(record),
        cost=money(record.cost.total_usd) if record.cost is not None else "-",
        took=seconds(record.latency_s),
    )
    return Text(line, style=_style(record))


def _outcome(record: CallRecord) -> str:
    if record.end_reason in _OUTCOMES:
        return _OUTCOMES[record.end_reason]
    if record.status_code >= 400:
        what = record.error.type if record.error is not None else "error"
        return f"{record.status_code} {what}"
    if record.tool_names:
        return f"{record.status_code} calls {', '.join(record.tool_names)}"
    first = f", first in {seconds(record.ttft_s)}" if record.stream and record.ttft_s else ""
    return f"{record.status_code} {record.finish_reason}{first}"


def _style(record: CallRecord) -> str:
    if record.status_code >= 400 or record.end_reason is EndReason.NO_ANSWER:
        return "red"
    return "green" if record.end_reason is EndReason.COMPLETED else "yellow"


def _tokens(record: CallRecord) -> str:
    usage = record.usage
    if usage is None:
        return "-"
    known = (usage.input_tokens, usage.output_tokens)
    return "→".join("?" if tokens is None else f"{tokens:,}" for tokens in known)


def usage_table(rows: Sequence[UsageRow]) -> Table:
    """Show the sums by model."""
    table = Table(title="What it cost", title_justify="left", box=None, pad_edge=False)
    table.add_column("model")
    for name in ("calls", "errors", "tokens in", "tokens out", "cost"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.keys[0] or "?",
            str(row.calls),
            str(row.errors or "-"),
            f"{row.input_tokens:,}",
            f"{row.output_tokens:,}",
            _cost(row),
        )
    return table


def _cost(row: UsageRow) -> str:
    unknown = "unknown" if row.unpriced_calls or row.unread_usage_calls else ""
    known = money(row.cost_usd) if row.cost_usd is not None else ""
    return " + ".join(part for part in (known, unknown) if part) or "-"


def closing(rows: Sequence[UsageRow], wall_s: float) -> str:
    """Say the sum, and what to try next."""
    calls = sum(row.calls for row in rows)
    total = sum((row.cost_usd for row in rows if row.cost_usd is not None), Decimal(0))
    return (
        f"{calls} calls in {wall_s:.1f} s, {money(total)} in all. "
        "The agent's code and key were not touched.\n\n"
        "Next, with an agent of yours:\n"
        "  [bold]remora aggregator &[/]\n"
        "  [bold]remora run -- python your_agent.py[/]\n"
        "  [bold]remora records[/] and [bold]remora usage[/]"
    )
