"""What the demo shows: a line for each call, and the bill. Pure."""

from collections.abc import Sequence

from rich.text import Text

from remora.cli.figures import clipped, money, plural, seconds
from remora.cli.usage_tables import cost, total
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
        cost=f"{_guess(record)}{money(record.cost.total_usd)}" if record.cost is not None else "-",
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
    figures = "→".join("?" if tokens is None else f"{tokens:,}" for tokens in known)
    return f"{_guess(record)}{figures}"


def _guess(record: CallRecord) -> str:
    """Mark what was estimated."""
    return "~" if record.usage is not None and record.usage.estimated else ""


def closing(rows: Sequence[UsageRow], wall_s: float, command: str) -> str:
    """Say the sum, and what to try next.

    Args:
        rows: What was used.
        wall_s: How long it took.
        command: How `remora` is called from here.
    """
    whole = total(rows)
    return (
        f"{plural(whole.calls, 'call')} in {wall_s:.1f} s, {cost(whole)} in all. "
        "The agent's code and key were not touched.\n\n"
        "Next, with an agent of yours:\n"
        f"  [bold]{command} aggregator &[/]\n"
        f"  [bold]{command} run -- python your_agent.py[/]\n"
        f"  [bold]{command} records[/] and [bold]{command} usage[/]"
    )
