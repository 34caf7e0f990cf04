"""The tasks of a sidecar that has no aggregator: in memory, for as long as the process lives.

It hears of every record and of every hold, and has the gate hold back the calls of tasks that are
paused, cancelled or have used up their own budget.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from remora.client.task import ActorKind, Task, TaskControl, TaskState
from remora.clock import Clock
from remora.errors import BadRequest
from remora.receipt import Receipt
from remora.records import CallRecord
from remora_sidecar.engine.task_gate import Control, TaskGate, TaskHold
from remora_sidecar.tasks import life
from remora_sidecar.tasks.answering import (
    MAX_PAGE,
    MAX_REASON_CHARS,
    TaskPage,
    TaskWithCalls,
    checked_id,
    unknown_task,
)
from remora_sidecar.tasks.call_log import CallLog
from remora_sidecar.tasks.life import Call, RunEnd, Terms
from remora_sidecar.tasks.local_task import LocalTask
from remora_sidecar.tasks.sums import Sums

MAX_TASKS: Final = 10_000
_BUDGET_CODE = "BUDGET_EXCEEDED"
_NS_PER_S = 1_000_000_000
_HELD: Final[Mapping[Control, tuple[TaskState, ActorKind]]] = {
    "paused": (TaskState.PAUSED, ActorKind.CALLER),
    "cancelled": (TaskState.CANCELLED, ActorKind.CALLER),
    "budget_exceeded": (TaskState.BUDGET_EXCEEDED, ActorKind.BUDGET),
}
_WORDS: Final[Mapping[TaskControl, Control]] = {
    TaskControl.PAUSED: "paused",
    TaskControl.CANCELLED: "cancelled",
    TaskControl.BUDGET_EXCEEDED: "budget_exceeded",
}

type _Change = Callable[[LocalTask, int], LocalTask]


class TaskBook:
    """Answers for tasks (`Tasks`) and is told of runs (`TaskDoor`); used on one event loop."""

    def __init__(
        self,
        gate: TaskGate,
        clock: Clock,
        namespace: str,
        *,
        log: CallLog | None = None,
        max_tasks: int = MAX_TASKS,
    ) -> None:
        """Begin with no task.

        Args:
            gate: Holds calls back; its `listeners` should tell `hear`.
            clock: Says when tasks change.
            namespace: That answers name.
            log: Of calls.
            max_tasks: More are forgotten: first those that are over, oldest first.
        """
        self._gate = gate
        self._clock = clock
        self._namespace = namespace
        self._log = log or CallLog()
        self._max_tasks = max_tasks
        self._going: OrderedDict[str, LocalTask] = OrderedDict()
        self._over: OrderedDict[str, LocalTask] = OrderedDict()
        self._order: dict[int, str] = {}
        self._last = 0

    # what is told

    def take(self, record: CallRecord) -> None:
        """Count a record; never waits."""
        task_id = record.attribution.task_id
        if not task_id or (taken := self._log.take(record)) is None:
            return
        call, now = _call_of(record, *taken), self._clock.now_unix_ns()
        task = self._found(task_id)
        if task is None:
            state = TaskState.PENDING if call.is_refused else TaskState.RUNNING
            task = self._begun(task_id, state, ActorKind.CALL, now, "its first call")
        if not task.sums.calls:  # what was counted before went with the task
            call = call._replace(before=None)
        self._put(life.after_call(task, call, now))

    def hear(self, hold: TaskHold) -> None:
        """Take over what somebody else had the gate hold back or let go."""
        task = self._going.get(hold.task_id) or self._over.get(hold.task_id)
        if task is None:
            if hold.control != "open":
                self._keep(self._held(hold))
        elif hold.revision > task.revision:
            self._keep(_as_heard(_moved_by(task, hold, self._clock.now_unix_ns()), hold))

    def began(self, task_id: str, title: str) -> None:
        """Say that a run of a workflow works on the task that it made for itself."""
        self._told(task_id, lambda task, now: life.run_began(task, title, now))

    def ended(self, task_id: str, end: RunEnd) -> None:
        """Say how that run ended."""
        self._told(task_id, lambda task, now: life.run_ended(task, end, now))

    # what is asked

    async def get(self, task_id: str, *, records: int = 0, cursor: str = "") -> TaskWithCalls:
        """Give a task, with at most so many of its calls after a cursor."""
        task = self._known(task_id).shown(self._namespace)
        if not records:
            return TaskWithCalls(task)
        found = self._log.records(task_id, _place(cursor, 0), records + 1)
        is_more, found = len(found) > records, found[:records]
        following = str(found[-1].number) if is_more else ""
        return TaskWithCalls(task, [logged.record for logged in found], following)

    async def list(
        self, states: Sequence[TaskState] = (), *, limit: int = MAX_PAGE, cursor: str = ""
    ) -> TaskPage:
        """Give tasks in any of these states; none named: in every one."""
        before = _place(cursor, self._last + 1)
        newest_first = (self._order[number] for number in reversed(self._order) if number < before)
        tasks = (self._going.get(task_id) or self._over[task_id] for task_id in newest_first)
        chosen = (task for task in tasks if not states or task.state in states)
        found = list(islice(chosen, limit + 1))
        is_more, found = len(found) > limit, found[:limit]
        following = str(found[-1].number) if is_more else ""
        return TaskPage([task.shown(self._namespace) for task in found], following)

    async def create(self, task_id: str, terms: Terms) -> Task:
        """Make a task known, or take on one that its calls made known."""
        return self._changed(task_id, lambda task, now: life.created(task, terms, now))

    async def cancel(self, task_id: str, reason: str = "", *, cut_streams: bool) -> Task:
        """Refuse a task's calls for good; one that nobody knows is made known."""
        reason = reason[:MAX_REASON_CHARS]
        return self._changed(
            task_id,
            lambda task, now: life.cancelled(task, now, reason, cut_streams=cut_streams),
        )

    async def pause(self, task_id: str, reason: str = "") -> Task:
        """Refuse a task's calls until it is resumed; one that nobody knows is made known."""
        reason = reason[:MAX_REASON_CHARS]
        return self._changed(task_id, lambda task, now: life.paused(task, now, reason))

    async def resume(self, task_id: str, reason: str = "") -> Task:
        """Let a paused task go on."""
        reason = reason[:MAX_REASON_CHARS]
        self._known(task_id)
        return self._changed(task_id, lambda task, now: life.resumed(task, now, reason))

    def _changed(self, task_id: str, change: _Change) -> Task:
        return self._told(checked_id(task_id), change).shown(self._namespace)

    def _told(self, task_id: str, change: _Change) -> LocalTask:
        now = self._clock.now_unix_ns()
        task = self._found(task_id) or self._begun(
            task_id, TaskState.PENDING, ActorKind.CALLER, now
        )
        return self._put(change(task, now))

    def _known(self, task_id: str) -> LocalTask:
        if (task := self._found(checked_id(task_id))) is None:
            raise unknown_task(task_id)
        return task

    def _found(self, task_id: str) -> LocalTask | None:
        """Give a task; one that was forgotten is known by what holds it back."""
        task = self._going.get(task_id) or self._over.get(task_id)
        if task is not None or (hold := self._gate.hold_of(task_id)) is None:
            return task
        return self._held(hold)

    def _held(self, hold: TaskHold) -> LocalTask:
        """Make a task known by what holds it back."""
        state, kind = _HELD[hold.control]
        now = self._clock.now_unix_ns()
        return _as_heard(self._begun(hold.task_id, state, kind, now, hold.reason), hold)

    def _begun(
        self, task_id: str, state: TaskState, kind: ActorKind, now_unix_ns: int, reason: str = ""
    ) -> LocalTask:
        self._last += 1
        return life.begun(task_id, self._last, state, kind, now_unix_ns, reason)

    def _put(self, task: LocalTask) -> LocalTask:
        """Keep a task as it is now, and have the gate go by it."""
        self._keep(task)
        held = self._gate.hold_of(task.task_id)
        if task.control is not TaskControl.OPEN or held is not None:
            self._gate.take(_hold_of(task))
        return task

    def _keep(self, task: LocalTask) -> None:
        self._going.pop(task.task_id, None)
        self._over.pop(task.task_id, None)
        if len(self._going) + len(self._over) >= self._max_tasks:
            oldest, forgotten = (self._over or self._going).popitem(last=False)
            del self._order[forgotten.number]
            self._log.forget(oldest)
        (self._over if task.is_over else self._going)[task.task_id] = task
        self._order[task.number] = task.task_id


def _hold_of(task: LocalTask) -> TaskHold:
    control = _WORDS.get(task.control, "open")
    reason = "" if control == "open" else task.reason
    return TaskHold(task.task_id, control, task.revision, task.cut_streams, reason=reason)


def _as_heard(task: LocalTask, hold: TaskHold) -> LocalTask:
    return replace(task, revision=hold.revision, cut_streams=hold.cut_streams)


def _moved_by(task: LocalTask, hold: TaskHold, now_unix_ns: int) -> LocalTask:
    if hold.control == _WORDS.get(task.control, "open"):
        return task
    state, kind = _HELD.get(hold.control, (TaskState.RUNNING, ActorKind.CALLER))
    return task.moved(state, kind, now_unix_ns, hold.reason)


def _call_of(record: CallRecord, figures: Sums, before: Sums | None) -> Call:
    began = record.started_unix_ns
    ended = began + round(max(0.0, record.latency_s) * _NS_PER_S)
    return Call(figures, began, ended, before, _exceeded(record.receipt))


def _exceeded(receipt: Receipt | None) -> str:
    if receipt is None or receipt.refused_by != _BUDGET_CODE:
        return ""
    names = (one.name for one in receipt.budgets if one.per == "task" and one.result == "block")
    return next(names, "")


def _place(cursor: str, default: int) -> int:
    if not cursor:
        return default
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadRequest("the cursor is none of this sidecar's")
    return int(cursor)
