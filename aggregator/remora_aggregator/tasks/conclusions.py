"""What the server concludes about tasks by itself: from their calls, their budgets, and silence.

The next call undoes each of these conclusions. What somebody asked for (`lifecycle`) is left alone.
"""

from dataclasses import dataclass

from remora_aggregator.tasks.leases import NS_PER_S
from remora_aggregator.tasks.states import BUDGET, CALL, CONCLUDED, QUIET, Actor, ActorKind, State
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey, begun
from remora_aggregator.tasks.totals import TaskCall

_STARTS = (State.PENDING, State.PLANNING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class QuietRules:
    """When a task that nobody calls for changes by itself; None: never.

    Attributes:
        pause_after_s: A planning or running one is paused, so long after its last call or change.
            Its next call resumes it.
        complete_after_s: One that was paused so is taken to be completed, so long after that. Its
            next call begins it again.
    """

    pause_after_s: float | None = 900.0
    complete_after_s: float | None = 86_400.0


def after_call(
    entry: TaskEntry | None,
    key: TaskKey,
    call: TaskCall,
    now_unix_ns: int,
    *,
    instead_of: TaskCall | None = None,
) -> TaskEntry:
    """Count a call that was recorded, and let its task go on.

    Args:
        entry: The task; None where this is the first call that names it.
        key: Which task it is.
        call: The call.
        now_unix_ns: When this is decided.
        instead_of: What was known of the same call before, where it was revised.
    """
    if entry is None:
        state = State.PENDING if call.is_refused else State.RUNNING
        entry = TaskEntry(begun(key, state, CALL, "its first call", now_unix_ns))
    if instead_of is not None:
        totals, task = entry.totals.revised(instead_of, call), entry.task
    else:
        totals, task = entry.totals.plus(call), _stirred(entry.task, call, now_unix_ns)
    counted = TaskEntry(task, totals)
    return TaskEntry(budgeted(counted, now_unix_ns), totals)


def gone_quiet(entry: TaskEntry, rules: QuietRules, now_unix_ns: int) -> Task:
    """Pause a task that nobody called for so long, or take it to be completed; else it stays."""
    task, quiet_s = entry.task, (now_unix_ns - entry.stirred_unix_ns) / NS_PER_S
    if task.state in (State.PLANNING, State.RUNNING):
        after, limit_s = State.PAUSED, rules.pause_after_s
    elif task.is_paused_by_quiet:
        after, limit_s = State.COMPLETED, rules.complete_after_s
    else:
        return task
    if limit_s is None or quiet_s < limit_s:
        return task
    return _concluded(task, after, QUIET, f"nothing happened for {quiet_s:.0f} s", now_unix_ns)


def budgeted(entry: TaskEntry, now_unix_ns: int) -> Task:
    """Stop a task whose own budget is used up, and let one go on whose budget was raised."""
    task, is_over = entry.task, entry.is_over_budget
    if task.state is State.BUDGET_EXCEEDED and task.by.kind is ActorKind.BUDGET:
        if is_over:
            return task
        return _concluded(task, State.RUNNING, BUDGET, "its budget was raised", now_unix_ns)
    if not is_over or not _may_be_stopped(task):
        return task
    return _concluded(task, State.BUDGET_EXCEEDED, BUDGET, "its budget is used up", now_unix_ns)


def _may_be_stopped(task: Task) -> bool:
    if task.state in (State.PAUSED, State.COMPLETED):
        return task.by.kind is ActorKind.QUIET
    return not task.is_over


def _stirred(task: Task, call: TaskCall, now_unix_ns: int) -> Task:
    """Move a task as its call tells."""
    if call.exceeded:
        if task.state not in _STARTS:
            return task
        reason = f"the budget {call.exceeded!r} refused a call"
        return _concluded(task, State.BUDGET_EXCEEDED, CALL, reason, now_unix_ns)
    if call.is_refused:
        return task
    if task.state is State.PENDING:
        return _concluded(task, State.RUNNING, CALL, "its first call", now_unix_ns)
    return _undone(task, call, now_unix_ns)


def _undone(task: Task, call: TaskCall, now_unix_ns: int) -> Task:
    """Take a conclusion back that a call contradicts; one made before it contradicts nothing."""
    if task.by.kind is ActorKind.QUIET:
        if call.ended_unix_ns <= task.changed_unix_ns:
            return task
        after = task.resumes_to if task.state is State.PAUSED else State.RUNNING
        return _concluded(task, after, CALL, "it was called again", now_unix_ns)
    if task.state is State.BUDGET_EXCEEDED and task.by.kind is ActorKind.CALL:
        if call.started_unix_ns <= task.changed_unix_ns:
            return task
        return _concluded(task, State.RUNNING, CALL, "its budget let a call go", now_unix_ns)
    return task


def _concluded(task: Task, after: State, by: Actor, reason: str, now_unix_ns: int) -> Task:
    if after not in CONCLUDED[task.state]:
        raise AssertionError(f"the server moves no task from {task.state} to {after}")
    return task.moved(after, by, reason, now_unix_ns)
