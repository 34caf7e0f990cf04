"""How tasks change by what callers ask for.

What the server concluded by itself (`conclusions`) stands in nobody's way. What somebody asked for
stays until somebody asks for something else, and a task that was ended so is never begun again.
Whoever asks for what is the case already changes nothing.
"""

from dataclasses import dataclass, replace

from remora.errors import BadRequest
from remora_aggregator.tasks.amounts import Limit
from remora_aggregator.tasks.conclusions import budgeted
from remora_aggregator.tasks.states import ASKED, Actor, ActorKind, State
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey, begun

_STARTS = (State.PENDING, State.PLANNING, State.RUNNING)
_UPDATES = (State.PLANNING, State.RUNNING, State.COMPLETED, State.FAILED)
_MAX_TITLE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """What a caller says of a task, beside its state; None stays as it is."""

    budget: Limit | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for a change, why, and when."""

    by: Actor
    reason: str
    now_unix_ns: int


def created(
    entry: TaskEntry | None, key: TaskKey, state: State, terms: Terms, asking: Asking
) -> Task:
    """Make a task known, or take on one that its calls made known already.

    Raises:
        BadRequest: It can't begin so, or it is over (status 409).
    """
    if state not in _STARTS:
        raise BadRequest(f"a task begins {_listed(_STARTS)}, not {_word(state)}")
    if entry is None:
        task = begun(key, state, asking.by, asking.reason, asking.now_unix_ns)
        budget, title = terms.budget or task.budget, (terms.title or "")[:_MAX_TITLE_CHARS]
        task = replace(task, budget=budget, title=title)
        return budgeted(TaskEntry(task), asking.now_unix_ns)
    task = entry.task
    if task.is_over:
        raise _refused(task, "can't be created again: use another id")
    # Where its first call came before this, it is further than it says.
    if task.state is State.PENDING and state is not State.PENDING:
        task = _moved(task, state, asking)
    return _with_terms(replace(entry, task=task), terms, asking)


def updated(entry: TaskEntry, state: State | None, terms: Terms, asking: Asking) -> Task:
    """Say what a task is about now, or that it is over, and what it may use.

    Raises:
        BadRequest: The state can't be asked for, or not from where it stands (status 409).
    """
    if state is not None and state not in _UPDATES:
        raise BadRequest(f"an update says {_listed(_UPDATES)}; there are other calls for the rest")
    entry = _with_budget_first(entry, terms, asking)
    task = entry.task if state is None else _moved(entry.task, state, asking)
    return _with_terms(replace(entry, task=task), terms, asking)


def cancelled(task: Task, asking: Asking, *, cut_streams: bool) -> Task:
    """Refuse a task's calls for good; raises BadRequest (409) where it ended otherwise."""
    if task.state is not State.CANCELLED:
        return replace(_moved(task, State.CANCELLED, asking), cut_streams=cut_streams)
    if task.cut_streams or not cut_streams:
        return task
    noted = task.noted(
        asking.by, asking.reason or "calls in flight are cut, too", asking.now_unix_ns
    )
    return replace(noted, cut_streams=True)


def paused(task: Task, asking: Asking) -> Task:
    """Refuse a task's calls until it is resumed; raises BadRequest (409) where it is over."""
    return _moved(task, State.PAUSED, asking)


def resumed(entry: TaskEntry, asking: Asking) -> Task:
    """Let a paused task go on where it was; raises BadRequest (409) where it is over."""
    task = entry.task
    if task.is_over:
        raise _refused(task, "can't be resumed")
    if task.state is State.BUDGET_EXCEEDED and task.by.kind is ActorKind.BUDGET:
        raise _refused(task, "goes on once its budget is raised")
    if task.state not in (State.PAUSED, State.COMPLETED):
        return task
    is_known = task.state is State.PAUSED and task.resumes_to in _STARTS
    after = task.resumes_to if is_known else State.RUNNING
    task = task.moved(after, asking.by, asking.reason, asking.now_unix_ns)
    return budgeted(replace(entry, task=task), asking.now_unix_ns)


def _moved(task: Task, after: State, asking: Asking) -> Task:
    by_quiet = task.by.kind is ActorKind.QUIET
    if task.state is after and not by_quiet:
        return task
    allowed = ASKED[task.state]
    if task.by.kind is not ActorKind.CALLER and task.by.kind is not ActorKind.BUDGET:
        # The server's own conclusion; its calls may have told it more than it was told.
        allowed = ASKED[task.state] | ASKED[State.RUNNING] | {State.RUNNING}
    if after not in allowed:
        raise _refused(task, f"can't become {_word(after)}{_instead(task)}")
    return task.moved(after, asking.by, asking.reason, asking.now_unix_ns)


def _with_budget_first(entry: TaskEntry, terms: Terms, asking: Asking) -> TaskEntry:
    """Raise a budget before the state is looked at, which it may have stopped."""
    if terms.budget is None:
        return entry
    return replace(entry, task=_with_terms(entry, Terms(budget=terms.budget), asking))


def _with_terms(entry: TaskEntry, terms: Terms, asking: Asking) -> Task:
    task = entry.task
    budget = task.budget if terms.budget is None else terms.budget
    title = task.title if terms.title is None else terms.title[:_MAX_TITLE_CHARS]
    if (budget, title) == (task.budget, task.title):
        return task
    if task.is_over and budget != task.budget:
        raise _refused(task, "needs no budget any more")
    what = "its title was changed" if budget == task.budget else "its budget was changed"
    task = task.noted(asking.by, asking.reason or what, asking.now_unix_ns)
    task = replace(task, budget=budget, title=title)
    return budgeted(replace(entry, task=task), asking.now_unix_ns)


def _refused(task: Task, what: str) -> BadRequest:
    who = f" by {task.by.name}" if task.by.name else ""
    why = f" ({task.reason})" if task.reason else ""
    text = f"the task {task.key.task_id!r} is {_word(task.state)}{who}{why} and {what}"
    return BadRequest(text, status=409, code="task_state")


def _instead(task: Task) -> str:
    if task.state is State.PAUSED:
        return ": resume it first"
    return ": raise its budget" if task.state is State.BUDGET_EXCEEDED else ""


def _word(state: State) -> str:
    return state.value.replace("_", " ")


def _listed(states: tuple[State, ...]) -> str:
    *head, last = map(_word, states)
    return f"{', '.join(head)} or {last}"
