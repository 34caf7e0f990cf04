"""Watching scores: all at first, then what changed, to whoever may learn of it."""

import asyncio
from functools import partial

import grpc
import pytest
from tests.aggregator.service.scored import WITHIN_S, arms_of, scoring
from tests.aggregator.store.conftest import (  # noqa: F401 - fixtures
    _postgres,
    _template,
    new_database,
    new_store,
    open_store,
    postgres,
    postgres_dsn,
)

from remora.clock import SystemClock
from remora.testing.clock import ManualClock
from remora_aggregator.store.postgres.backend import opened as postgres_opened
from remora_aggregator.store.sqlite.backend import opened
from remora_proto.v1 import scores_pb2 as pb

Wanted = pb.WatchScoresRequest.Wanted


@pytest.fixture
async def scored(tmp_path):
    store = partial(opened, tmp_path / "records.db")
    async with scoring(store, tmp_path, ManualClock()) as running:
        yield running


async def test_all_that_is_wanted_comes_first_and_then_that_it_is_all(scored):
    await scored.known("a", 5)
    await scored.known("b", 3, goal="read")
    async with scored.watch("write", "never") as watch:
        found = await watch.first()
    assert {goal: arms_of(scores) for goal, scores in found.items()} == {
        "write": {"a": (6, 1)},
        "never": {},
    }
    assert len(found["write"].digest) == 64
    assert found["write"].version == 0
    assert found["write"].made_unix_nano == scored.clock.now_unix_ns()


async def test_all_goals_of_a_namespace_are_had_by_naming_none(scored):
    settings = pb.LearningSettings(exploration_rate=0.5)
    for goal in ("one", "two"):
        await scored.known("a", 1, goal=goal)
    await scored.known("a", 1, goal="theirs", namespace="team-b")
    wanted = Wanted(goal="two", settings=settings), Wanted()
    async with scored.watch(*wanted) as watch:
        found = await watch.first()
        assert sorted(found) == ["one", "two"]
        rates = [found[goal].settings.exploration_rate for goal in ("one", "two")]
        assert rates == [0.1, 0.5]
        await scored.known("a", 1, goal="three")
        assert (await watch.until(lambda scores: True)).goal == "three"


async def test_a_signal_is_heard_of(scored):
    [trial] = await scored.tried(scored.trial("a"))
    async with scored.watch("write") as watch:
        assert arms_of((await watch.first())["write"]) == {"a": (1, 1)}
        await scored.signal(trial.call_id, 1.0)
        heard = await watch.until(lambda scores: True)
        assert arms_of(heard) == {"a": (2, 1)}
        scored.clock.advance(1)
        await scored.signal(trial.call_id, 0.0)
        assert arms_of(await watch.until(lambda scores: True)) == {"a": (1, 2)}


async def test_a_workload_has_its_own_scores(scored):
    await scored.known("a", 0, 40, workload="v")
    async with (
        scored.watch("write", workload="v") as own,
        scored.watch("write", workload="w") as new,
    ):
        mine, others = (await own.first())["write"], (await new.first())["write"]
    assert arms_of(mine) == {"a": (1, 41)}
    assert arms_of(others) == {"a": (1, 11)}


async def test_who_reads_slowly_gets_the_latest_and_not_all(scored):
    """Many changes while nobody reads are one or two messages, not one each."""
    async with scored.watch("write") as watch:
        await watch.first()
        for number in range(30):
            await scored.known(f"m{number}", 1)
        number = 0
        while True:
            number += 1
            scores = await watch.until(lambda scores: True)
            if len(scores.arms) == 30:
                break
        assert number < 10


async def test_the_same_scores_are_made_once_for_all_who_want_them(scored):
    await scored.known("a", 1)
    before = scored.learning.making.made
    async with (
        scored.watch("write", workload="w") as one,
        scored.watch("write", workload="w") as other,
    ):
        await one.first()
        await other.first()
        assert scored.learning.making.made == before + 1
        assert scored.learning.making.feed.watch_count == 2
    async with asyncio.timeout(WITHIN_S):
        while scored.learning.making.feed.watch_count:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_a_watch_is_known_to_be_alive(tmp_path):
    store = partial(opened, tmp_path / "records.db")
    async with (
        scoring(store, tmp_path, ManualClock(), beat_s=0.05) as scored,
        scored.watch("write") as watch,
    ):
        await watch.first()
        beat = await watch.message()
    assert (beat.ready, beat.beat_s, beat.HasField("scores")) == (True, 0.05, False)


async def test_time_alone_changes_scores(tmp_path):
    clock = ManualClock()
    store = partial(opened, tmp_path / "records.db")
    async with scoring(store, tmp_path, clock, beat_s=0.05, refresh_s=0.05) as scored:
        await scored.known("a", 50)
        async with scored.watch("write") as watch:
            assert not (await watch.first())["write"].arms[0].is_stale
            clock.advance(8 * 86_400)
            stale = await watch.until(lambda scores: True)
    assert stale.arms[0].is_stale
    assert stale.arms[0].posterior.good < 21


async def test_namespaces_learn_from_each_other_where_both_say_so(scored):
    await scored.known("a", 100, namespace="team-b")
    async with scored.watch("write", across_namespaces=True) as watch:
        assert arms_of((await watch.first())["write"]) == {}
        assert await scored.scores.sharing() == {"team-a"}
        async with scored.watch("write", who="neighbour", across_namespaces=True) as theirs:
            await theirs.first()
            heard = await watch.until(lambda scores: scores.arms)
            assert arms_of(heard) == {"a": (11, 1)}
        async with scored.watch("write", who="neighbour"):
            heard = await watch.until(lambda scores: not scores.arms)
    assert await scored.scores.sharing() == {"team-a"}


async def test_who_only_reads_shares_nothing(scored):
    watch = scored.stub.Watch(
        pb.WatchScoresRequest(across_namespaces=True), metadata=[("name", "neighbour member")]
    )
    assert (await watch.read()).ready
    watch.cancel()
    assert await scored.scores.sharing() == {"team-b"}
    reader = scored.stub.Watch(
        pb.WatchScoresRequest(across_namespaces=True), metadata=[("name", "reader")]
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reader.read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await scored.scores.sharing() == {"team-b"}


async def test_a_gated_watch_hears_of_versions_alone(scored):
    async with scored.watch(Wanted(goal="write", gated=True)) as watch:
        first = (await watch.first())["write"]
        assert (arms_of(first), first.version) == ({}, 0)
        await scored.known("a", 5)
        await scored("Propose", pb.ProposeVersionRequest(activate=True))
        gated = await watch.until(lambda scores: True)
        assert (arms_of(gated), gated.version) == ({"a": (6, 1)}, 1)
        await scored.known("a", 0, 5)
        await scored("Propose", pb.ProposeVersionRequest())
        await scored("Activate", pb.ActivateVersionRequest(number=2))
        assert arms_of(await watch.until(lambda scores: True)) == {"a": (6, 6)}
        await scored("RollBack", pb.RollBackRequest())
        back = await watch.until(lambda scores: True)
        assert (arms_of(back), back.version, back.digest) == ({"a": (6, 1)}, 1, gated.digest)


async def test_after_going_back_only_evidence_since_counts(scored):
    await scored.known("a", 5)
    await scored("Propose", pb.ProposeVersionRequest(activate=True))
    await scored.known("a", 0, 50)
    async with scored.watch("write") as watch:
        assert arms_of((await watch.first())["write"]) == {"a": (6, 51)}
        await scored("Propose", pb.ProposeVersionRequest())
        await scored("Activate", pb.ActivateVersionRequest(number=2))
        scored.clock.advance(3_600)
        await scored("RollBack", pb.RollBackRequest())
        back = await watch.until(lambda scores: scores.arms[0].posterior.bad < 50)
        assert (arms_of(back), back.version) == ({"a": (6, 1)}, 1)
        scored.clock.advance(3_600)
        await scored.known("a", 3)
        assert arms_of(await watch.until(lambda scores: True)) == {"a": (9, 1)}
        await scored("Activate", pb.ActivateVersionRequest(number=2))
        on = await watch.until(lambda scores: scores.version == 2)
        assert arms_of(on) == {"a": (9, 51)}


@pytest.mark.parametrize(
    "request_",
    [
        pb.WatchScoresRequest(wanted=[Wanted(goal="a\nb")]),
        pb.WatchScoresRequest(wanted=[Wanted(goal="g", settings=pb.LearningSettings(band=3))]),
        pb.WatchScoresRequest(wanted=[Wanted(goal=str(number)) for number in range(1_001)]),
        pb.WatchScoresRequest(workload="w" * 300),
    ],
    ids=["goal", "settings", "too many", "workload"],
)
async def test_a_watch_of_what_can_not_be_is_refused(scored, request_):
    watch = scored.stub.Watch(request_, metadata=[("name", "pod")])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await watch.read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_one_replica_takes_another_tells(postgres_dsn, tmp_path):  # noqa: F811 - a fixture
    """Signals, versions, settings and who shares, from one aggregator's caller to another's."""
    store = partial(postgres_opened, postgres_dsn)
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    async with (
        scoring(store, folders[0], SystemClock()) as one,
        scoring(store, folders[1], SystemClock()) as other,
        other.watch("write", Wanted(goal="read", gated=True)) as watch,
    ):
        await watch.first()
        [trial] = await one.tried(one.trial("a"))
        await one.signal(trial.call_id, 1.0)
        await watch.until(lambda scores: arms_of(scores) == {"a": (2, 1)})
        await one.known("b", 5, goal="read")
        await one("Propose", pb.ProposeVersionRequest(activate=True))
        await watch.until(lambda scores: scores.goal == "read" and scores.version == 1)
        put = pb.LearningSettings(exploration_rate=0.4)
        await one("Settings", pb.SettingsRequest(goal="*", put=put))
        heard = await watch.until(lambda scores: scores.settings.exploration_rate == 0.4)
        assert heard.goal in ("write", "read")
        await one.known("a", 50, namespace="team-b")
        async with (
            one.watch(who="neighbour", across_namespaces=True),
            other.watch("write", across_namespaces=True) as sharing,
        ):
            await sharing.until(lambda scores: arms_of(scores) == {"a": (12, 1)})
