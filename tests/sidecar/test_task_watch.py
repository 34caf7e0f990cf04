"""The watch over tasks, against servers that say what a test wants, over real gRPC."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import pytest

from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc
from remora_sidecar.engine.task_gate import TaskGate
from remora_sidecar.task_watch import LONGEST_PAUSE_S, OLD_VERSION_PAUSE_S, TaskWatch

CANCELLED = pb.TASK_CONTROL_CANCELLED
PAUSED = pb.TASK_CONTROL_PAUSED
OPEN = pb.TASK_CONTROL_OPEN


def said(task_id, control=PAUSED, revision=1, **fields):
    change = pb.TaskControlChange(task_id=task_id, control=control, revision=revision, **fields)
    return pb.WatchTasksResponse(control=change)


def ready(beat_s=30.0):
    return pb.WatchTasksResponse(ready=pb.WatchTasksResponse.Ready(beat_s=beat_s), cursor="1")


class Scripted(pb_grpc.TaskServiceServicer):
    """Says what it is told to; `None` ends the stream, a status aborts it."""

    def __init__(self):  # noqa: D107
        self.says = asyncio.Queue()
        self.requests = []

    def say(self, *events):
        for event in events:
            self.says.put_nowait(event)

    async def Watch(self, request, context):  # noqa: N802 - gRPC's name
        self.requests.append(request)
        while (event := await self.says.get()) is not None:
            if isinstance(event, grpc.StatusCode):
                await context.abort(event, "as told")
            yield event


@dataclass(frozen=True)
class SocketTarget:
    """An aggregator on a Unix socket."""

    address: str

    def aio_channel(self):
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.insecure_channel(self.address, options=options)


class Watching:
    """A watch that runs, and the pauses it asked for."""

    def __init__(self, target):  # noqa: D107
        self.gate = TaskGate()
        self.pauses = []
        self.watch = TaskWatch(target, self.gate, sleep=self._sleep, jitter=lambda: 1.0)

    async def _sleep(self, seconds):
        self.pauses.append(seconds)
        await asyncio.sleep(0.002)

    def refuses(self, task_id):
        return self.gate.refusal(task_id) is not None


@pytest.fixture
def target(tmp_path):
    return SocketTarget(f"unix:{tmp_path}/aggregator.sock")


@pytest.fixture
def servicer():
    return Scripted()


@asynccontextmanager
async def serving(servicer, target):
    server = grpc.aio.server()
    if servicer is not None:
        pb_grpc.add_TaskServiceServicer_to_server(servicer, server)
    server.add_insecure_port(target.address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@pytest.fixture
async def watching(target):
    """A watch that finds nobody at first."""
    watching = Watching(target)
    task = asyncio.get_running_loop().create_task(watching.watch.run())
    await until(lambda: watching.watch.problem)
    yield watching
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.001)


async def test_what_is_held_at_first_and_what_changes_then_reaches_the_gate(
    watching, servicer, target
):
    async with serving(servicer, target):
        servicer.say(said("a"), said("b", CANCELLED), ready())
        await until(lambda: watching.gate.is_watched)
        assert [watching.refuses(task) for task in "abc"] == [True, True, False]

        servicer.say(said("a", OPEN, 2), said("c", PAUSED, 3, by="ann", reason="audit"))
        await until(lambda: watching.refuses("c"))
        assert not watching.refuses("a")
        assert "by ann (audit)" in watching.gate.refusal("c").message
        assert servicer.requests == [pb.WatchTasksRequest(controls_only=True)]
        assert watching.watch.problem == ""


async def test_nothing_is_forgotten_while_the_aggregator_is_away(watching, servicer, target):
    async with serving(servicer, target):
        servicer.say(said("a"), ready())
        await until(lambda: watching.refuses("a"))
    await until(lambda: watching.watch.problem)
    assert watching.refuses("a")
    assert not watching.gate.is_watched

    again = Scripted()
    again.say(said("b"), ready())
    async with serving(again, target):
        await until(lambda: watching.refuses("b"))
        assert not watching.refuses("a")
        assert watching.watch.problem == ""


async def test_a_stream_that_breaks_before_it_stands_changes_nothing(watching, servicer, target):
    async with serving(servicer, target):
        servicer.say(said("a"), ready(), None, said("b"), grpc.StatusCode.INTERNAL)
        await until(lambda: "as told" in watching.watch.problem)

        assert [watching.refuses(task) for task in "ab"] == [True, False]


async def test_an_aggregator_without_tasks_is_no_problem_and_asked_again_later(watching, target):
    async with serving(None, target):
        await until(lambda: not watching.watch.problem)

        assert OLD_VERSION_PAUSE_S in watching.pauses[-2:]
    assert not watching.gate.is_watched


async def test_who_may_not_ask_says_so_once(watching, servicer, target, caplog):
    async with serving(servicer, target):
        servicer.say(*[grpc.StatusCode.PERMISSION_DENIED] * 5)
        await until(lambda: len(servicer.requests) >= 4)

    assert "this sidecar may not ask it for tasks" in watching.watch.problem
    assert len([text for text in caplog.messages if "may not ask" in text]) == 1


async def test_it_is_tried_again_within_seconds_however_often_it_failed(watching, target):
    await until(lambda: len(watching.pauses) > 8)

    assert max(watching.pauses) <= LONGEST_PAUSE_S
    assert watching.pauses[0] < 0.5


async def test_a_stream_without_a_beat_is_taken_for_dead(watching, servicer, target):
    async with serving(servicer, target):
        servicer.say(said("a"), ready(beat_s=0.01))
        await until(lambda: "it fell silent" in watching.watch.problem)

    assert watching.refuses("a")


async def test_beats_keep_a_stream_alive(watching, servicer, target):
    beat = pb.WatchTasksResponse(beat=pb.WatchTasksResponse.Beat(), cursor="1")
    async with serving(servicer, target):
        servicer.say(said("a"), ready(), beat, beat, said("b"))
        await until(lambda: watching.refuses("b"))

    assert watching.refuses("a")


async def test_words_of_newer_aggregators_are_passed_over(watching, servicer, target):
    async with serving(servicer, target):
        servicer.say(ready(), pb.WatchTasksResponse(), said("a", 99), said("b"))
        await until(lambda: watching.refuses("b"))

    assert not watching.refuses("a")


async def test_what_is_held_at_first_is_bounded(watching, servicer, target, monkeypatch):
    monkeypatch.setattr("remora_sidecar.task_watch.MAX_TASKS", 2)
    async with serving(servicer, target):
        servicer.say(said("a"), said("b"), said("c"), said("a", OPEN, 2), ready())
        await until(lambda: watching.gate.is_watched)

    assert [watching.refuses(task) for task in "bc"] == [True, False]
