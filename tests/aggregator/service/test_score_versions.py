"""Versions over the wire: proposed, judged, put in force, gone back from, made anew each day."""

import asyncio
import json
import logging
import random
from datetime import time
from functools import partial

import grpc
import pytest
from tests.aggregator.service.scored import arms_of, scoring
from tests.aggregator.store.conftest import (  # noqa: F401 - fixtures
    _postgres,
    _template,
    new_database,
    postgres,
    postgres_dsn,
)

from remora.clock import SystemClock
from remora.testing.clock import ManualClock
from remora_aggregator.service.score_insights import InsightWatch
from remora_aggregator.service.score_refit import NOTE, DailyRefit
from remora_aggregator.store.postgres.backend import opened as postgres_opened
from remora_aggregator.store.sqlite.backend import opened
from remora_proto.v1 import scores_pb2 as pb

CODE = grpc.StatusCode
KEYS = ("openai/a", "openai/b")
DAY_S = 86_400


@pytest.fixture
async def scored(tmp_path):
    store = partial(opened, tmp_path / "records.db")
    async with scoring(store, tmp_path, ManualClock()) as running:
        yield running


async def decide(scored, rates, calls=600, seed=1, namespace="team-a"):
    """Have calls go evenly to two arms of these rates, in the order of time, and be judged."""
    chance = random.Random(seed)  # noqa: S311 - for tests
    some = []
    for number in range(calls):
        model = chance.choice("ab")
        good = chance.random() < rates[model]
        age_s = calls - number
        some.append(scored.trial(model, good, age_s=age_s, propensity=0.5, arms=KEYS))
    await scored.tried(*some, namespace=namespace)


def propose(scored, **fields):
    return scored("Propose", pb.ProposeVersionRequest(**fields))


async def test_the_first_version_is_accepted_and_put_in_force_only_if_that_is_asked_for(scored):
    assert (await scored.refused("Propose", pb.ProposeVersionRequest()))[0] is (
        CODE.FAILED_PRECONDITION
    )
    await scored.known("a", 5)
    made = await propose(scored, note="by hand")
    assert (made.number, made.verdict, made.in_force, made.note) == (
        1,
        "accepted",
        False,
        "by hand",
    )
    assert "first version" in made.reason
    assert (await propose(scored, activate=True)).in_force
    listed = (await scored("Versions", pb.VersionsRequest())).versions
    assert [(one.number, one.in_force) for one in listed] == [(2, True), (1, False)]
    assert listed[0].digest == listed[1].digest == made.digest


@pytest.mark.parametrize(
    ("before", "since", "advantage"),
    [
        ({"a": 0.9, "b": 0.5}, {"a": 0.5, "b": 0.9}, 0.1),
        ({"a": 0.6, "b": 0.6}, {"a": 0.6, "b": 0.6}, -0.02),
    ],
    ids=["another arm is better by now", "nothing changed"],
)
async def test_a_version_that_loses_nothing_is_accepted(scored, before, since, advantage):
    await decide(scored, before)
    await propose(scored, activate=True)
    scored.clock.advance(DAY_S)
    await decide(scored, since, 4_000, seed=2)
    made = await propose(scored, activate=True)
    assert (made.number, made.verdict, made.in_force) == (2, "accepted", True), made.reason
    assert made.advantage_low <= made.advantage <= made.advantage_high
    assert made.advantage > advantage


async def test_a_version_is_undecided_while_little_was_decided_since(scored):
    await decide(scored, {"a": 0.9, "b": 0.5})
    await propose(scored, activate=True)
    nothing = await propose(scored, activate=True)
    assert (nothing.verdict, nothing.in_force) == ("undecided", False)
    assert "no decision was judged since version 1" in nothing.reason
    scored.clock.advance(DAY_S)
    await decide(scored, {"a": 0.9, "b": 0.5}, 30)
    made = await propose(scored, activate=True)
    assert (made.verdict, made.in_force, made.HasField("advantage")) == ("undecided", False, True)


async def test_a_version_that_would_have_lost_is_refused(scored):
    """Settings have it choose at random, where the old one knows better."""
    await decide(scored, {"a": 0.9, "b": 0.5})
    await propose(scored, activate=True)
    scored.clock.advance(DAY_S)
    await decide(scored, {"a": 0.9, "b": 0.5}, 2_000, seed=2)
    random_ones = pb.LearningSettings(exploration_rate=1.0)
    await scored("Settings", pb.SettingsRequest(goal="write", put=random_ones))
    made = await propose(scored, activate=True)
    assert (made.verdict, made.in_force) == ("refused", False), made.reason
    assert made.advantage_high < 0


async def test_going_back_and_on_again(scored):
    await scored.known("a", 5)
    await propose(scored, activate=True)
    await scored.known("a", 5)
    await propose(scored)
    await scored("Activate", pb.ActivateVersionRequest(number=2))
    back = await scored("RollBack", pb.RollBackRequest())
    assert (back.number, back.in_force) == (1, True)
    code, text = await scored.refused("RollBack", pb.RollBackRequest())
    assert (code, text) == (
        CODE.FAILED_PRECONDITION, "no router version was in force before this one",
    )  # fmt: skip
    assert (await scored.refused("Activate", pb.ActivateVersionRequest(number=7)))[0] is (
        CODE.NOT_FOUND
    )


async def test_a_version_goes_on_from_the_one_that_was_gone_back_to(scored):
    await scored.known("a", 5)
    await propose(scored, activate=True)
    await scored.known("a", 0, 50)
    await propose(scored)
    await scored("Activate", pb.ActivateVersionRequest(number=2))
    scored.clock.advance(3_600)
    await scored("RollBack", pb.RollBackRequest())
    scored.clock.advance(3_600)
    await scored.known("a", 3)
    made = await propose(scored)
    [version] = (await scored("Versions", pb.VersionsRequest(number=made.number))).versions
    assert arms_of(version.goals[0]) == {"a": (9, 1)}


async def test_two_who_propose_at_once_make_two_versions(scored):
    await scored.known("a", 5)
    made = await asyncio.gather(*(propose(scored, activate=True) for _ in range(4)))
    assert sorted(one.number for one in made) == [1, 2, 3, 4]
    listed = (await scored("Versions", pb.VersionsRequest())).versions
    assert sum(one.in_force for one in listed) == 1
    # Whoever came second was judged against the first, on no calls.
    assert sorted(one.verdict for one in made) == ["accepted", *["undecided"] * 3]


def refitting(scored, at=time(3)):
    return DailyRefit(scored.scores, scored.learning.versions, scored.clock, at)


async def test_versions_are_made_anew_once_a_day_where_something_was_learned(scored):
    refit = refitting(scored)
    assert await refit.look() == 0
    await decide(scored, {"a": 0.9, "b": 0.5})
    await scored.known("a", 5, namespace="team-b")
    await scored.tried(scored.trial("a"), namespace="team-c")
    scored.clock.advance(DAY_S)
    assert await refit.look() == 2
    assert await refit.look() == 0
    [version] = (await scored("Versions", pb.VersionsRequest())).versions
    assert (version.note, version.in_force) == (NOTE, True)
    scored.clock.advance(DAY_S)
    assert await refit.look() == 0, "nothing was learned since"
    await decide(scored, {"a": 0.9, "b": 0.5}, 3_000, seed=2)
    scored.clock.advance(DAY_S)
    assert await refit.look() == 1
    versions = (await scored("Versions", pb.VersionsRequest())).versions
    assert [(one.number, one.in_force) for one in versions] == [(2, True), (1, False)]


async def test_a_refit_that_was_missed_is_made_up_for(scored):
    await scored.known("a", 5)
    scored.clock.advance(10 * DAY_S)
    assert await refitting(scored).look() == 1
    assert await refitting(scored).look() == 0, "another one has done it"


async def test_without_a_time_nothing_is_made_anew(scored):
    await scored.known("a", 5)
    refit = refitting(scored, None)
    await refit.run()
    assert await refit.look() == 0


async def test_replicas_that_refit_at_once_make_one_version(postgres_dsn, tmp_path):  # noqa: F811 - a fixture
    store = partial(postgres_opened, postgres_dsn)
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    async with (
        scoring(store, folders[0], SystemClock()) as one,
        scoring(store, folders[1], SystemClock()) as other,
    ):
        await one.known("a", 5, age_s=2 * DAY_S)
        made = await asyncio.gather(refitting(one).look(), refitting(other).look())
        assert sum(made) == 1
        assert len((await other("Versions", pb.VersionsRequest())).versions) == 1


async def test_it_is_advised_to_go_back_where_answers_got_worse(scored):
    settings = pb.LearningSettings(rollback_threshold=0.3, false_alarm=0.0)
    await scored("Settings", pb.SettingsRequest(goal="*", put=settings))
    await scored.known("a", 50)
    await propose(scored, activate=True)
    scored.clock.advance(3_600)
    await propose(scored)
    await scored("Activate", pb.ActivateVersionRequest(number=2))
    scored.clock.advance(3_600)

    async def advice():
        [goal] = (await scored("Scores", pb.ScoresRequest(goal="write"))).goals
        return [one for one in goal.insights if "go back" in one.advice]

    await scored.known("a", 15, 4)
    assert await advice() == []
    await scored.known("a", 0, 30)
    [told] = await advice()
    assert (told.kind, told.arm) == ("drift_detected", "")
    assert (told.evidence["version"], told.evidence["version_before"]) == ("2", "1")
    await scored("RollBack", pb.RollBackRequest())
    assert await advice() == []


async def test_insights_are_logged_and_counted_when_they_appear_and_go(scored, caplog):
    caplog.set_level(logging.INFO, "remora_aggregator.service.score_insights")
    watch = InsightWatch(scored.scores, scored.learning.reports)

    def logged():
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        told = [json.loads(line.removeprefix("insight ")) for line in lines]
        return [(one["event"], one["kind"], one["goal"], one["arm"]) for one in told]

    await scored.known("b", 1, goal="earlier")
    await watch.look()
    assert (logged(), watch.standing()) == ([], {"low_confidence": 1})
    await scored.known("a", 5)
    await watch.look()
    assert logged() == [("appeared", "low_confidence", "write", "openai/a")]
    await watch.look()
    assert logged() == []
    await scored.known("a", 20)
    await watch.look()
    assert logged() == [
        ("appeared", "goal_healthy", "write", ""),
        ("went", "low_confidence", "write", "openai/a"),
    ]
    assert watch.appeared == {"low_confidence": 1, "goal_healthy": 1}
    assert watch.standing() == {"goal_healthy": 1, "low_confidence": 1}
