"""What a run says while it goes on, in the shapes that its streams carry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from remora_sidecar.workflows.amounts import usd_text
from remora_sidecar.workflows.envelope import Overrun
from remora_sidecar.workflows.execution import Execution, StepReport
from remora_sidecar.workflows.saved import Failure

EventType = Literal[
    "step_started",
    "step_completed",
    "step_failed",
    "step_skipped",
    "budget_warning",
    "budget_downgraded",
    "budget_exceeded",
    "paused",
    "resumed",
    "final",
]


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        type: What happened.
        step_id: To which step; None: to the run.
        details: All else, as plain values; money is decimal text.
    """

    type: EventType
    step_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def value(self) -> dict[str, Any]:
        """Write it as streams carry it."""
        own = {} if self.step_id is None else {"step_id": self.step_id}
        return {"type": self.type, **own, **self.details}


def step_started(step_id: str) -> Event:
    """Say that a step begins to ask."""
    return Event("step_started", step_id)


def step_ended(report: StepReport) -> Event:
    """Say how a step ended: completed (a default counts), failed or skipped."""
    kind: EventType = "step_completed"
    if report.status == "failed":
        kind = "step_failed"
    elif report.status == "skipped" or report.was_skipped:
        kind = "step_skipped"
    details = report.value()
    del details["step_id"]
    return Event(kind, report.step_id, details)


def budget_said(kind: EventType, overrun: Overrun, step_id: str | None) -> Event:
    """Say which limit was met, by which step's call."""
    return Event(kind, step_id, overrun.facts())


def stopped(failure: Failure) -> Event:
    """Say that nothing new begins, as a budget is used up."""
    return Event("budget_exceeded", None, {"error": failure.facts()})


def final(execution: Execution) -> Event:
    """Say what the run came to; nothing follows."""
    cost = usd_text(execution.total_cost_usd)
    latency = execution.total_latency_ms
    result = execution.value()
    details = {"latency_ms": latency, "cost_usd": cost, "result": result}
    return Event("final", None, details)
