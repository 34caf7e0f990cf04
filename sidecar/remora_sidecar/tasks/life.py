"""How a task of the local book changes: by its calls, its budget, and by what is asked. Pure.

The rules are the aggregator's, but that nothing happens to a task that nobody calls for. What is
concluded from calls and budgets the next call undoes; what somebody asked for stays, and a task
that was ended so is never begun again. Who asks for what is the case already changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from remora.client.task import ActorKind, TaskBudget, TaskState
from remora.errors import BadRequest
from remora_sidecar.tasks.local_task import LocalTask
from remora_sidecar.tasks.sums import Sums

_STARTS = frozenset({TaskState.PENDING, TaskState.PLANNING, TaskState.RUNNING})

type RunEnd = Literal["completed", "failed", "cancelled", "budget_exceeded"]

_ENDS: Final[Mapping[RunEnd, TaskState]] = {
    "completed": TaskState.COMPLETED,
    "failed": TaskState.FAILED,
    "cancelled": TaskState.CANCELLED,
}


class Call(NamedTuple):
    """What of a recorded call its task is interested in.

    Attributes:
        figures: To be counted.
        before: The figures to be counted no more, where the record is revised; else None.
        exceeded: The budget per task that refused it; empty if none did.
    """

    figures: Sums
    started_unix_ns: int
    ended_unix_ns: int
    before: Sums | None = None
    exceeded: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether Remora itself refused it."""
        return bool(self.figures.refused_calls)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a caller says of a task; None stays as it is."""

    budget: TaskBudget | None = None
    title: str | None = None


def begun(
    task_id: str, number: int, state: TaskState, kind: ActorKind, now_unix_ns: int, reason: str = ""
) -> LocalTask:
    """Make a task known."""
    return LocalTask(task_id, number, state, kind, now_unix_ns, now_unix_ns, now_unix_ns, reason)


def after_call(task: LocalTask, call: Call, now_unix_ns: int) -> LocalTask:
    """Count a call that was recorded, and let its task go on."""
    sums = task.sums if call.before is None else task.sums.minus(call.before)
    first = min(task.first_call_unix_ns or call.started_unix_ns, call.started_unix_ns)
    last = max(task.last_call_unix_ns, call.ended_unix_ns)
    if call.before is None:
        task = _stirred(task, call, now_unix_ns)
    task = replace(
        task, sums=sums.plus(call.figures), first_call_unix_ns=first, last_call_unix_ns=last
    )
    return _budgeted(task, now_unix_ns)


def _stirred(task: LocalTask, call: Call, now_unix_ns: int) -> LocalTask:
    """Move a task as its call tells."""
    if call.exceeded:
        if task.state not in _STARTS:
            return task
        reason = f"the budget {call.exceeded!r} refused a call"
        return task.moved(TaskState.BUDGET_EXCEEDED, ActorKind.CALL, now_unix_ns, reason)
    if call.is_refused:
        return task
    if task.state is TaskState.PENDING:
        return task.moved(TaskState.RUNNING, ActorKind.CALL, now_unix_ns, "its first call")
    overtaken = call.started_unix_ns <= task.changed_unix_ns
    if (task.state, task.kind) == (TaskState.BUDGET_EXCEEDED, ActorKind.CALL) and not overtaken:
        reason = "its budget let a call go"
        return task.moved(TaskState.RUNNING, ActorKind.CALL, now_unix_ns, reason)
    return task


def _budgeted(task: LocalTask, now_unix_ns: int) -> LocalTask:
    """Stop a task whose own budget is used up, and let one go on whose budget was raised."""
    if task.budget is None:
        return task
    is_stopped = (task.state, task.kind) == (TaskState.BUDGET_EXCEEDED, ActorKind.BUDGET)
    if is_stopped and not task.is_over_budget:
        reason = "its budget was raised"
        return task.moved(TaskState.RUNNING, ActorKind.BUDGET, now_unix_ns, reason)
    may_be_stopped = not (is_stopped or task.is_over or task.state is TaskState.PAUSED)
    if task.is_over_budget and may_be_stopped:
        reason = "its budget is used up"
        return task.moved(TaskState.BUDGET_EXCEEDED, ActorKind.BUDGET, now_unix_ns, reason)
    return task


def created(task: LocalTask, terms: Terms, now_unix_ns: int) -> LocalTask:
    """Say what a task may use and is called; raises BadRequest (409) where it is over."""
    if task.is_over:
        raise _refused(task, "can't be created again: use another id")
    budget = task.budget if terms.budget is None else terms.budget
    title = task.title if terms.title is None else terms.title
    if (budget, title) == (task.budget, task.title):
        return task
    noted = replace(task.noted(now_unix_ns), budget=budget, title=title)
    return _budgeted(noted, now_unix_ns)


def cancelled(
    task: LocalTask, now_unix_ns: int, reason: str = "", *, cut_streams: bool
) -> LocalTask:
    """Refuse a task's calls for good; raises BadRequest (409) where it ended otherwise."""
    if task.state is not TaskState.CANCELLED:
        task = _asked(task, TaskState.CANCELLED, now_unix_ns, reason)
        return replace(task, cut_streams=cut_streams)
    if task.cut_streams or not cut_streams:
        return task
    return replace(task.noted(now_unix_ns), cut_streams=True)


def paused(task: LocalTask, now_unix_ns: int, reason: str = "") -> LocalTask:
    """Refuse a task's calls until it is resumed; raises BadRequest (409) where it is over."""
    return _asked(task, TaskState.PAUSED, now_unix_ns, reason)


def resumed(task: LocalTask, now_unix_ns: int, reason: str = "") -> LocalTask:
    """Let a paused task go on where it was; raises BadRequest (409) where it can't."""
    if task.is_over:
        raise _refused(task, "can't be resumed")
    if (task.state, task.kind) == (TaskState.BUDGET_EXCEEDED, ActorKind.BUDGET):
        raise _refused(task, "goes on once its budget is raised")
    if task.state is not TaskState.PAUSED:
        return task
    after = task.resumes_to if task.resumes_to in _STARTS else TaskState.RUNNING
    return _budgeted(task.moved(after, ActorKind.CALLER, now_unix_ns, reason), now_unix_ns)


def run_began(task: LocalTask, title: str, now_unix_ns: int) -> LocalTask:
    """Say that a workflow works on it; what somebody asked for stays."""
    task = task if task.title else replace(task, title=title)
    if task.state not in (TaskState.PENDING, TaskState.PLANNING):
        return task
    return task.moved(TaskState.RUNNING, ActorKind.CALLER, now_unix_ns, "its workflow began")


def run_ended(task: LocalTask, end: RunEnd, now_unix_ns: int) -> LocalTask:
    """Say how the workflow ended that it was made for; what somebody asked for stays."""
    reason = f"its workflow ended: {end.replace('_', ' ')}"
    if end in _ENDS:
        may_end = not task.is_over
        after = _ENDS[end]
        return task.moved(after, ActorKind.CALLER, now_unix_ns, reason) if may_end else task
    if task.state not in _STARTS:
        return task
    return task.moved(TaskState.BUDGET_EXCEEDED, ActorKind.CALL, now_unix_ns, reason)


def _asked(task: LocalTask, after: TaskState, now_unix_ns: int, reason: str) -> LocalTask:
    if task.state is after:
        return task
    if task.is_over:
        raise _refused(task, f"can't become {_word(after)}")
    return task.moved(after, ActorKind.CALLER, now_unix_ns, reason)


def _refused(task: LocalTask, what: str) -> BadRequest:
    why = f" ({task.reason})" if task.reason else ""
    text = f"the task {task.task_id!r} is {_word(task.state)}{why} and {what}"
    return BadRequest(text, status=409, code="task_state")


def _word(state: TaskState) -> str:
    return state.name.lower().replace("_", " ")
