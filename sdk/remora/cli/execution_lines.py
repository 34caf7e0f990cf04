"""Executions of workflows told to a person: the table of them, and one of them in full. Pure."""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from decimal import Decimal

from rich.text import Text

from remora.cli.figures import NONE, UNKNOWN, clipped, money, plural, seconds, tokens, visible
from remora.cli.moments import local_time
from remora.cli.receipt_lines import line
from remora.cli.record_lines import Column
from remora.cli.task_lines import ago
from remora.client.executions import StoredExecution
from remora.execution_report import (
    ExecutionBudget,
    ExecutionReport,
    ExecutionStatus,
    StepCounts,
    StepReported,
    StepStatus,
)

_LEAST_NAME = 12
_CALLS_A_LINE = 2
_MOST_CALLS = 10
_STYLES = {
    ExecutionStatus.FAILED: "red",
    ExecutionStatus.BUDGET_EXCEEDED: "red",
    ExecutionStatus.CANCELLED: "yellow",
    ExecutionStatus.PAUSED: "yellow",
    ExecutionStatus.COMPLETED: "dim",
}
_STEP_STYLES = {
    StepStatus.FAILED: "red",
    StepStatus.CANCELLED: "yellow",
    StepStatus.DEFAULTED: "yellow",
    StepStatus.SKIPPED: "dim",
    StepStatus.NOT_STARTED: "dim",
    StepStatus.WAITING: "dim",
}

COLUMNS = (
    Column("state", 15),
    Column("steps", 9, is_number=True),
    Column("cost", 19, is_number=True),
    Column("took", 7, is_number=True),
    Column("began", 9, shown_from=90, is_number=True),
)
"""The execution's id and its workflow have the rest."""

STEP_COLUMNS = (
    Column("state", 11),
    Column("model", 23),
    Column("cost", 19, is_number=True),
    Column("took", 7, is_number=True),
    Column("tokens", 9, shown_from=100, is_number=True),
)
"""The step's id has the rest."""


class Table:
    """Writes lines of one table: a heading first, then a name and what belongs to it."""

    def __init__(self, head: str, columns: tuple[Column, ...], width: int) -> None:
        """Fit the table to a screen of a width."""
        self._head = head
        self._columns = [column for column in columns if column.shown_from <= width]
        taken = sum(column.width + 2 for column in self._columns)
        self._name_width = max(width - taken, _LEAST_NAME)
        self._is_begun = False

    def lines(self, name: str, cells: Mapping[str, str], style: str) -> Iterator[Text]:
        """Write one line, with what must stand before it."""
        if not self._is_begun:
            self._is_begun = True
            yield self._line(self._head, {one.name: one.name for one in self._columns}, "bold")
        yield self._line(name, cells, style)

    def _line(self, name: str, cells: Mapping[str, str], style: str) -> Text:
        fitted = [clipped(visible(name), self._name_width).ljust(self._name_width)]
        for column in self._columns:
            text = clipped(visible(cells[column.name]), column.width)
            fitted.append(
                text.rjust(column.width) if column.is_number else text.ljust(column.width)
            )
        return Text("  ".join(fitted).rstrip(), style=style, no_wrap=True, overflow="ignore")


class ExecutionLines:
    """Writes executions as lines of one table."""

    def __init__(self, width: int, *, with_namespace: bool = False) -> None:
        """Fit the table to a screen of a width."""
        self._table = Table("execution", COLUMNS, width)
        self._with_namespace = with_namespace

    def lines(self, stored: StoredExecution, now_unix_ns: int) -> Iterator[Text]:
        """Write one execution, with what must stand before it."""
        report = stored.report
        name = f"{report.execution_id}  {report.workflow}"
        if self._with_namespace:
            name = f"{stored.namespace}/{name}"
        style = _STYLES.get(report.status, "")
        yield from self._table.lines(name, _cells(stored, now_unix_ns), style)


def _cells(stored: StoredExecution, now_unix_ns: int) -> dict[str, str]:
    report = stored.report
    return {
        "state": word(report.status),
        "steps": f"{stored.step_counts.ended}/{stored.step_counts.steps}",
        "cost": cost(report.known_cost_usd, report.unpriced_calls),
        "took": seconds(report.latency_ms / 1000),
        "began": ago(report.began_unix_ns, now_unix_ns),
    }


def word(status: ExecutionStatus | StepStatus) -> str:
    """Write a state as words."""
    return str(status.value).replace("_", " ")


def cost(known_usd: Decimal, unpriced_calls: int) -> str:
    """Say what something cost, and whether a part of it is unknown."""
    if not unpriced_calls:
        return money(known_usd)
    return f"{money(known_usd)} + {UNKNOWN}" if known_usd else UNKNOWN


def execution_page(
    stored: StoredExecution, now_unix_ns: int, zone: tzinfo | None = None
) -> Iterator[str]:
    """Tell of one execution what is not told of its steps."""
    report = stored.report
    yield line("execution", f"{report.execution_id}  ({stored.namespace})")
    yield line("workflow", report.workflow)
    yield line("state", f"{word(report.status)}{_why(report)}")
    yield line("steps", _counts(stored.step_counts))
    yield line("began", _times(report, now_unix_ns, zone))
    yield line("cost", cost(report.known_cost_usd, report.unpriced_calls) + _estimate(report))
    yield line("tokens", tokens(report.tokens))
    if report.budget is not None:
        yield line("budget", _budget(report.budget))
    if report.downgraded:
        yield line("cheaper", f"models were, for the budget of {', '.join(report.downgraded)}")
    if report.task_id:
        yield line("task", report.task_id)
    yield line("pod", stored.pod_name or stored.pod_uid)


def _why(report: ExecutionReport) -> str:
    if not report.error_code:
        return ""
    return f": {report.error_code}{f' at {report.failed_step}' if report.failed_step else ''}"


def _counts(counts: StepCounts) -> str:
    parts = {"failed": counts.failed, "under way": counts.running}
    ended = f"{counts.ended} of {counts.steps} over"
    return ", ".join([ended, *(f"{count} {name}" for name, count in parts.items() if count)])


def _times(report: ExecutionReport, now_unix_ns: int, zone: tzinfo | None) -> str:
    began = f"{local_time(report.began_unix_ns, zone):%Y-%m-%d %H:%M:%S}"
    took = f"took {seconds(report.latency_ms / 1000)}" if report.ended_unix_ns else "goes on"
    return f"{began}, {ago(report.began_unix_ns, now_unix_ns)}; {took}"


def _estimate(report: ExecutionReport) -> str:
    most = report.estimate_most_usd
    return "" if most is None else f" of {money(most)} at most, as was estimated"


def _budget(budget: ExecutionBudget) -> str:
    limits = [] if budget.max_cost_usd is None else [money(budget.max_cost_usd)]
    if budget.max_tokens is not None:
        limits.append(f"{tokens(budget.max_tokens)} tokens")
    if budget.max_latency_ms is not None:
        limits.append(seconds(budget.max_latency_ms / 1000))
    return f"{' or '.join(limits)}, then {budget.on_exceed}"


def step_lines(steps: tuple[StepReported, ...], width: int) -> Iterator[Text]:
    """Write steps as lines of one table, with what there is to say below each."""
    table = Table("step", STEP_COLUMNS, width)
    for step in steps:
        yield from table.lines(step.step_id, _step_cells(step), _STEP_STYLES.get(step.status, ""))
        for said in _said(step):
            yield Text(clipped(f"    {visible(said)}", width), no_wrap=True, overflow="ignore")


def _step_cells(step: StepReported) -> dict[str, str]:
    arm = "/".join(filter(None, (step.provider, step.model)))
    is_idle = step.status in (StepStatus.WAITING, StepStatus.NOT_STARTED)
    return {
        "state": word(step.status),
        "model": arm or NONE,
        "cost": NONE if is_idle else cost(step.known_cost_usd, step.unpriced_calls),
        "took": seconds(step.latency_ms / 1000) if step.latency_ms else NONE,
        "tokens": tokens(step.tokens),
    }


def _said(step: StepReported) -> Iterator[str]:
    if step.depends_on:
        yield f"waits for {', '.join(step.depends_on)}"
    yield from filter(None, (step.error_code, step.note))
    if step.open_calls:
        yield f"{plural(step.open_calls, 'abandoned call')} not over, their cost is to come"
    yield from _calls(step)


def _calls(step: StepReported) -> Iterator[str]:
    """Name the first calls, so many to a line that none is cut on a screen of 80."""
    shown = step.receipt_ids[:_MOST_CALLS]
    for at in range(0, len(shown), _CALLS_A_LINE):
        yield f"{'' if at else 'calls':<6}{' '.join(shown[at : at + _CALLS_A_LINE])}"
    beyond = len(step.receipt_ids) - len(shown) + step.more_receipts
    if beyond:
        yield f"{'':<6}and {beyond:,} more"
