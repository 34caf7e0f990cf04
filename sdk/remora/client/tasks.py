"""Tasks, asked of an aggregator and steered by a synchronous program."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from remora.client.aggregator import AggregatorClient, AggregatorWatch
from remora.client.budget import (
    BudgetFilter,
    SharedBudget,
    budget_filter_message,
    shared_budget_from_message,
)
from remora.client.target import AggregatorTarget
from remora.client.task import Task, TaskBudget, TaskState, budget_message, task_from_message
from remora.record_wire import stored_from_message
from remora.records import StoredRecord
from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are asked for; what is empty does not filter.

    Attributes:
        namespace: Empty: all that the caller may see.
        states: Any of these.
        id_glob: ``*`` stands for any characters, ``?`` for one.
        since_unix_ns: Created, changed or called at this time or later.
    """

    namespace: str = ""
    states: tuple[TaskState, ...] = ()
    id_glob: str = ""
    since_unix_ns: int = 0


_EVERYTHING = TaskFilter()
_EVERY_BUDGET = BudgetFilter()


class TaskClient(AggregatorClient):
    """Asks one aggregator about tasks, and steers them.

    Wherever a namespace is taken, none means the caller's own. To ask for what is the case already
    changes nothing; what a task's state does not allow is a BadRequest.
    """

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._page_size = page_size
        self._stub = pb_grpc.TaskServiceStub(self._channel)

    def get(self, task_id: str, *, namespace: str = "") -> Task:
        """Return a task with its history; a BadRequest of status 404 where there is none."""
        request = pb.GetTaskRequest(namespace=namespace, task_id=task_id)
        return task_from_message(self._ask(self._stub.Get, request).task)

    def calls(
        self, task_id: str, *, namespace: str = "", limit: int | None = None
    ) -> Iterator[StoredRecord]:
        """Yield the records of a task's calls, oldest first, with receipts and without bodies."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            request = pb.GetTaskRequest(
                namespace=namespace, task_id=task_id, records=page, cursor=cursor
            )
            answer = self._ask(self._stub.Get, request)
            yield from map(stored_from_message, answer.records)
            cursor = answer.next_cursor
            if not cursor:
                return
            left = None if left is None else left - len(answer.records)

    def list(self, wanted: TaskFilter = _EVERYTHING, *, limit: int | None = None) -> Iterator[Task]:
        """Yield the tasks that match, those created last first, a page at a time."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            request = pb.ListTasksRequest(filter=_filter_message(wanted), limit=page, cursor=cursor)
            answer = self._ask(self._stub.List, request)
            yield from map(task_from_message, answer.tasks)
            cursor = answer.next_cursor
            if not cursor:
                return
            left = None if left is None else left - len(answer.tasks)

    def budgets(
        self, wanted: BudgetFilter = _EVERY_BUDGET, *, limit: int | None = None
    ) -> Iterator[SharedBudget]:
        """Yield the shared budgets that match, by namespace and name, a page at a time."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            request = pb.BudgetsRequest(
                filter=budget_filter_message(wanted), limit=page, cursor=cursor
            )
            answer = self._ask(self._stub.Budgets, request)
            yield from map(shared_budget_from_message, answer.budgets)
            cursor = answer.next_cursor
            if not cursor:
                return
            left = None if left is None else left - len(answer.budgets)

    def watch(self, namespace: str = "", *, cursor: str = "") -> "TaskWatch":
        """Follow the tasks of one namespace, from now or from after a cursor.

        Returns when the aggregator watches: every change that it commits later is told, those that
        come quickly after each other as one.
        """
        self._check_open()
        call = self._stub.Watch(pb.WatchTasksRequest(namespace=namespace, cursor=cursor))
        watch = TaskWatch(call, self._target, cursor, self._closed)
        watch.wait_ready()
        return watch

    def create(
        self,
        task_id: str,
        *,
        namespace: str = "",
        state: TaskState = TaskState.PENDING,
        budget: TaskBudget | None = None,
        title: str = "",
        reason: str = "",
    ) -> Task:
        """Make a task known before its first call, in state PENDING, PLANNING or RUNNING."""
        request = pb.CreateTaskRequest(
            namespace=namespace,
            task_id=task_id,
            state=state.value,  # type: ignore[arg-type]  # the enum's wire number
            budget=None if budget is None else budget_message(budget),
            title=title,
            reason=reason,
        )
        return task_from_message(self._ask(self._stub.Create, request))

    def update(
        self,
        task_id: str,
        *,
        namespace: str = "",
        state: TaskState | None = None,
        budget: TaskBudget | None = None,
        title: str | None = None,
        reason: str = "",
    ) -> Task:
        """Say what a task is about now; what is None stays.

        Args:
            task_id: Of the task.
            namespace: Where it is.
            state: PLANNING, RUNNING, COMPLETED or FAILED.
            budget: Replaces the task's own; without a limit in it the task has none.
            title: For people.
            reason: Why, for its history.
        """
        request = pb.UpdateTaskRequest(
            namespace=namespace,
            task_id=task_id,
            state=0 if state is None else state.value,  # type: ignore[arg-type]  # as above
            budget=None if budget is None else budget_message(budget),
            title=title,
            reason=reason,
        )
        return task_from_message(self._ask(self._stub.Update, request))

    def cancel(
        self,
        task_id: str,
        *,
        namespace: str = "",
        reason: str = "",
        cut_streams: bool = False,
        create: bool = False,
    ) -> Task:
        """Have a task's calls refused for good.

        Args:
            task_id: Of the task.
            namespace: Where it is.
            reason: Why; the refusals say so.
            cut_streams: Cut calls in flight, too.
            create: Make the task known, if nobody called for it yet.
        """
        request = pb.CancelTaskRequest(
            namespace=namespace,
            task_id=task_id,
            reason=reason,
            cut_streams=cut_streams,
            create=create,
        )
        return task_from_message(self._ask(self._stub.Cancel, request))

    def pause(
        self, task_id: str, *, namespace: str = "", reason: str = "", create: bool = False
    ) -> Task:
        """Have a task's calls refused until it is resumed; `create` as of `cancel`."""
        request = pb.PauseTaskRequest(
            namespace=namespace, task_id=task_id, reason=reason, create=create
        )
        return task_from_message(self._ask(self._stub.Pause, request))

    def resume(self, task_id: str, *, namespace: str = "", reason: str = "") -> Task:
        """Let a paused task go on."""
        request = pb.ResumeTaskRequest(namespace=namespace, task_id=task_id, reason=reason)
        return task_from_message(self._ask(self._stub.Resume, request))


class TaskWatch(AggregatorWatch[Task]):
    """Tasks as they change, without their history; ends when it or its client is closed."""

    def wait_ready(self) -> None:
        """Wait until the subscription stands, which is said before anything else."""
        self._next_event()

    def __next__(self) -> Task:
        """Wait for the next task that changes."""
        while (event := self._next_event()) is not None:
            if event.WhichOneof("event") == "task":
                return task_from_message(event.task)
        raise StopIteration

    def _next_event(self) -> Any:
        event = super()._next_event()
        if event is not None and event.cursor:
            self.cursor = event.cursor
        return event


def _filter_message(wanted: TaskFilter) -> pb.TaskFilter:
    message = pb.TaskFilter(
        namespace=wanted.namespace,
        task_id_glob=wanted.id_glob,
        since_unix_nano=wanted.since_unix_ns,
    )
    message.states.extend(state.value for state in wanted.states)  # type: ignore[misc]  # as above
    return message
