"""A task as the local book keeps it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from remora.client.task import (
    ActorKind,
    Task,
    TaskBudget,
    TaskChange,
    TaskControl,
    TaskState,
)
from remora_sidecar.tasks.sums import NO_CALLS, Sums

_ENDS = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})

_CONTROLS: Final[Mapping[tuple[TaskState, ActorKind], TaskControl]] = {
    (TaskState.CANCELLED, ActorKind.CALLER): TaskControl.CANCELLED,
    (TaskState.PAUSED, ActorKind.CALLER): TaskControl.PAUSED,
    (TaskState.BUDGET_EXCEEDED, ActorKind.BUDGET): TaskControl.BUDGET_EXCEEDED,
}


@dataclass(frozen=True, slots=True)
class LocalTask:
    """One run of an agent, as far as this process knows of it.

    Attributes:
        number: Of the book's tasks, in the order in which they were made known.
        kind: Who moved it to its state.
        revision: Grows with each change: about the time of the change.
        reason: Why it was moved to its state.
        resumes_to: The state that it was paused in.
        cut_streams: Of a cancelled one: calls in flight are cut, too.
        budget: Its own; None: it has none.
        sums: Over its calls.
        first_call_unix_ns: When the first of them began; 0: none yet.
        last_call_unix_ns: When the one that ended last did so.
    """

    task_id: str
    number: int
    state: TaskState
    kind: ActorKind
    revision: int
    created_unix_ns: int
    changed_unix_ns: int
    reason: str = ""
    resumes_to: TaskState = TaskState.RUNNING
    cut_streams: bool = False
    budget: TaskBudget | None = None
    title: str = ""
    sums: Sums = NO_CALLS
    first_call_unix_ns: int = 0
    last_call_unix_ns: int = 0

    @property
    def control(self) -> TaskControl:
        """What is to become of its next calls."""
        return _CONTROLS.get((self.state, self.kind), TaskControl.OPEN)

    @property
    def is_over(self) -> bool:
        """Whether somebody ended it: nothing begins it again."""
        return self.state in _ENDS

    @property
    def is_over_budget(self) -> bool:
        """Whether its own budget is used up."""
        if self.budget is None:
            return False
        return _is_reached(self.budget.cost_usd, self.sums.cost_usd) or _is_reached(
            self.budget.tokens, self.sums.input_tokens + self.sums.output_tokens
        )

    def moved(
        self, after: TaskState, kind: ActorKind, now_unix_ns: int, reason: str = ""
    ) -> "LocalTask":
        """Change the state, whether it may be or not."""
        paused = after is TaskState.PAUSED and self.state is not TaskState.PAUSED
        return replace(
            self.noted(now_unix_ns),
            state=after,
            kind=kind,
            reason=reason,
            resumes_to=self.state if paused else self.resumes_to,
        )

    def noted(self, now_unix_ns: int) -> "LocalTask":
        """Change something else than the state."""
        revision = max(self.revision + 1, now_unix_ns)
        return replace(self, revision=revision, changed_unix_ns=now_unix_ns)

    def shown(self, namespace: str) -> Task:
        """Tell of it as an aggregator does; of its history it has the last change of state."""
        change = TaskChange(
            self.changed_unix_ns, TaskState.UNKNOWN, self.state, self.kind, reason=self.reason
        )
        return Task(
            namespace,
            self.task_id,
            self.state,
            self.control,
            self.cut_streams,
            self.revision,
            self.created_unix_ns,
            self.changed_unix_ns,
            self.budget,
            self.sums.totals(self.first_call_unix_ns, self.last_call_unix_ns),
            self.title,
            (change,),
        )


def _is_reached[N: (Decimal, int)](limit: N | None, spent: N) -> bool:
    return limit is not None and spent >= limit
