"""Executions of workflows as they travel. Pure."""

from decimal import Decimal
from typing import Final

from remora.execution_report import (
    ExecutionBudget,
    ExecutionReport,
    ExecutionStatus,
    StepReported,
    StepStatus,
)
from remora.wire_money import usd_of
from remora_proto.v1 import workflows_pb2 as pb

MOST_RECEIPTS: Final = 500
"""Of one step: of more, the first travel, and how many there are."""

STATUSES: Final = {
    ExecutionStatus.RUNNING: pb.EXECUTION_STATUS_RUNNING,
    ExecutionStatus.PAUSED: pb.EXECUTION_STATUS_PAUSED,
    ExecutionStatus.COMPLETED: pb.EXECUTION_STATUS_COMPLETED,
    ExecutionStatus.FAILED: pb.EXECUTION_STATUS_FAILED,
    ExecutionStatus.CANCELLED: pb.EXECUTION_STATUS_CANCELLED,
    ExecutionStatus.BUDGET_EXCEEDED: pb.EXECUTION_STATUS_BUDGET_EXCEEDED,
    ExecutionStatus.UNKNOWN: pb.EXECUTION_STATUS_UNSPECIFIED,
}
_STATUSES_READ: Final = {int(number): status for status, number in STATUSES.items()}

STEP_STATUSES: Final = {
    StepStatus.WAITING: pb.STEP_STATUS_WAITING,
    StepStatus.RUNNING: pb.STEP_STATUS_RUNNING,
    StepStatus.COMPLETED: pb.STEP_STATUS_COMPLETED,
    StepStatus.SKIPPED: pb.STEP_STATUS_SKIPPED,
    StepStatus.FAILED: pb.STEP_STATUS_FAILED,
    StepStatus.DEFAULTED: pb.STEP_STATUS_DEFAULTED,
    StepStatus.CANCELLED: pb.STEP_STATUS_CANCELLED,
    StepStatus.NOT_STARTED: pb.STEP_STATUS_NOT_STARTED,
    StepStatus.UNKNOWN: pb.STEP_STATUS_UNSPECIFIED,
}
_STEP_STATUSES_READ: Final = {int(number): status for status, number in STEP_STATUSES.items()}


def status_of(number: int) -> ExecutionStatus:
    """Read a status; one of a newer sender is unknown."""
    return _STATUSES_READ.get(number, ExecutionStatus.UNKNOWN)


def execution_message(report: ExecutionReport) -> pb.ExecutionReport:
    """Write a report; raises ValueError for a text or number that the wire form can't hold."""
    return pb.ExecutionReport(
        execution_id=report.execution_id,
        task_id=report.task_id,
        owns_task=report.owns_task,
        workflow=report.workflow,
        workflow_digest=report.workflow_digest,
        revision=report.revision,
        status=STATUSES[report.status],
        began_unix_nano=report.began_unix_ns,
        ended_unix_nano=report.ended_unix_ns,
        budget=None if report.budget is None else _budget_message(report.budget),
        known_cost_usd=format(report.known_cost_usd, "f"),
        unpriced_calls=report.unpriced_calls,
        tokens=report.tokens,
        latency_ms=report.latency_ms,
        estimate_most_usd=_text(report.estimate_most_usd),
        steps=map(_step_message, report.steps),
        error_code=report.error_code,
        failed_step=report.failed_step,
        downgraded=report.downgraded,
        session_id=report.session_id,
        agent_id=report.agent_id,
        trace_id=report.trace_id,
    )


def _step_message(step: StepReported) -> pb.StepReport:
    beyond = max(0, len(step.receipt_ids) - MOST_RECEIPTS)
    return pb.StepReport(
        step_id=step.step_id,
        status=STEP_STATUSES[step.status],
        depends_on=step.depends_on,
        strategy=step.strategy,
        tier=step.tier,
        provider=step.provider,
        model=step.model,
        latency_ms=step.latency_ms,
        known_cost_usd=format(step.known_cost_usd, "f"),
        unpriced_calls=step.unpriced_calls,
        tokens=step.tokens,
        receipt_ids=step.receipt_ids[:MOST_RECEIPTS],
        more_receipts=step.more_receipts + beyond,
        open_calls=step.open_calls,
        error_code=step.error_code,
        note=step.note,
    )


def _budget_message(budget: ExecutionBudget) -> pb.ExecutionBudget:
    return pb.ExecutionBudget(
        max_cost_usd=_text(budget.max_cost_usd),
        max_tokens=budget.max_tokens,
        max_latency_ms=budget.max_latency_ms,
        on_exceed=budget.on_exceed,
    )


def _text(usd: Decimal | None) -> str | None:
    return None if usd is None else format(usd, "f")


def execution_from_message(message: pb.ExecutionReport) -> ExecutionReport:
    """Read a report; raises `decimal.InvalidOperation` where money is no decimal."""
    budget, has_estimate = message.budget, message.HasField("estimate_most_usd")
    return ExecutionReport(
        execution_id=message.execution_id,
        task_id=message.task_id,
        owns_task=message.owns_task,
        workflow=message.workflow,
        workflow_digest=message.workflow_digest,
        revision=message.revision,
        status=status_of(message.status),
        began_unix_ns=message.began_unix_nano,
        ended_unix_ns=message.ended_unix_nano,
        budget=_budget(budget) if message.HasField("budget") else None,
        known_cost_usd=usd_of(message.known_cost_usd or "0"),
        unpriced_calls=message.unpriced_calls,
        tokens=message.tokens,
        latency_ms=message.latency_ms,
        estimate_most_usd=usd_of(message.estimate_most_usd) if has_estimate else None,
        steps=tuple(map(_step, message.steps)),
        error_code=message.error_code,
        failed_step=message.failed_step,
        downgraded=tuple(message.downgraded),
        session_id=message.session_id,
        agent_id=message.agent_id,
        trace_id=message.trace_id,
    )


def _step(message: pb.StepReport) -> StepReported:
    return StepReported(
        step_id=message.step_id,
        status=_STEP_STATUSES_READ.get(message.status, StepStatus.UNKNOWN),
        depends_on=tuple(message.depends_on),
        strategy=message.strategy,
        tier=message.tier,
        provider=message.provider,
        model=message.model,
        latency_ms=message.latency_ms,
        known_cost_usd=usd_of(message.known_cost_usd or "0"),
        unpriced_calls=message.unpriced_calls,
        tokens=message.tokens,
        receipt_ids=tuple(message.receipt_ids),
        more_receipts=message.more_receipts,
        open_calls=message.open_calls,
        error_code=message.error_code,
        note=message.note,
    )


def _budget(message: pb.ExecutionBudget) -> ExecutionBudget:
    has = message.HasField
    return ExecutionBudget(
        max_cost_usd=usd_of(message.max_cost_usd) if has("max_cost_usd") else None,
        max_tokens=message.max_tokens if has("max_tokens") else None,
        max_latency_ms=message.max_latency_ms if has("max_latency_ms") else None,
        on_exceed=message.on_exceed,
    )
