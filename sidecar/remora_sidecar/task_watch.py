"""Follows what the aggregator says of this namespace's tasks, for as long as the sidecar runs.

A task that is paused or cancelled there is held here as soon as the stream brings it. Calls never
wait for it: while the aggregator is away what it said last stays in force, and one of an older
version says nothing.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

import grpc

from remora.errors import RemoraError
from remora.pauses import GrowingPause, Sleep
from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc
from remora_sidecar.engine.task_gate import MAX_TASKS, Control, TaskGate, TaskHold
from remora_sidecar.grpc_peer import Target, explained

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 5.0
OLD_VERSION_PAUSE_S = 60.0
"""Before an aggregator that has no tasks is asked again: a newer one may have replaced it."""

FIRST_ANSWER_S = 20.0
_SILENT_BEATS = 3
_MOST_SILENT_S = 600.0

_MEANINGS = {grpc.StatusCode.PERMISSION_DENIED: "this sidecar may not ask it for tasks"}

_CONTROLS: Mapping[int, Control] = {
    pb.TASK_CONTROL_OPEN: "open",
    pb.TASK_CONTROL_PAUSED: "paused",
    pb.TASK_CONTROL_CANCELLED: "cancelled",
    pb.TASK_CONTROL_BUDGET_EXCEEDED: "budget_exceeded",
}


def hold_of(change: pb.TaskControlChange) -> TaskHold | None:
    """Read what is to become of a task's calls; None where that is a word of newer aggregators."""
    control = _CONTROLS.get(change.control)
    if control is None:
        return None
    return TaskHold(
        change.task_id, control, change.revision, change.cut_streams, change.by, change.reason
    )


def hold_of_grant(task_id: str, grant: pb.LeaseResponse.Grant) -> TaskHold | None:
    """Read what a grant says of the task that it is for; None if nothing."""
    control = _CONTROLS.get(grant.task_control)
    if control is None or not grant.task_revision:
        return None
    return TaskHold(task_id, control, grant.task_revision)


class TaskWatch:
    """Tells a gate what an aggregator says.

    Attributes:
        problem: Why no news come; empty if they do, or the aggregator has no tasks.
    """

    def __init__(
        self,
        target: Target,
        gate: TaskGate,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take where the aggregator is; nothing is dialled before `run`.

        Args:
            target: Whom to ask.
            gate: Whom to tell.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
        """
        self.problem = ""
        self._target = target
        self._gate = gate
        self._sleep = sleep
        self._next_pause = GrowingPause(jitter, longest_s=LONGEST_PAUSE_S)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            pause_s = await self._stream()
            await self._sleep(pause_s or self._next_pause.next_s())

    async def _stream(self) -> float | None:
        """Follow one stream to its end; say how long to wait if that is known."""
        try:
            async with self._target.aio_channel() as channel:
                await self._follow(pb_grpc.TaskServiceStub(channel))
            self._failed("it ended the stream")
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                self.problem = ""
                return OLD_VERSION_PAUSE_S
            self._failed(explained(error, _MEANINGS))
        except TimeoutError:
            self._failed("it fell silent")
        except (OSError, RemoraError) as error:
            self._failed(str(error))
        finally:
            self._gate.is_watched = False
        return None

    async def _follow(self, stub: "pb_grpc.TaskServiceAsyncStub") -> None:
        call = stub.Watch(pb.WatchTasksRequest(controls_only=True))
        first: dict[str, TaskHold] | None = {}
        silent_s = FIRST_ANSWER_S
        try:
            while True:
                async with asyncio.timeout(silent_s):
                    event = await call.read()
                if not isinstance(event, pb.WatchTasksResponse):
                    return
                if event.HasField("ready"):
                    self._gate.take_all(first or {})
                    first = None
                    silent_s = _silence(event.ready.beat_s)
                    self._stands()
                elif (hold := hold_of(event.control)) is not None and event.HasField("control"):
                    self._take(hold, first)
        finally:
            call.cancel()

    def _take(self, hold: TaskHold, first: dict[str, TaskHold] | None) -> None:
        if first is None:
            self._gate.take(hold)
        elif len(first) < MAX_TASKS or hold.task_id in first:
            first[hold.task_id] = hold

    def _stands(self) -> None:
        if self.problem:
            logger.warning("the aggregator at %s tells of tasks again", self._target.address)
        self.problem = ""
        self._gate.is_watched = True
        self._next_pause.begin_anew()

    def _failed(self, why: str) -> None:
        problem = f"the aggregator at {self._target.address} tells nothing of tasks: {why}"
        if problem != self.problem:
            logger.warning("%s; those that are paused or cancelled stay so", problem)
        self.problem = problem


def _silence(beat_s: float) -> float:
    """Say after how long without a beat a stream is dead."""
    return min(max(_SILENT_BEATS * beat_s, 1.0), _MOST_SILENT_S)
