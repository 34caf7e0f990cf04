"""The clients of scores, synchronous and not, against a service on a real port."""

import inspect
from decimal import Decimal

import pytest
from tests.sdk.client.learning_double import (
    DIGEST,
    NOW_NS,
    arm_report,
    learning_double,
    logged_call,
)

from remora.client.async_scores import AsyncScoreClient
from remora.client.score_requests import Span
from remora.client.scores import ScoreClient
from remora.client.target import AggregatorTarget
from remora.errors import BadRequest, Unavailable
from remora.learning.offpolicy import Estimate
from remora.learning.settings import LearningSettings
from remora.learning.versions import Difference
from remora_proto.v1 import scores_pb2 as pb

SPAN = Span(since_unix_ns=5, until_unix_ns=9)


@pytest.fixture
def double():
    with learning_double(log=[logged_call(number) for number in range(5)]) as double:
        yield double


@pytest.fixture
def client(double):
    with ScoreClient(AggregatorTarget(double.address)) as client:
        yield client


def test_a_goal_is_read_with_its_arms_and_what_is_unknown_of_them(client, double):
    (report,) = client.scores("extract", namespace="n", workload="w", window_s=60)
    assert double.asked == [
        pb.ScoresRequest(namespace="n", goal="extract", workload="w", window_s=60)
    ]
    assert (report.status, report.trend, report.version) == ("degraded", "worsening", 3)
    small, large, _, unheard = report.arms
    assert (small.score.arm.key, small.score.cost_usd, small.score.is_stale) == (
        "openai/small", 0.0001, True,
    )  # fmt: skip
    assert large.score.shift.fall == pytest.approx(0.4)
    assert (unheard.rate, unheard.score.cost_usd, unheard.score.latency_ms) == (None, None, None)
    assert report.settings == LearningSettings(band=0.1, half_life_ms=None)
    assert report.scores.arms == tuple(arm.score for arm in report.arms)
    assert report.insights[0].evidence == {"rate_before": "0.9"}


def test_decisions_come_page_by_page_in_their_order(client, double):
    found = list(client.log(SPAN, goal="extract", namespace="n", limit=4))
    assert [int(call.call_id, 16) for call in found] == [0, 1, 2, 3, 4]
    assert double.asked == [
        pb.LogRequest(namespace="n", goal="extract", since_unix_nano=5, until_unix_nano=9, limit=4)
    ]
    assert found[0].arms == ("openai/small", "openai/large")
    assert (found[0].cost_usd, found[0].latency_ms) == (None, None)


def test_a_decisions_cost_is_exact():
    log = [logged_call(1, cost_usd="0.0000001", latency_ms=3.5)]
    with (
        learning_double(log=log) as double,
        ScoreClient(AggregatorTarget(double.address)) as client,
    ):
        (call,) = client.log()
    assert (call.cost_usd, call.latency_ms) == (Decimal("0.0000001"), 3.5)


def test_pieces_of_time_and_models_are_read(client, double):
    first, second = client.timeline("extract", SPAN, points=7)
    assert (first.start_unix_ns, second.rate) == (NOW_NS, 0.75)
    (benchmark,) = client.benchmarks(SPAN, goal="g")
    assert (benchmark.mean_cost_usd, benchmark.acceptance) == (Decimal("0.0005"), 0.8)
    assert [(one.since_unix_nano, one.until_unix_nano) for one in double.asked] == [(5, 9)] * 2


def test_versions_are_listed_shown_made_and_steered(client, double):
    (version,) = client.versions()
    assert (version.number, version.is_in_force, version.digest) == (2, True, DIGEST)
    assert version.advantage == Estimate(0.03, 0.01, 0.05)
    assert version.goals == {}
    assert client.version(2).goals["extract"].arms[0].arm.key == "openai/large"
    made = client.propose("why", activate=True, namespace="n")
    assert (made.verdict, made.is_in_force, made.advantage) == ("undecided", False, None)
    assert double.asked[-1] == pb.ProposeVersionRequest(namespace="n", note="why", activate=True)
    assert client.activate(2).number == client.roll_back().number == 2


def test_a_version_that_is_not_there_is_a_bad_request_of_404(client):
    with pytest.raises(BadRequest, match="no router version 9") as refused:
        client.activate(9)
    assert refused.value.status == 404


def test_differences_are_values(client):
    assert client.differences(1) == [
        Difference("extract", "", "band", 0.05, 0.1),
        Difference("extract", "openai/new", "arm", None, 0.5),
    ]


def test_settings_are_read_and_put(client, double):
    assert client.settings("*") == LearningSettings()
    put = client.settings("g", put={"band": 0.2, "half_life_ms": None}, namespace="n")
    assert put == LearningSettings(band=0.2)
    assert double.asked[-1].put == pb.LearningSettings(band=0.2, half_life_ms=0)
    with pytest.raises(ValueError, match="no such setting: colour"):
        client.settings("g", put={"colour": 1})


@pytest.mark.parametrize(
    ("fields", "ask"),
    [
        ({"goals": [pb.GoalReport(arms=[pb.ArmReport()])]}, ScoreClient.scores),
        ({"goals": [pb.GoalReport(settings=pb.LearningSettings(band=7))]}, ScoreClient.scores),
        (
            {"goals": [pb.GoalReport(arms=[arm_report("m", 1, 1, latency_ms=float("nan"))])]},
            ScoreClient.scores,
        ),
        ({"log": [logged_call(1, cost_usd="much")]}, lambda client: list(client.log())),
    ],
    ids=["no-posterior", "settings", "not-a-number", "money"],
)
def test_what_can_not_be_read_is_said_to_be_the_aggregators(fields, ask):
    with (
        learning_double(**fields) as double,
        ScoreClient(AggregatorTarget(double.address)) as client,
        pytest.raises(Unavailable, match="can't be read"),
    ):
        ask(client)


async def test_a_program_with_an_event_loop_is_told_the_same(client, double):
    target = AggregatorTarget(double.address)
    async with AsyncScoreClient(target) as other:
        assert await other.scores() == client.scores()
        assert await other.timeline("extract") == client.timeline("extract")
        assert await other.benchmarks() == client.benchmarks()
        assert [one async for one in other.log()] == list(client.log())
        assert await other.versions() == client.versions()
        assert await other.version(2) == client.version(2)
        assert await other.propose("n") == client.propose("n")
        assert await other.activate(2) == client.activate(2)
        assert await other.roll_back() == client.roll_back()
        assert await other.differences() == client.differences()
        assert await other.settings("g", put={"band": 0.3}) == client.settings("g")
        with pytest.raises(BadRequest, match="no router version 9"):
            await other.activate(9)


def test_both_clients_take_the_same():
    def questions(kind):
        return {
            name: str(inspect.signature(method)).partition(" ->")[0]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name != "close"
        }

    assert questions(ScoreClient) == questions(AsyncScoreClient)
