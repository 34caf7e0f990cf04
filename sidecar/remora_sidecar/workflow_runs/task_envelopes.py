"""Budgets of tasks that runs share, and other calls of these tasks draw on as well."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from remora.records import CallRecord
from remora.workflows.budget import Budget
from remora_sidecar.workflow_runs.receipts import bill_of
from remora_sidecar.workflows.amounts import NO_MONEY
from remora_sidecar.workflows.envelope import Envelope

type IsRun = Callable[[str], bool]
"""Tells whether a trace is that of a run, whose calls count by themselves."""


class TaskEnvelopes:
    """The envelopes of tasks, for as long as runs of them are known.

    Attributes:
        freed: Called with a task's id when a call of no run was counted.
    """

    def __init__(self, is_run: IsRun) -> None:
        """Begin with none."""
        self.freed: Callable[[str], None] = lambda task_id: None
        self._is_run = is_run
        self._known: dict[str, Envelope] = {}

    def of(self, task_id: str, budget: Budget | None, now_ms: int) -> Envelope | None:
        """Return the envelope of a task; the budget that was said last holds. None: it has none."""
        envelope = self._known.get(task_id)
        if envelope is None and budget is not None:
            envelope = self._known[task_id] = Envelope("task", budget, began_ms=now_ms)
        elif envelope is not None and budget is not None:
            envelope.budget = budget
        return envelope

    def has(self, task_id: str) -> bool:
        """Tell whether a task has a budget that runs share."""
        return task_id in self._known

    def charge(self, task_id: str, result: dict[str, Any]) -> None:
        """Count what a run took that was over before the process began."""
        envelope = self._known.get(task_id)
        if envelope is not None:
            envelope.charge(Decimal(result["known_cost_usd"]), int(result["total_tokens"]))

    def take(self, record: CallRecord) -> None:
        """Count a call of a task that no run made; never waits and never raises."""
        said = record.attribution
        envelope = self._known.get(said.task_id) if self._known else None
        if envelope is None or record.revision or self._is_run(said.trace_id):
            return
        bill = bill_of(record)
        envelope.charge(bill.cost_usd or NO_MONEY, bill.tokens or 0)
        self.freed(said.task_id)

    def forget(self, task_id: str) -> None:
        """Count a task no more."""
        self._known.pop(task_id, None)
