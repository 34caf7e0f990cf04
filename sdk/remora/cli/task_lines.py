"""Tasks told to a person: the table of them, line by line, and one of them in full. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import tzinfo
from decimal import Decimal

from rich.text import Text

from remora.cli.figures import NONE, UNKNOWN, clipped, money, plural, seconds, tokens, visible
from remora.cli.moments import local_time
from remora.cli.plots import bar
from remora.cli.receipt_lines import block, line
from remora.cli.record_lines import Column
from remora.client.task import (
    ActorKind,
    Task,
    TaskBudget,
    TaskChange,
    TaskControl,
    TaskState,
    TaskTotals,
)

_BAR_CHARS = 10
_LEAST_ID = 12
_MOST_PODS = 5
_STYLES = {
    TaskState.FAILED: "red",
    TaskState.BUDGET_EXCEEDED: "red",
    TaskState.CANCELLED: "yellow",
    TaskState.PAUSED: "yellow",
    TaskState.COMPLETED: "dim",
}
_BY = {
    ActorKind.CALL: "by a call",
    ActorKind.QUIET: "as nobody called",
    ActorKind.BUDGET: "by its budget",
}
_NS = 10**9

COLUMNS = (
    Column("state", 15),
    Column("calls", 7, is_number=True),
    Column("errors", 6, shown_from=90, is_number=True),
    Column("cost", 11, is_number=True),
    Column("budget", 26),
    Column("last call", 9, shown_from=100, is_number=True),
)
"""The task's id and title have the rest."""

_WIDE_FROM = 120
_WIDE_COST = 18
"""Room to say that something of it is unknown."""


class TaskLines:
    """Writes tasks as lines of one table: a heading first."""

    def __init__(self, width: int, *, with_namespace: bool = False) -> None:
        """Fit the table to a screen of a width."""
        shown = [column for column in COLUMNS if column.shown_from <= width]
        if width >= _WIDE_FROM:
            shown = [
                replace(column, width=_WIDE_COST) if column.name == "cost" else column
                for column in shown
            ]
        self._columns = shown
        taken = sum(column.width + 2 for column in shown)
        self._id_width = max(width - taken, _LEAST_ID)
        self._with_namespace = with_namespace
        self._is_begun = False

    def lines(self, task: Task, now_unix_ns: int) -> Iterator[Text]:
        """Write one task, with what must stand before it."""
        if not self._is_begun:
            self._is_begun = True
            heads = {column.name: column.name for column in self._columns}
            yield self._line("task", heads, "bold")
        yield self._line(self._name(task), _cells(task, now_unix_ns), _STYLES.get(task.state, ""))

    def _name(self, task: Task) -> str:
        name = f"{task.namespace}/{task.task_id}" if self._with_namespace else task.task_id
        return visible(f"{name}  {task.title}" if task.title else name)

    def _line(self, name: str, cells: Mapping[str, str], style: str) -> Text:
        fitted = [clipped(name, self._id_width).ljust(self._id_width)]
        for column in self._columns:
            text = clipped(cells[column.name], column.width)
            fitted.append(
                text.rjust(column.width) if column.is_number else text.ljust(column.width)
            )
        return Text("  ".join(fitted).rstrip(), style=style, no_wrap=True, overflow="ignore")


def _cells(task: Task, now_unix_ns: int) -> dict[str, str]:
    totals = task.totals
    return {
        "state": _state(task),
        "calls": f"{totals.calls:,}",
        "errors": f"{totals.errors:,}" if totals.errors else NONE,
        "cost": cost(totals),
        "budget": budget_bar(task) or NONE,
        "last call": ago(totals.last_call_unix_ns, now_unix_ns),
    }


def _state(task: Task) -> str:
    return task.state.name.lower().replace("_", " ")


def cost(totals: TaskTotals) -> str:
    """Say what a task cost, and whether something of it is unknown."""
    known = [] if totals.cost_usd is None else [money(totals.cost_usd)]
    return " + ".join([*known, *([UNKNOWN] if totals.unpriced_calls else [])]) or NONE


def ago(unix_ns: int, now_unix_ns: int) -> str:
    """Say how long ago a moment was, in the unit that suits it; never in the future."""
    if not unix_ns:
        return NONE
    span_s = max(0, now_unix_ns - unix_ns) // _NS
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if span_s >= length_s:
            return f"{span_s // length_s}{unit} ago"
    return f"{span_s}s ago"


def budget_part(task: Task) -> float | None:
    """Say which part of its own budget a task has used; None: it has none."""
    budget, totals = task.budget, task.totals
    parts = []
    if budget is not None and budget.cost_usd is not None:
        spent = totals.cost_usd or Decimal(0)
        parts.append(float(spent / budget.cost_usd) if budget.cost_usd else 1.0)
    if budget is not None and budget.tokens is not None:
        spent_tokens = totals.input_tokens + totals.output_tokens
        parts.append(spent_tokens / budget.tokens if budget.tokens else 1.0)
    return max(parts, default=None)


def budget_bar(task: Task) -> str:
    """Draw how much of its budget a task has used; empty if it has none."""
    part = budget_part(task)
    if part is None or task.budget is None:
        return ""
    return f"{bar(part, _BAR_CHARS)} {part:.0%} of {_limits(task.budget, ' or ')}"


def _limits(budget: TaskBudget, joint: str) -> str:
    usd = [] if budget.cost_usd is None else [money(budget.cost_usd)]
    count = [] if budget.tokens is None else [f"{tokens(budget.tokens)} tokens"]
    return joint.join([*usd, *count])


def task_page(task: Task, now_unix_ns: int, zone: tzinfo | None = None) -> Iterator[str]:
    """Tell of one task: what it is, what its calls came to, and how it got where it is."""
    totals = task.totals
    yield line("task", f"{task.task_id}  ({task.namespace})")
    if task.title:
        yield line("title", task.title)
    yield line("state", f"{_state(task)}{_meaning(task)}")
    yield line("calls", _counts(totals))
    if totals.calls:
        yield line("called", _called(totals, now_unix_ns, zone))
        yield line(
            "tokens", f"{tokens(totals.input_tokens)} in, {tokens(totals.output_tokens)} out"
        )
        yield line("cost", cost(totals))
    if drawn := budget_bar(task):
        yield line("budget", drawn)
    if totals.pod_uids:
        yield line("pods", _pods(totals))
    changes = [_change(change, zone) for change in task.history]
    if task.older_changes:
        changes.insert(0, f"… {plural(task.older_changes, 'older change')}")
    yield from block("history", changes)


def state_line(task: Task) -> str:
    """Say where a task stands, and what that means for its calls."""
    return f"{visible(task.task_id)} ({visible(task.namespace)}): {_state(task)}{_meaning(task)}"


def _meaning(task: Task) -> str:
    """Say what becomes of its next calls, where that is not what the state says."""
    if task.state is TaskState.CANCELLED:
        cut = ", those in flight were cut" if task.cut_streams else ""
        return f": its calls are refused for good{cut}"
    if task.control is TaskControl.PAUSED:
        return ": its calls are refused until it is resumed"
    if task.control is TaskControl.BUDGET_EXCEEDED:
        return ": its calls are refused until its budget is raised"
    return ": its next call resumes it" if task.state is TaskState.PAUSED else ""


def _counts(totals: TaskTotals) -> str:
    parts = {
        "failed": totals.errors,
        "of them refused": totals.refused_calls,
        "from the cache": totals.cached_calls,
        "without a known price": totals.unpriced_calls,
    }
    return ", ".join([f"{totals.calls:,}", *(f"{n:,} {name}" for name, n in parts.items() if n)])


def _called(totals: TaskTotals, now_unix_ns: int, zone: tzinfo | None) -> str:
    first, last = totals.first_call_unix_ns, totals.last_call_unix_ns
    lasted = seconds(max(0, last - first) / _NS)
    began = f"{local_time(first, zone):%Y-%m-%d %H:%M:%S}"
    return f"from {began} on, for {lasted}; last {ago(last, now_unix_ns)}"


def _pods(totals: TaskTotals) -> str:
    shown = ", ".join(totals.pod_uids[:_MOST_PODS])
    more = len(totals.pod_uids) - _MOST_PODS
    if totals.more_pods:
        return f"{shown} and more than {max(more, 0)} others"
    return f"{shown} and {more} more" if more > 0 else shown


def _change(change: TaskChange, zone: tzinfo | None) -> str:
    when = f"{local_time(change.at_unix_ns, zone):%Y-%m-%d %H:%M:%S}"
    before, after = (state.name.lower() for state in (change.before, change.after))
    if change.before is TaskState.UNKNOWN:
        what = f"created {after}"
    else:
        what = f"{before} → {after}" if before != after else f"still {after}"
    who = _BY.get(change.kind) or (f"by {change.by}" if change.by else "by somebody")
    why = f": {change.reason}" if change.reason else ""
    return f"{when}  {what.replace('_', ' ')}, {who}{why}"
