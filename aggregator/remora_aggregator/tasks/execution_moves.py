"""How the task of a workflow's execution changes by what is told of the execution. Pure.

Only a task that is there for one execution is moved so. What somebody asked for stays: a report
that the task's state does not allow leaves it as it is.
"""

from dataclasses import dataclass, replace
from typing import Final

from remora.errors import BadRequest
from remora_aggregator.tasks.lifecycle import Asking, Terms, cancelled, updated
from remora_aggregator.tasks.states import CALL, CONCLUDED, ActorKind, State
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey, begun

_ASKED: Final = (State.RUNNING, State.COMPLETED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Told:
    """What an execution says of its task.

    Attributes:
        key: Of the task.
        state: RUNNING while the execution goes on; else how it ended.
        title: For people.
    """

    key: TaskKey
    state: State
    title: str


def after_execution(entry: TaskEntry | None, told: Told, asking: Asking) -> Task:
    """Return the task as it is after a report; the same object where it stays as it is."""
    if entry is None:
        task = begun(told.key, State.RUNNING, asking.by, asking.reason, asking.now_unix_ns)
        entry = TaskEntry(replace(task, title=told.title))
    try:
        return _moved(entry, told, asking)
    except BadRequest:
        return entry.task


def _moved(entry: TaskEntry, told: Told, asking: Asking) -> Task:
    if told.state in _ASKED:
        title = None if entry.task.title else told.title
        return updated(entry, told.state, Terms(title=title), asking)
    if told.state is State.CANCELLED:
        return cancelled(entry.task, asking, cut_streams=False)
    return _out_of_budget(entry.task, asking)


def _out_of_budget(task: Task, asking: Asking) -> Task:
    """Say that a budget ended it. The next call that is let go undoes this, as every conclusion."""
    is_paused = task.state is State.PAUSED and task.by.kind is ActorKind.CALLER
    if task.is_over or is_paused or task.state is State.BUDGET_EXCEEDED:
        return task
    if State.BUDGET_EXCEEDED not in CONCLUDED[task.state]:
        return task
    return task.moved(State.BUDGET_EXCEEDED, CALL, asking.reason, asking.now_unix_ns)
