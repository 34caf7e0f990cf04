"""How steps and the whole run went, from what is known of a run."""

from collections.abc import Collection

from remora.workflows.scope import Scope
from remora_sidecar.workflows.execution import Execution, ReportStatus, RunStatus, StepReport
from remora_sidecar.workflows.outputs import output_problem, rendered
from remora_sidecar.workflows.plan import Plan
from remora_sidecar.workflows.saved import Failure, StepEnded
from remora_sidecar.workflows.schedule import SKIPPED
from remora_sidecar.workflows.state import RunState

OUTPUTS = "outputs"


def report_of(state: RunState, ended: StepEnded, open_calls: int = 0) -> StepReport:
    """Return how a step went that is over."""
    was_skipped = ended.failure is not None and ended.failure.code == SKIPPED
    return StepReport(
        step_id=ended.step_id,
        status=ended.status,
        latency_ms=ended.latency_ms,
        provider=ended.provider,
        model=ended.model,
        note=ended.note,
        failure=ended.failure,
        was_skipped=was_skipped,
        calls=state.reports(ended.step_id),
        open_calls=open_calls,
    )


def execution_of(
    plan: Plan, state: RunState, scope: Scope, begun: Collection[str], latency_ms: int
) -> Execution:
    """Return what a run came to.

    Args:
        plan: What it went by.
        state: What is known of it.
        scope: What its outputs may refer to.
        begun: Steps that have begun.
        latency_ms: From its begin to its end.
    """
    outputs, problems = rendered(plan.workflow, scope)
    status, failure, failed_step = _end(state)
    if failure is None and problems:
        status, failure = "failed", Failure(OUTPUTS, output_problem(problems))
    steps = reports_of(plan, state, begun)
    return Execution(
        workflow=plan.workflow.workflow.name,
        status=status,
        outputs=outputs,
        steps=steps,
        total_latency_ms=latency_ms,
        failure=failure,
        failed_step=failed_step,
        downgraded=tuple(state.downgraded),
    )


def reports_of(plan: Plan, state: RunState, begun: Collection[str]) -> tuple[StepReport, ...]:
    """Return how each step went, or goes, in an order in which they may run."""
    return tuple(_report(state, step_id, begun) for step_id in plan.workflow.graph.order)


def _end(state: RunState) -> tuple[RunStatus, Failure | None, str | None]:
    if state.end is None:
        return "completed", None, None
    match state.end.turn:
        case "failed" | "cancelled" | "budget_exceeded" as turn:
            return turn, state.end.failure, state.end.step_id
        case other:
            raise ValueError(f"no run ends by being {other}")


def _report(state: RunState, step_id: str, begun: Collection[str]) -> StepReport:
    ended = state.steps.get(step_id)
    if ended is not None:
        return report_of(state, ended)
    calls = state.reports(step_id)
    status: ReportStatus = "cancelled" if calls or step_id in begun else "not_started"
    return StepReport(step_id, status, calls=calls)
