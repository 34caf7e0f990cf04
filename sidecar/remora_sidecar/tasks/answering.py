"""Who answers for tasks beside the sidecar, and what is asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from remora.client.task import Task, TaskChange, TaskState
from remora.errors import BadRequest
from remora.records import CallRecord
from remora_sidecar.tasks.life import RunEnd, Terms

MAX_ID_CHARS: Final = 256
MAX_TITLE_CHARS: Final = 200
MAX_REASON_CHARS: Final = 500
MAX_PAGE: Final = 500
"""Of tasks and of calls."""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some tasks, those made known last first; the cursor is empty where there are no more."""

    tasks: Sequence[Task]
    next_cursor: str = ""


@dataclass(frozen=True, slots=True)
class TaskWithCalls:
    """A task with some of its calls, oldest first; the cursor is empty where there are no more."""

    task: Task
    records: Sequence[CallRecord] = ()
    next_cursor: str = ""


class Tasks(Protocol):
    """Answers for the tasks of this sidecar's namespace.

    Every method raises BadRequest (404 where there is no such task, 409 where its state does not
    allow it, 403 where this sidecar may not) and Unavailable where nobody answers.
    """

    async def get(self, task_id: str, *, records: int = 0, cursor: str = "") -> TaskWithCalls:
        """Give a task, with at most so many of its calls after a cursor."""
        ...

    async def list(
        self, states: Sequence[TaskState] = (), *, limit: int = MAX_PAGE, cursor: str = ""
    ) -> TaskPage:
        """Give tasks in any of these states; none named: in every one."""
        ...

    async def create(self, task_id: str, terms: Terms) -> Task:
        """Make a task known, or take on one that its calls made known."""
        ...

    async def cancel(self, task_id: str, reason: str = "", *, cut_streams: bool) -> Task:
        """Refuse a task's calls for good; one that nobody knows is made known."""
        ...

    async def pause(self, task_id: str, reason: str = "") -> Task:
        """Refuse a task's calls until it is resumed; one that nobody knows is made known."""
        ...

    async def resume(self, task_id: str, reason: str = "") -> Task:
        """Let a paused task go on."""
        ...


class TaskDoor(Protocol):
    """Told by runs of workflows of the tasks that they made for themselves; never waits."""

    def began(self, task_id: str, title: str) -> None:
        """Say that a run works on its task; to say it again changes nothing."""
        ...

    def ended(self, task_id: str, end: RunEnd) -> None:
        """Say how the run ended."""
        ...


def checked_id(task_id: str) -> str:
    """Return an id that a task may have; raises BadRequest where it may not."""
    if not 0 < len(task_id) <= MAX_ID_CHARS:
        raise BadRequest(f"the id of a task has 1 to {MAX_ID_CHARS} characters")
    if any(char < " " or char == "\x7f" for char in task_id):
        raise BadRequest("the id of a task holds no control characters")
    return task_id


def unknown_task(task_id: str) -> BadRequest:
    """Say that there is no such task."""
    text = f"there is no task {task_id!r}: nobody called for it yet"
    return BadRequest(text, status=404, code="no_task")


def last_move(task: Task) -> TaskChange | None:
    """Give the change that brought a task to its state; None where it is not told."""
    moves = (
        change
        for change in reversed(task.history)
        if change.after is task.state and change.before is not change.after
    )
    return next(moves, None)
