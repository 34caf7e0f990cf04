"""A task, as the store keeps it."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from remora.errors import BadRequest
from remora_aggregator.tasks.amounts import NO_LIMIT, Limit
from remora_aggregator.tasks.states import Actor, ActorKind, Change, Control, State, has_ended
from remora_aggregator.tasks.totals import NO_CALLS, TaskTotals

MAX_ID_CHARS: Final = 256
"""As many as sidecars take over from a call."""

MAX_REASON_CHARS: Final = 500
MAX_CHANGES: Final = 32

_HELD = {
    State.CANCELLED: Control.CANCELLED,
    State.PAUSED: Control.PAUSED,
    State.BUDGET_EXCEEDED: Control.BUDGET_EXCEEDED,
}
_HELD_BY = {
    State.CANCELLED: ActorKind.CALLER,
    State.PAUSED: ActorKind.CALLER,
    State.BUDGET_EXCEEDED: ActorKind.BUDGET,
}


class TaskKey(NamedTuple):
    """Whose task it is, and its id: tasks of two namespaces have nothing to do with each other."""

    namespace: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task without what its calls summed up to.

    Attributes:
        revision: Grows with each change, also over deletion: about the time of the change.
        by: Who moved it to its state.
        reason: Why, in the words of who did.
        resumes_to: The state that it was paused in.
        cut_streams: Of a cancelled one: calls in flight are cut, too.
        budget: Its own, counted by its totals.
        title: For people.
        history: Its last changes, oldest first.
        older_changes: How many came before those.
    """

    key: TaskKey
    state: State
    revision: int
    created_unix_ns: int
    changed_unix_ns: int
    by: Actor
    reason: str = ""
    resumes_to: State = State.RUNNING
    cut_streams: bool = False
    budget: Limit = NO_LIMIT
    title: str = ""
    history: tuple[Change, ...] = ()
    older_changes: int = 0

    @property
    def control(self) -> Control:
        """What is to become of the next calls.

        A pause for want of calls ends with the next one, and a budget of the policy is the
        sidecar's to enforce: neither holds a call.
        """
        state = self.state
        return _HELD[state] if _HELD_BY.get(state) is self.by.kind else Control.OPEN

    @property
    def is_over(self) -> bool:
        """Whether somebody ended it: no call and no conclusion begins it again."""
        return has_ended(self.state) and self.by.kind is ActorKind.CALLER

    @property
    def is_paused_by_quiet(self) -> bool:
        """Whether the server paused it, since nobody called."""
        return self.state is State.PAUSED and self.by.kind is ActorKind.QUIET

    def moved(self, after: State, by: Actor, reason: str, now_unix_ns: int) -> "Task":
        """Change the state, whether it may be or not."""
        paused = after is State.PAUSED and self.state is not State.PAUSED
        return replace(
            self._changed(after, by, reason, now_unix_ns),
            state=after,
            by=by,
            reason=_cut(reason),
            resumes_to=self.state if paused else self.resumes_to,
        )

    def noted(self, by: Actor, reason: str, now_unix_ns: int) -> "Task":
        """Write down a change that leaves the state as it is."""
        return self._changed(self.state, by, reason, now_unix_ns)

    def _changed(self, after: State, by: Actor, reason: str, now_unix_ns: int) -> "Task":
        change = Change(now_unix_ns, self.state, after, by, _cut(reason))
        history = (*self.history, change)
        return replace(
            self,
            revision=max(self.revision + 1, now_unix_ns),
            changed_unix_ns=now_unix_ns,
            history=history[-MAX_CHANGES:],
            older_changes=self.older_changes + max(0, len(history) - MAX_CHANGES),
        )


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task with the sums over its calls."""

    task: Task
    totals: TaskTotals = NO_CALLS

    @property
    def is_over_budget(self) -> bool:
        """Whether its own budget is used up."""
        return self.task.budget.is_reached(self.totals.spent)

    @property
    def stirred_unix_ns(self) -> int:
        """When it was changed or called last."""
        return max(self.task.changed_unix_ns, self.totals.last_call_unix_ns)


def begun(key: TaskKey, state: State, by: Actor, reason: str, now_unix_ns: int) -> Task:
    """Make a task."""
    reason = _cut(reason)
    history = (Change(now_unix_ns, None, state, by, reason),)
    return Task(key, state, now_unix_ns, now_unix_ns, now_unix_ns, by, reason, history=history)


def changes_control(before: Task | None, after: Task) -> bool:
    """Tell whether sidecars have to hear of a change: what is to become of calls is another."""
    if before is None:
        return after.control is not Control.OPEN
    known = before.control, before.cut_streams
    return known != (after.control, after.cut_streams)


def gone(key: TaskKey) -> BadRequest:
    """Say that there is no such task."""
    text = f"namespace {key.namespace!r} has no task {key.task_id!r}: nobody called for it yet"
    return BadRequest(text, status=404, code="no_task")


def checked_id(task_id: str) -> str:
    """Return an id that a task may have; raises BadRequest where it may not."""
    if reason := unfit_id(task_id):
        raise BadRequest(reason)
    return task_id


def unfit_id(task_id: str) -> str:
    """Say why no task may have this id; empty if one may."""
    if not task_id:
        return "task_id is needed"
    if len(task_id) > MAX_ID_CHARS:
        return f"task_id has more than {MAX_ID_CHARS} characters"
    return "task_id holds control characters" if _has_controls(task_id) else ""


def checked_text(text: str, name: str) -> str:
    """Return text that a store can keep and compare; raises BadRequest where it can't."""
    if _has_controls(text):
        raise BadRequest(f"{name} holds control characters")
    return text


def _has_controls(text: str) -> bool:
    return any(char < " " or char == "\x7f" for char in text)


def _cut(reason: str) -> str:
    return reason.replace("\0", "")[:MAX_REASON_CHARS]
