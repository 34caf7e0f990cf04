"""ScoreService over a Unix socket and a real store: what is told, and who may change it."""

import json
from functools import partial

import grpc
import pytest
from tests.aggregator.service.scored import arms_of, scoring

from remora.testing.clock import ManualClock
from remora_aggregator.store.sqlite.backend import opened
from remora_proto.v1 import scores_pb2 as pb

CODE = grpc.StatusCode
DAY_S = 86_400
NS = 10**18


@pytest.fixture
async def scored(tmp_path):
    open_store = partial(opened, tmp_path / "records.db")
    async with scoring(open_store, tmp_path, ManualClock()) as running:
        yield running


async def test_goals_are_reported_with_their_arms_and_intervals(scored):
    await scored.known("good", 45, 5, cost_usd=None)
    await scored.known("bad", 10, 40)
    await scored.known("other", 1, goal="read")
    [goal] = (await scored("Scores", pb.ScoresRequest(goal="write"))).goals

    assert (goal.goal, goal.status, goal.trend) == ("write", "degraded", "stable")
    assert goal.rate == pytest.approx(0.55)
    assert goal.low < 0.55 < goal.high
    bad, good = goal.arms
    assert (bad.score.arm.model, good.score.arm.model) == ("bad", "good")
    assert (good.rate, good.calls, good.evidence.good) == (pytest.approx(0.9), 50, 45)
    assert 0.78 < good.low < 0.9 < good.high < 0.96
    assert not good.score.HasField("cost_usd")
    kinds = {(insight.kind, insight.arm) for insight in goal.insights}
    assert kinds == {("path_underperforming", "openai/bad")}
    assert goal.insights[0].evidence["best"] == "openai/good"
    assert goal.last_unix_nano == (scored.now_ms - 60_000) * 1_000_000


async def test_all_goals_of_a_namespace_are_reported_the_newest_first(scored):
    await scored.known("a", 1, goal="old", age_s=3_600)
    await scored.known("a", 1, goal="new", age_s=60)
    await scored.known("a", 1, goal="theirs", namespace="team-b")
    found = (await scored("Scores", pb.ScoresRequest())).goals
    assert [goal.goal for goal in found] == ["new", "old"]


async def test_only_what_happened_in_the_window_is_reported(scored):
    await scored.known("a", 30, age_s=3 * DAY_S)
    await scored.known("a", 0, 30, age_s=60)
    [goal] = (await scored("Scores", pb.ScoresRequest(goal="write", window_s=DAY_S))).goals
    assert goal.rate == 0
    [goal] = (await scored("Scores", pb.ScoresRequest(goal="write"))).goals
    assert goal.rate == pytest.approx(0.5)
    assert goal.arms[0].score.HasField("shift")
    assert "drift_detected" in {insight.kind for insight in goal.insights}
    assert goal.trend == "worsening"


async def test_failures_are_counted_by_category(scored):
    failed = [scored.trial("a", 0, failure_category="timeout") for _ in range(5)]
    await scored.tried(*failed, scored.trial("a", 0, failure_category="refusal"))
    [goal] = (await scored("Scores", pb.ScoresRequest(goal="write"))).goals
    assert [(mode.category, mode.calls) for mode in goal.failures] == [
        ("timeout", 5), ("refusal", 1),
    ]  # fmt: skip
    assert "failure_mode_dominant" in {insight.kind for insight in goal.insights}


async def test_a_workload_is_reported_by_itself(scored):
    await scored.known("a", 10, workload="w")
    await scored.known("b", 10, workload="v")
    [goal] = (await scored("Scores", pb.ScoresRequest(goal="write", workload="v"))).goals
    assert [arm.score.arm.model for arm in goal.arms] == ["b"]


async def test_a_goal_that_nobody_knows_has_no_arms(scored):
    [goal] = (await scored("Scores", pb.ScoresRequest(goal="never"))).goals
    assert (goal.status, list(goal.arms), goal.HasField("rate")) == (
        "insufficient_data", [], False,
    )  # fmt: skip


async def test_a_timeline_tells_when_it_was(scored):
    await scored.known("a", 4, age_s=2 * DAY_S)
    await scored.known("a", 1, 3, age_s=60)
    found = (await scored("Timeline", pb.TimelineRequest(goal="write", points=14))).points
    assert [(point.evidence.good, point.evidence.bad) for point in found] == [(4, 0), (1, 3)]
    assert found[1].rate == 0.25
    assert found[0].end_unix_nano <= found[1].start_unix_nano
    newest = pb.TimelineRequest(goal="write", since_unix_nano=(scored.now_ms - 3_600_000) * 10**6)
    assert len((await scored("Timeline", newest)).points) == 1


async def test_decisions_of_a_known_chance_are_listed_once_they_are_judged(scored):
    decided = {"propensity": 0.25, "arms": ("openai/a", "openai/b"), "rule": "chat"}
    judged, _, _ = await scored.tried(
        scored.trial("a", 1.0, **decided, requested_model="auto", latency_ms=12.5),
        scored.trial("a", None, **decided),
        scored.trial("a", 1.0),
    )
    await scored.tried(scored.trial("b", 0.5, goal="read", **decided))
    pages = [page async for page in scored.stub.Log(
        pb.LogRequest(goal="write"), metadata=[("name", "member")],
    )]  # fmt: skip
    [call] = [call for page in pages for call in page.calls]
    assert (call.call_id, call.arm, list(call.arms)) == (
        judged.call_id, "openai/a", ["openai/a", "openai/b"],
    )  # fmt: skip
    assert (call.propensity, call.reward, call.confidence) == (0.25, 1.0, 1.0)
    assert (call.rule, call.requested_model, call.latency_ms) == ("chat", "auto", 12.5)
    assert call.cost_usd == ""


async def test_settings_of_a_goal_go_before_those_of_all_goals(scored):
    async def put(goal, **settings):
        request = pb.SettingsRequest(goal=goal, put=pb.LearningSettings(**settings))
        return (await scored("Settings", request)).settings

    async def told(goal):
        return (await scored("Settings", pb.SettingsRequest(goal=goal))).settings

    assert (await told("write")).exploration_rate == 0.1
    assert (await put("*", exploration_rate=0.3)).exploration_rate == 0.3
    assert (await told("write")).exploration_rate == 0.3
    assert (await put("write", min_samples=5)).min_samples == 5
    assert ((await told("write")).exploration_rate, (await told("read")).exploration_rate) == (
        0.1, 0.3,
    )  # fmt: skip
    await scored.known("a", 6)
    [goal] = (await scored("Scores", pb.ScoresRequest(goal="write"))).goals
    assert (goal.settings.min_samples, goal.status) == (5, "healthy")


BAD = {
    "no goal to put": ("Settings", pb.SettingsRequest(put=pb.LearningSettings())),
    "a setting out of range": (
        "Settings", pb.SettingsRequest(goal="g", put=pb.LearningSettings(band=2)),
    ),
    "a goal that is none": ("Scores", pb.ScoresRequest(goal="a\nb")),
    "a timeline of nothing": ("Timeline", pb.TimelineRequest()),
    "a span the wrong way": (
        "Timeline", pb.TimelineRequest(goal="g", since_unix_nano=2 * NS, until_unix_nano=NS),
    ),
    "benchmarks the wrong way": (
        "Benchmarks", pb.BenchmarksRequest(since_unix_nano=2 * NS, until_unix_nano=NS),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("method", "request_"), BAD.values(), ids=BAD)
async def test_what_can_not_be_is_refused(scored, method, request_):
    assert (await scored.refused(method, request_))[0] is CODE.INVALID_ARGUMENT


NOT_ALLOWED = {
    "a pod puts no settings": (
        "Settings", pb.SettingsRequest(goal="g", put=pb.LearningSettings()), "pod",
    ),
    "a reader puts no settings": (
        "Settings",
        pb.SettingsRequest(namespace="team-a", goal="g", put=pb.LearningSettings()),
        "reader",
    ),
    "a pod proposes nothing": ("Propose", pb.ProposeVersionRequest(), "pod"),
    "a reader goes not back": ("RollBack", pb.RollBackRequest(namespace="team-a"), "reader"),
    "a pod activates nothing": ("Activate", pb.ActivateVersionRequest(number=1), "pod"),
    "a neighbour does not look": ("Scores", pb.ScoresRequest(namespace="team-a"), "neighbour"),
    "a neighbour proposes nothing here": (
        "Propose", pb.ProposeVersionRequest(namespace="team-a"), "neighbour member",
    ),
    "a neighbour sees no benchmarks": (
        "Benchmarks", pb.BenchmarksRequest(namespace="team-a"), "neighbour",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("method", "request_", "who"), NOT_ALLOWED.values(), ids=NOT_ALLOWED)
async def test_what_callers_may_not_do(scored, method, request_, who):
    await scored.known("a", 5)
    assert (await scored.refused(method, request_, who))[0] is CODE.PERMISSION_DENIED
    assert (await scored.scores.versions("team-a")).history.versions == ()


async def test_everybody_may_ask_for_settings(scored):
    asked = await scored("Settings", pb.SettingsRequest(goal="g"), "pod")
    assert asked.settings.band == 0.05


async def test_an_admin_steers_every_namespace(scored):
    await scored.known("a", 5)
    made = await scored("Propose", pb.ProposeVersionRequest(namespace="team-a"), "admin")
    assert made.number == 1


async def test_differences_tell_what_was_learned_since(scored):
    await scored.known("a", 5)
    await scored("Propose", pb.ProposeVersionRequest(activate=True))
    none = await scored("Diff", pb.DiffVersionsRequest())
    assert list(none.differences) == []
    await scored.known("b", 5, workload="v")
    await scored("Settings", pb.SettingsRequest(goal="write", put=pb.LearningSettings(band=0.1)))
    answer = await scored("Diff", pb.DiffVersionsRequest(old_number=1))
    found = {(one.arm, one.field): (one.before, one.after) for one in answer.differences}
    assert found["", "band"] == ("0.05", "0.1")
    assert found["openai/b", "arm"] == ("", json.dumps(6 / 7))
    code, text = await scored.refused("Diff", pb.DiffVersionsRequest(new_number=9))
    assert (code, text) == (CODE.NOT_FOUND, "there is no router version 9")
    everything = await scored("Diff", pb.DiffVersionsRequest(old_number=1, new_number=1))
    assert list(everything.differences) == []


async def test_what_is_shown_is_arms_and_their_posteriors(scored):
    await scored.known("a", 5)
    await scored("Propose", pb.ProposeVersionRequest(note="by hand"))
    [version] = (await scored("Versions", pb.VersionsRequest(number=1))).versions
    assert arms_of(version.goals[0]) == {"a": (6, 1)}
    assert (version.note, version.in_force, version.verdict) == ("by hand", False, "accepted")
    [listed] = (await scored("Versions", pb.VersionsRequest())).versions
    assert (listed.digest, list(listed.goals)) == (version.digest, [])
