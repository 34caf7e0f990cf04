"""Executions of workflows as JSON for programs, here and over HTTP. Pure.

docs/cli.md names the keys; a test holds the two together.
"""

from decimal import Decimal
from typing import Any, Final

from remora.cli.moments import iso_utc
from remora.client.executions import StoredExecution
from remora.execution_report import ExecutionBudget, ExecutionReport, StepReported

_FIGURES: Final = ("owns_task", "workflow", "revision", "unpriced_calls")
_TEXTS: Final = ("task_id", "workflow_digest", "session_id", "agent_id", "trace_id")
_STEP_FIGURES: Final = (
    "step_id", "latency_ms", "unpriced_calls", "tokens", "more_receipts", "open_calls",
)  # fmt: skip
_STEP_TEXTS: Final = ("strategy", "tier", "provider", "error_code", "note")


def execution_json(stored: StoredExecution, *, steps: bool = False) -> dict[str, Any]:
    """Show one execution."""
    shown = {**_stamped(stored), **_told(stored.report)}
    if steps:
        shown["steps"] = [_step(one) for one in stored.report.steps]
    return shown


def _stamped(stored: StoredExecution) -> dict[str, Any]:
    counts = stored.step_counts
    return {
        "namespace": stored.namespace,
        "pod_uid": stored.pod_uid,
        "pod_name": stored.pod_name or None,
        "workload": stored.workload or None,
        "received_at": iso_utc(stored.received_unix_ns),
        "step_counts": {
            "steps": counts.steps,
            "ended": counts.ended,
            "failed": counts.failed,
            "running": counts.running,
        },
    }


def _told(report: ExecutionReport) -> dict[str, Any]:
    return {
        **{name: getattr(report, name) for name in _FIGURES},
        **{name: getattr(report, name) or None for name in _TEXTS},
        "execution_id": report.execution_id,
        "status": report.status.value,
        "began_at": iso_utc(report.began_unix_ns),
        "ended_at": iso_utc(report.ended_unix_ns) if report.ended_unix_ns else None,
        "budget": None if report.budget is None else _budget(report.budget),
        "total_cost_usd": _usd(report.cost_usd),
        "known_cost_usd": _usd(report.known_cost_usd),
        "total_tokens": report.tokens,
        "total_latency_ms": report.latency_ms,
        "estimate_most_usd": _usd(report.estimate_most_usd),
        "error": _error(report),
        "downgraded": list(report.downgraded),
    }


def _step(step: StepReported) -> dict[str, Any]:
    return {
        **{name: getattr(step, name) for name in _STEP_FIGURES},
        **{name: getattr(step, name) or None for name in _STEP_TEXTS},
        "status": step.status.value,
        "depends_on": list(step.depends_on),
        "model_id": step.model or None,
        "cost_usd": _usd(step.cost_usd),
        "known_cost_usd": _usd(step.known_cost_usd),
        "receipt_ids": list(step.receipt_ids),
    }


def _budget(budget: ExecutionBudget) -> dict[str, Any]:
    return {
        "max_cost_usd": _usd(budget.max_cost_usd),
        "max_tokens": budget.max_tokens,
        "max_latency_ms": budget.max_latency_ms,
        "on_exceed": budget.on_exceed,
    }


def _error(report: ExecutionReport) -> dict[str, Any] | None:
    if not report.error_code:
        return None
    return {"code": report.error_code, "step_id": report.failed_step or None}


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
