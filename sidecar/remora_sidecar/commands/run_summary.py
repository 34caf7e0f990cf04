"""The few lines that `remora run` ends with."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from remora.cli.figures import money, plural, seconds


def call_count(session: Mapping[str, Any]) -> int:
    """Count a session's calls."""
    return sum(totals["calls"] for totals in session["models"].values())


def print_summary(session: Mapping[str, Any], wall_s: float, strangers: int = 0) -> None:
    """Print a session's totals to stderr.

    Args:
        session: As the control listener shows it.
        wall_s: How long the program ran.
        strangers: Calls that were made meanwhile under the default session.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    models: Mapping[str, Mapping[str, Any]] = session["models"]
    if strangers:
        count = plural(strangers, "call")
        console.print(
            f"remora: {count} came without this run's session, from clients that send no proxy "
            "user (Java is one); remora records --session default"
        )
    if not models and not strangers:
        console.print(
            f"remora: no LLM call was seen in {wall_s:.1f} s. Programs that ignore proxy variables "
            "pass by; docs/trust.md lists what each runtime needs.",
        )
    if not models:
        return
    console.print(_table(models))
    console.print(Text(_closing(session, models, wall_s)))


def _table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title="LLM calls", title_justify="left", box=None, pad_edge=False)
    for heading, justify in (
        ("model", "left"), ("calls", "right"), ("errors", "right"), ("tokens in", "right"),
        ("tokens out", "right"), ("cost", "right"), ("mean latency", "right"),
    ):  # fmt: skip
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]  # the two literals above
    for model, totals in models.items():
        table.add_row(
            model,
            str(totals["calls"]),
            str(totals["errors"] or "-"),
            f"{totals['input_tokens']:,}",
            f"{totals['output_tokens']:,}",
            _cost(totals),
            seconds(totals["latency_s"] / totals["calls"]),
        )
    return table


def _cost(totals: Mapping[str, Any]) -> str:
    if totals["cost_usd"] is None:
        return "unknown" if totals["unpriced"] else "-"
    text = money(Decimal(totals["cost_usd"]))
    return f"{text} + unknown" if totals["unpriced"] else text


def _closing(
    session: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], wall_s: float
) -> str:
    calls = call_count(session)
    costs = [Decimal(totals["cost_usd"]) for totals in models.values() if totals["cost_usd"]]
    parts = [f"{calls} call{'s' if calls != 1 else ''} in {wall_s:.1f} s"]
    if costs:
        parts.append(f"{money(sum(costs, Decimal(0)))} in all")
    unread = sum(totals["unread_usage"] for totals in models.values())
    if unread:
        parts.append(f"usage of {unread} could not be read")
    return f"{', '.join(parts)}; remora records --session {session['session_id']}"
