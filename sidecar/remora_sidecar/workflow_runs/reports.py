"""What others hear of runs: the aggregator names, states and figures, tasks how theirs ended."""

import asyncio
import contextlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Protocol

from remora.clock import Clock
from remora.execution_report import (
    ExecutionBudget,
    ExecutionReport,
    ExecutionStatus,
    StepReported,
    StepStatus,
)
from remora.workflows.budget import Budget
from remora.workflows.compiled import CompiledWorkflow
from remora_sidecar.tasks.answering import TaskDoor
from remora_sidecar.workflow_runs.known import Known

PAUSE_S: Final = 0.5
"""Between two reports of one run that goes on."""

WRITTEN_S: Final = 2.0
"""For the last report of a run to outlive the process, before the run itself is forgotten."""


class Reporting(Protocol):
    """Delivers reports to the aggregator."""

    @property
    def problem(self) -> str:
        """Why reports are not written down or delivered; empty if they are."""
        ...

    def take(self, report: ExecutionReport) -> None:
        """Take a report; never waits and never raises."""
        ...

    async def written(self) -> None:
        """Wait until what was taken outlives the process."""
        ...


class Reports:
    """Reports each run soon after something happened in it, and at once when it is over."""

    def __init__(self, reporting: Reporting | None, tasks: TaskDoor, clock: Clock) -> None:
        """Take who is told.

        Args:
            reporting: Gets the reports; None: there is no aggregator.
            tasks: Hears of tasks that runs made for themselves.
            clock: Numbers the reports.
        """
        self._reporting = reporting
        self._tasks = tasks
        self._clock = clock
        self._last: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def problem(self) -> str:
        """Why an aggregator does not hear of runs; empty if it does, or there is none."""
        return "" if self._reporting is None else self._reporting.problem

    def changed(self, known: Known) -> None:
        """Report a run that goes on, with what else happens to it within a pause."""
        execution_id = known.ordered.execution_id
        if self._reporting is not None and execution_id not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[execution_id] = loop.call_later(PAUSE_S, self._report, known)

    def began(self, known: Known) -> None:
        """Report a run at its begin, or when it is taken up."""
        if known.ordered.owns_task:
            self._tasks.began(known.ordered.task_id, known.ordered.name)
        self._send(known, known.value, known.status)

    async def ended(self, known: Known, result: Mapping[str, Any], ended_unix_ns: int) -> None:
        """Report a run that is over; returns when the report outlives the process, if it can."""
        if known.ordered.owns_task:
            self._tasks.ended(known.ordered.task_id, result["status"])
        execution_id = known.ordered.execution_id
        if (timer := self._timers.pop(execution_id, None)) is not None:
            timer.cancel()
        self._send(known, result, str(result["status"]), ended_unix_ns)
        self._last.pop(execution_id, None)
        if self._reporting is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_S):
                    await self._reporting.written()

    def close(self) -> None:
        """Report nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _report(self, known: Known) -> None:
        del self._timers[known.ordered.execution_id]
        self._send(known, known.value, known.status)

    def _send(
        self, known: Known, value: Mapping[str, Any], status: str, ended_unix_ns: int = 0
    ) -> None:
        if self._reporting is None:
            return
        revision = self._next_revision(known.ordered.execution_id)
        self._reporting.take(_report_of(known, value, status, revision, ended_unix_ns))

    def _next_revision(self, execution_id: str) -> int:
        """Count up, above what an earlier process counted to."""
        now_ms = self._clock.now_unix_ns() // 1_000_000
        revision = self._last[execution_id] = max(self._last.get(execution_id, 0) + 1, now_ms)
        return revision


def _report_of(
    known: Known, value: Mapping[str, Any], status: str, revision: int, ended_unix_ns: int
) -> ExecutionReport:
    ordered = known.ordered
    error = value["error"] or {}
    most_usd = ordered.estimate["most"]["cost_usd"]
    return ExecutionReport(
        execution_id=ordered.execution_id,
        task_id=ordered.task_id,
        owns_task=ordered.owns_task,
        workflow=ordered.name,
        workflow_digest=ordered.workflow_digest,
        revision=revision,
        status=ExecutionStatus(status),
        began_unix_ns=ordered.began_unix_ns,
        ended_unix_ns=ended_unix_ns,
        budget=_budget(ordered.budget or _own_budget(known.workflow)),
        known_cost_usd=Decimal(value["known_cost_usd"]),
        unpriced_calls=value["unpriced_calls"],
        tokens=value["total_tokens"],
        latency_ms=value["total_latency_ms"],
        estimate_most_usd=None if most_usd is None else Decimal(most_usd),
        steps=tuple(_step(step, known.workflow) for step in value["steps"]),
        error_code=error.get("code", ""),
        failed_step=error.get("step_id", ""),
        downgraded=tuple(value["downgraded"]),
        session_id=ordered.session_id,
        agent_id=known.agent_id,
        trace_id=ordered.trace_id,
    )


def _own_budget(workflow: CompiledWorkflow | None) -> Budget | None:
    return None if workflow is None else workflow.workflow.budget


def _budget(budget: Budget | None) -> ExecutionBudget | None:
    if budget is None:
        return None
    return ExecutionBudget(
        budget.max_cost_usd, budget.max_tokens, budget.max_latency_ms, budget.on_exceed
    )


def _step(value: Mapping[str, Any], workflow: CompiledWorkflow | None) -> StepReported:
    step_id = value["step_id"]
    compiled = None if workflow is None else workflow.steps[step_id]
    waits_for = () if workflow is None else tuple(sorted(workflow.graph.dependencies[step_id]))
    return StepReported(
        step_id=step_id,
        status=StepStatus(value["status"]),
        depends_on=waits_for,
        strategy="" if compiled is None else compiled.step.strategy.kind,
        tier="" if compiled is None else compiled.step.tier,
        provider=value["provider"] or "",
        model=value["model_id"] or "",
        latency_ms=value["latency_ms"],
        known_cost_usd=Decimal(value["known_cost_usd"]),
        unpriced_calls=value["unpriced_calls"],
        tokens=value["tokens"],
        receipt_ids=tuple(filter(None, value["receipt_ids"])),
        open_calls=value["open_calls"],
        error_code=(value["error"] or {}).get("code", ""),
        note=value["note"] or "",
    )
