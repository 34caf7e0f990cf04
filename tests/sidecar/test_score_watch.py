"""The watch over scores, against servers that say what a test wants, over real gRPC."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import pytest

from remora.learning import Arm, ArmScore, Beta, GoalScores
from remora.policy.routing import Route, Router
from remora.testing.score_server import ScoreServer
from remora_proto.v1 import scores_pb2 as pb
from remora_proto.v1 import scores_pb2_grpc as pb_grpc
from remora_sidecar.policy.score_book import ScoreBook
from remora_sidecar.score_watch import LONGEST_PAUSE_S, OLD_VERSION_PAUSE_S, ScoreWatch


def routes(*goals, **more):
    return [
        Route(
            name=f"r{number}",
            router=Router.model_validate(
                {"policy": "learned", "candidates": [{"model": "m"}], "goal": goal, **more}
            ),
        )
        for number, goal in enumerate(goals)
    ]


def scores(goal, good=1.0):
    return GoalScores(goal, (ArmScore(Arm("openai", "m"), Beta(good, 1.0)),))


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
        self.book = ScoreBook()
        self.pauses = []
        self.watch = ScoreWatch(
            target, self.book, workload="deployment/web", sleep=self._sleep, jitter=lambda: 1.0
        )

    async def _sleep(self, seconds):
        self.pauses.append(seconds)
        await asyncio.sleep(0.002)

    def want(self, *goals, across_namespaces=False, **more):
        self.book.apply(routes(*goals, **more), across_namespaces=across_namespaces)

    def mean(self, goal):
        known = self.book.get(goal)
        return None if known is None else known.scores.arms[0].posterior.good


@pytest.fixture
def target(tmp_path):
    return SocketTarget(f"unix:{tmp_path}/aggregator.sock")


@pytest.fixture
def server():
    return ScoreServer()


@asynccontextmanager
async def serving(servicer, target):
    running = grpc.aio.server()
    if servicer is not None:
        pb_grpc.add_ScoreServiceServicer_to_server(servicer, running)
    running.add_insecure_port(target.address)
    await running.start()
    try:
        yield
    finally:
        await running.stop(0)


@pytest.fixture
async def watching(target):
    watching = Watching(target)
    task = asyncio.get_running_loop().create_task(watching.watch.run())
    yield watching
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.001)


async def test_what_is_known_at_first_and_what_changes_then_reaches_the_book(
    watching, server, target
):
    await server.put(scores("a", 2))
    digest = await server.put(scores("b", 3), made_unix_ns=77)
    await server.put(scores("unwanted"))
    watching.want("a", "b")
    async with serving(server, target):
        await until(lambda: watching.watch.is_watched)
        assert (watching.mean("a"), watching.mean("b"), len(watching.book)) == (2, 3, 2)
        assert watching.book.get("b").digest == digest
        assert watching.book.get("b").made_unix_ns == 77
        await server.put(scores("a", 9))
        await until(lambda: watching.mean("a") == 9)
    assert watching.mean("b") == 3


async def test_it_says_what_policy_goes_by(watching, server, target):
    watching.want("a", explorationRate=0, staleness="1h", updates="gated", across_namespaces=True)
    async with serving(server, target):
        await until(lambda: server.requests)
    (request,) = server.requests[:1]
    assert (request.workload, request.across_namespaces) == ("deployment/web", True)
    (wanted,) = request.wanted
    assert (wanted.goal, wanted.gated) == ("a", True)
    assert wanted.settings == pb.LearningSettings(exploration_rate=0, staleness_ms=3_600_000)


async def test_where_policy_says_nothing_of_settings_none_are_told(watching, server, target):
    watching.want("a")
    async with serving(server, target):
        await until(lambda: server.requests)
    assert not server.requests[0].wanted[0].HasField("settings")


async def test_nobody_is_asked_while_nothing_is_wanted(watching, server, target):
    async with serving(server, target):
        watching.want("a")
        await until(lambda: watching.watch.is_watched)
        watching.want()
        await until(lambda: not server.watchers)
        assert not watching.watch.is_watched
        assert watching.watch.problem == ""
        asked = len(server.requests)
        watching.want("b")
        await until(lambda: watching.watch.is_watched)
        assert len(server.requests) == asked + 1


async def test_a_changed_policy_is_asked_for_at_once(watching, server, target):
    await server.put(scores("a"))
    await server.put(scores("b"))
    async with serving(server, target):
        watching.want("a")
        await until(lambda: watching.watch.is_watched)
        assert watching.book.get("b") is None
        watching.want("b")
        await until(lambda: watching.book.get("b") is not None)
        assert watching.book.get("a") is None
        assert watching.pauses == []
        assert watching.watch.problem == ""


async def test_policies_that_change_time_and_again_leave_one_stream(watching, server, target):
    async with serving(server, target):
        for number in range(20):
            watching.want("a", minSamples=number)
            await asyncio.sleep(0)
        await until(lambda: watching.watch.is_watched)
        await until(lambda: server.watchers == 1)
    assert server.requests[-1].wanted[0].settings.min_samples == 19


async def test_what_was_told_last_stays_while_nobody_is_there(watching, server, target):
    await server.put(scores("a", 5))
    watching.want("a")
    async with serving(server, target):
        await until(lambda: watching.watch.is_watched)
    await until(lambda: watching.watch.problem)
    assert target.address in watching.watch.problem
    assert not watching.watch.is_watched
    assert watching.mean("a") == 5
    await server.put(scores("a", 6))
    async with serving(server, target):
        await until(lambda: watching.mean("a") == 6)
        await until(lambda: not watching.watch.problem)


async def test_what_is_gone_when_it_comes_back_is_forgotten(watching, server, target):
    await server.put(scores("a"))
    watching.want("a", "b")
    async with serving(server, target):
        await until(lambda: watching.book.get("a"))
    after = ScoreServer()
    await after.put(scores("b"))
    async with serving(after, target):
        await until(lambda: watching.book.get("b"))
        assert watching.book.get("a") is None


async def test_an_aggregator_of_an_older_version_is_no_problem(watching, target):
    watching.want("a")
    await until(lambda: watching.watch.problem)
    async with serving(None, target):
        await until(lambda: OLD_VERSION_PAUSE_S in watching.pauses)
        assert watching.watch.problem == ""


async def test_a_refusal_is_said_and_asked_again_after_growing_pauses(watching, server, target):
    server.refuses_with = grpc.StatusCode.PERMISSION_DENIED
    watching.want("a")
    async with serving(server, target):
        await until(lambda: "may not ask it for scores" in watching.watch.problem)
        await until(lambda: len(watching.pauses) > 6)
    assert max(watching.pauses) <= LONGEST_PAUSE_S
    assert watching.pauses[0] < watching.pauses[4]


async def test_scores_that_can_not_be_read_are_said_and_those_before_stay(watching, server, target):
    await server.put(scores("a", 4))
    watching.want("a", "b")
    async with serving(server, target):
        await until(lambda: watching.watch.is_watched)
        await server.put_message(pb.GoalScores(goal="a", arms=[pb.ArmScore()]))
        await until(lambda: "'a' can't be read" in watching.watch.problem)
        await server.put(scores("b", 7))
        await until(lambda: watching.mean("b") == 7)
        assert watching.mean("a") == 4


async def test_a_stream_that_falls_silent_is_opened_anew(watching, target):
    class Silent(pb_grpc.ScoreServiceServicer):
        asked = 0

        async def Watch(self, request, context):  # noqa: N802 - gRPC's name
            self.asked += 1
            yield pb.WatchScoresResponse(ready=True, beat_s=0.01)
            await asyncio.Event().wait()

    silent = Silent()
    watching.want("a")
    async with serving(silent, target):
        await until(lambda: silent.asked > 1)
        assert "fell silent" in watching.watch.problem or watching.watch.is_watched
