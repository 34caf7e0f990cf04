"""Executions as answers show them: while they go on, and when they are over. Pure."""

from typing import Any, Final

from remora_sidecar.workflow_runs.order import Ordered
from remora_sidecar.workflows.execution import Execution

_WAITS: Final = {"not_started": "waiting", "cancelled": "running"}
"""What states are of steps of a run that goes on."""


def ended_value(ordered: Ordered, execution: Execution) -> dict[str, Any]:
    """Show a run that is over."""
    return _with_order(ordered, execution.value())


def running_value(ordered: Ordered, execution: Execution, *, is_paused: bool) -> dict[str, Any]:
    """Show a run that goes on: it has no outputs."""
    value = execution.value()
    value["status"] = "paused" if is_paused else "running"
    value["outputs"] = {}
    for step in value["steps"]:
        step["status"] = _WAITS.get(step["status"], step["status"])
    return _with_order(ordered, value)


def _with_order(ordered: Ordered, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "execution_id": ordered.execution_id,
        "task_id": ordered.task_id,
        "workflow_digest": ordered.workflow_digest,
        **value,
        "estimate": ordered.estimate,
        "warnings": ordered.warnings,
    }


def started_event(ordered: Ordered) -> dict[str, Any]:
    """Say that a run began, and by which ids it is known."""
    return {
        "type": "started",
        "execution_id": ordered.execution_id,
        "task_id": ordered.task_id,
        "workflow": ordered.name,
        "estimate": ordered.estimate,
    }


def final_event(result: dict[str, Any]) -> dict[str, Any]:
    """Say what a run came to; nothing follows."""
    return {
        "type": "final",
        "latency_ms": result["total_latency_ms"],
        "cost_usd": result["total_cost_usd"],
        "result": result,
    }
