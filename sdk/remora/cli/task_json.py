"""Tasks as JSON for programs, with the keys that the HTTP API has. Pure.

docs/cli.md names the keys; a test holds the two together.
"""

from decimal import Decimal
from typing import Any

from remora.cli.moments import iso_utc
from remora.client.task import Task, TaskBudget, TaskChange, TaskState, TaskTotals


def task_json(task: Task, *, with_history: bool = False) -> dict[str, Any]:
    """Show one task."""
    shown: dict[str, Any] = {
        "namespace": task.namespace,
        "task_id": task.task_id,
        "title": task.title or None,
        "state": task.state.name.lower(),
        "control": task.control.name.lower(),
        "cut_streams": task.cut_streams,
        "revision": task.revision,
        "created_at": iso_utc(task.created_unix_ns),
        "changed_at": iso_utc(task.changed_unix_ns),
        "budget": None if task.budget is None else _budget(task.budget),
        "totals": _totals(task.totals),
    }
    if with_history:
        shown["history"] = [_change(change) for change in task.history]
        shown["older_changes"] = task.older_changes
    return shown


def _money(usd: Decimal | None) -> str | None:
    return None if usd is None else format(usd, "f")


def _moment(unix_ns: int) -> str | None:
    return iso_utc(unix_ns) if unix_ns else None


def _budget(budget: TaskBudget) -> dict[str, Any]:
    return {"cost_usd": _money(budget.cost_usd), "tokens": budget.tokens}


def _totals(totals: TaskTotals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        "errors": totals.errors,
        "refused_calls": totals.refused_calls,
        "cached_calls": totals.cached_calls,
        "unpriced_calls": totals.unpriced_calls,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cost_usd": _money(totals.cost_usd),
        "first_call_at": _moment(totals.first_call_unix_ns),
        "last_call_at": _moment(totals.last_call_unix_ns),
        "pod_uids": list(totals.pod_uids),
        "more_pods": totals.more_pods,
    }


def _change(change: TaskChange) -> dict[str, Any]:
    before = change.before
    return {
        "at": iso_utc(change.at_unix_ns),
        "before": None if before is TaskState.UNKNOWN else before.name.lower(),
        "after": change.after.name.lower(),
        "by": {"kind": change.kind.name.lower(), "name": change.by or None},
        "reason": change.reason or None,
    }
