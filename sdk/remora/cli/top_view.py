"""How `remora top` looks: figures with small plots, the busiest, the tasks that run. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from remora.cli.figures import NONE, UNKNOWN, clipped, money, seconds, tokens, visible
from remora.cli.moments import local_time
from remora.cli.plots import sparkline
from remora.cli.task_lines import ago, budget_bar
from remora.cli.task_lines import cost as task_cost
from remora.cli.top_feed import Snapshot
from remora.cli.usage_tables import cost
from remora.client.task import Task
from remora.client.usage import UsageDimension, UsageRow

_LABEL: Final = 15
_FIGURE: Final = 24
_LEAST_PLOT: Final = 10
_FIXED_LINES: Final = 14
"""What is always shown: heading, plots, headings of tables, the last line."""

_LEAST_NAME: Final = 12


@dataclass(frozen=True, slots=True)
class _Plot:
    label: str
    figure: str
    values: Sequence[float | None]
    style: str = ""


def top_view(snapshot: Snapshot, width: int, height: int, *, keys: str = "") -> RenderableType:
    """Draw a snapshot so that it fits a screen.

    Args:
        snapshot: What is shown.
        width: Of the screen, in characters.
        height: In lines; 0: as long as it becomes.
        keys: Which keys do what, for the last line; empty: none do.
    """
    rows = _rows_each(snapshot, height)
    parts: list[RenderableType] = [_heading(snapshot, width), Text("")]
    parts += [_plot_line(plot, width) for plot in _plots(snapshot)]
    for dimension, groups in snapshot.busiest.items():
        parts += [Text(""), _busiest(dimension, groups[:rows], width)]
    if snapshot.running:
        parts += [Text(""), _running(snapshot.running[:rows], snapshot.at_unix_ns, width)]
    if keys:
        parts += [Text(""), Text(clipped(keys, width), style="dim")]
    return Group(*parts)


def _rows_each(snapshot: Snapshot, height: int) -> int:
    """Say how many rows each table may have; without a height five are enough."""
    tables = len(snapshot.busiest) + bool(snapshot.running)
    if not height or not tables:
        return 5
    return max(1, (height - _FIXED_LINES - 2 * tables) // tables)


def _heading(snapshot: Snapshot, width: int) -> Text:
    at = f"{local_time(snapshot.at_unix_ns):%H:%M:%S}"
    minutes = f"{snapshot.span_s / 60:g} min"
    if snapshot.trouble:
        text = f"remora top  {at}  not up to date: {visible(snapshot.trouble)}"
        return Text(clipped(text, width), style="bold red", no_wrap=True)
    span = f"figures: last {snapshot.figures.span_s:.0f} s; plots and tables: last {minutes}"
    return Text(clipped(f"remora top  {at}  {span}", width), style="bold", no_wrap=True)


def _plots(snapshot: Snapshot) -> Iterator[_Plot]:
    figures, series = snapshot.figures, snapshot.series
    yield _Plot("calls/s", _rate(figures.calls_per_s), series.calls_per_s)
    share = f"{figures.errors:,} ({figures.errors / figures.calls:.1%})" if figures.errors else NONE
    yield _Plot("errors", share, series.errors, "red" if figures.errors else "")
    yield _Plot("tokens/s", _rate(figures.tokens_per_s), series.tokens_per_s)
    yield _Plot(
        "cost/h",
        _cost_per_h(snapshot),
        [None if usd is None else float(usd) for usd in series.usd_per_h],
    )
    for label, quantiles_s, plotted in (
        ("latency", figures.quantiles_s, series.latency_s),
        ("first token", figures.ttft_quantiles_s, series.ttft_s),
    ):
        yield _Plot(f"{label} p50", _seconds(quantiles_s[0]), plotted[0])
        tail = f"{_seconds(quantiles_s[1])}, p99 {_seconds(quantiles_s[2])}"
        yield _Plot(f"{'':{len(label)}} p90", tail, plotted[1])


def _rate(value: float) -> str:
    if value >= 1_000:
        return tokens(round(value))
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _seconds(value_s: float | None) -> str:
    return NONE if value_s is None else seconds(value_s)


def _cost_per_h(snapshot: Snapshot) -> str:
    figures = snapshot.figures
    known = money(_cents(figures.usd_per_h)) if figures.cost_usd else ""
    unknown = UNKNOWN if figures.unpriced_calls else ""
    return " + ".join(filter(None, (known, unknown))) or NONE


def _cents(usd: Decimal) -> Decimal:
    """Keep no digits that nobody reads of a rate."""
    return usd.quantize(Decimal("0.0001")) if usd >= Decimal("0.0001") else usd


def _plot_line(plot: _Plot, width: int) -> Text:
    room = max(width - _LABEL - _FIGURE - 2, _LEAST_PLOT)
    text = Text(plot.label.ljust(_LABEL), no_wrap=True)
    text.append(clipped(plot.figure, _FIGURE).rjust(_FIGURE), style=plot.style or "bold")
    text.append("  " + sparkline(plot.values)[-room:], style=plot.style or "cyan")
    return text


def _table(name: str, columns: Sequence[tuple[str, int]], width: int) -> tuple[Table, int]:
    """Begin a table whose first column has what the others leave; returns its width, too."""
    taken = sum(size + 2 for _, size in columns)
    room = max(width - taken, _LEAST_NAME)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(name, width=room, no_wrap=True)
    for head, size in columns:
        side: Literal["left", "right"] = "left" if head == "budget" else "right"
        table.add_column(head, width=size, justify=side, no_wrap=True)
    return table, room


def _busiest(dimension: UsageDimension, rows: Sequence[UsageRow], width: int) -> Table:
    columns = (("calls", 8), ("errors", 8), ("tokens", 10), ("cost", 18), ("mean", 7))
    table, room = _table(f"busiest {dimension.name.lower()}s", columns, width)
    for row in rows:
        used = row.input_tokens + row.output_tokens
        table.add_row(
            clipped(visible(row.keys[0]) or NONE, room),
            f"{row.calls:,}",
            f"{row.errors:,}" if row.errors else NONE,
            tokens(used) if used else NONE,
            cost(row),
            seconds(row.latency_sum_s / row.calls) if row.calls else NONE,
        )
    if not rows:
        table.add_row(NONE)
    return table


def _running(tasks: Sequence[Task], now_unix_ns: int, width: int) -> Table:
    columns = (("calls", 8), ("cost", 18), ("budget", 26), ("last call", 9))
    table, room = _table("running tasks", columns, width)
    for task in tasks:
        name = f"{task.task_id}  {task.title}" if task.title else task.task_id
        table.add_row(
            clipped(visible(name), room),
            f"{task.totals.calls:,}",
            task_cost(task.totals),
            budget_bar(task) or NONE,
            ago(task.totals.last_call_unix_ns, now_unix_ns),
        )
    return table
