"""Asks the aggregator about tasks for programs beside the sidecar, under the sidecar's identity.

What it answers to a change is in force here at once, before the watch tells of it. While it is
away nothing is changed: a hold that this sidecar alone knew would end as soon as it is back.
"""

from collections.abc import Callable, Sequence
from typing import Final

import grpc

from remora.client.failures import explain, understood
from remora.client.target import AggregatorTarget
from remora.client.task import Task, TaskState, budget_message, task_from_message
from remora.errors import BadRequest, RemoraError, Unavailable
from remora.record_wire import stored_from_message
from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc
from remora_sidecar.engine.task_gate import TaskGate
from remora_sidecar.task_watch import hold_of
from remora_sidecar.tasks.answering import (
    MAX_PAGE,
    MAX_REASON_CHARS,
    TaskPage,
    TaskWithCalls,
    checked_id,
    last_move,
)
from remora_sidecar.tasks.life import RunEnd, Terms
from remora_sidecar.tasks.under_way import UnderWay

ANSWER_S: Final = 10.0

type _Method[Q, A] = Callable[["pb_grpc.TaskServiceAsyncStub"], "_Asks[Q, A]"]
type _Asks[Q, A] = "grpc.aio.UnaryUnaryMultiCallable[Q, A]"


class ForwardedTasks:
    """Answers for tasks (`Tasks`); a new channel goes by the token as it is now."""

    def __init__(self, target: AggregatorTarget, gate: TaskGate, under_way: UnderWay) -> None:
        """Take whom to ask; nothing is dialled before somebody does.

        Args:
            target: The aggregator.
            gate: Goes by what it answers.
            under_way: Knows which calls it may not have heard of.
        """
        self._target = target
        self._gate = gate
        self._under_way = under_way

    def began(self, task_id: str, title: str) -> None:
        """Do nothing: the aggregator hears of runs by their reports."""

    def ended(self, task_id: str, end: RunEnd) -> None:
        """Do nothing: the aggregator hears of runs by their reports."""

    async def get(self, task_id: str, *, records: int = 0, cursor: str = "") -> TaskWithCalls:
        """Give a task, with at most so many of its calls after a cursor."""
        request = pb.GetTaskRequest(task_id=checked_id(task_id), records=records, cursor=cursor)
        await self._under_way.arrived(task_id)
        answer = await self._ask(lambda stub: stub.Get, request)
        with understood(self._target):
            calls = [stored_from_message(stored).record for stored in answer.records]
            return TaskWithCalls(task_from_message(answer.task), calls, answer.next_cursor)

    async def list(
        self, states: Sequence[TaskState] = (), *, limit: int = MAX_PAGE, cursor: str = ""
    ) -> TaskPage:
        """Give tasks in any of these states; none named: in every one."""
        request = pb.ListTasksRequest(limit=limit, cursor=cursor)
        request.filter.states.extend(state.value for state in states)  # type: ignore[misc]  # the enum's wire number
        await self._under_way.arrived()
        answer = await self._ask(lambda stub: stub.List, request)
        with understood(self._target):
            return TaskPage([task_from_message(task) for task in answer.tasks], answer.next_cursor)

    async def create(self, task_id: str, terms: Terms) -> Task:
        """Make a task known, or take on one that its calls made known."""
        request = pb.CreateTaskRequest(task_id=checked_id(task_id), title=terms.title or "")
        if terms.budget is not None:
            request.budget.CopyFrom(budget_message(terms.budget))
        return self._taken(await self._ask(lambda stub: stub.Create, request))

    async def cancel(self, task_id: str, reason: str = "", *, cut_streams: bool) -> Task:
        """Refuse a task's calls for good; one that nobody knows is made known."""
        request = pb.CancelTaskRequest(
            task_id=checked_id(task_id),
            reason=reason[:MAX_REASON_CHARS],
            cut_streams=cut_streams,
            create=True,
        )
        return self._taken(await self._ask(lambda stub: stub.Cancel, request))

    async def pause(self, task_id: str, reason: str = "") -> Task:
        """Refuse a task's calls until it is resumed; one that nobody knows is made known."""
        request = pb.PauseTaskRequest(
            task_id=checked_id(task_id), reason=reason[:MAX_REASON_CHARS], create=True
        )
        return self._taken(await self._ask(lambda stub: stub.Pause, request))

    async def resume(self, task_id: str, reason: str = "") -> Task:
        """Let a paused task go on."""
        request = pb.ResumeTaskRequest(
            task_id=checked_id(task_id), reason=reason[:MAX_REASON_CHARS]
        )
        return self._taken(await self._ask(lambda stub: stub.Resume, request))

    def _taken(self, message: pb.Task) -> Task:
        with understood(self._target):
            task = task_from_message(message)
        if (hold := hold_of(_control_of(message, task))) is not None:
            self._gate.take(hold)
        return task

    async def _ask[Q, A](self, method: _Method[Q, A], request: Q) -> A:
        try:
            async with self._target.aio_channel() as channel:
                stub = pb_grpc.TaskServiceStub(channel)
                return await method(stub)(request, timeout=ANSWER_S)
        except grpc.aio.AioRpcError as error:
            raise _for_program(error, explain(error, self._target)) from error
        except RemoraError as error:  # of the settings: a file that can't be read
            raise Unavailable(f"the aggregator can't be asked: {error}") from error


def _control_of(message: pb.Task, task: Task) -> pb.TaskControlChange:
    """Say what is to become of a task's calls, as the watch would."""
    is_open = message.control == pb.TASK_CONTROL_OPEN
    move = None if is_open else last_move(task)
    return pb.TaskControlChange(
        task_id=message.task_id,
        control=message.control,
        revision=message.revision,
        cut_streams=message.cut_streams,
        by="" if move is None else move.by,
        reason="" if move is None else move.reason,
    )


def _for_program(error: grpc.aio.AioRpcError, explained: RemoraError) -> RemoraError:
    """Say what an error is to a program, whose fault the sidecar's token is not."""
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return Unavailable(str(explained))
    if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
        return BadRequest(str(explained), status=409, code="task_state")
    return explained
