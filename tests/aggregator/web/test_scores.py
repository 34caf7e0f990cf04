"""Scores, benchmarks, signals and router versions over HTTP."""

import pytest

from remora.clock import SystemClock
from remora.learning.evidence import Evidence, Source
from remora_aggregator.signals.signal import Signal
from remora_aggregator.store.facts import Stamp
from remora_proto.v1 import records_pb2 as pb

READER = {"Authorization": "Bearer reader-token-0123456789"}
WIDE = {"Authorization": "Bearer wide-token-01234567890"}
ADMIN = {"Authorization": "Bearer admin-token-0123456789"}


def now_ns():
    return SystemClock().now_unix_ns()


async def judged(api, call, *answers, namespace="local", goal="write"):
    """Store calls for a goal, each of a model, and say how good each answer was."""
    began_ns = now_ns() - 60 * 10**9
    signals = []
    for number, (model, strength) in enumerate(answers, 1):
        record = call(
            number, started_unix_nano=began_ns + number, sent_model=model, latency_s=2.0,
            response_model=model, attribution=pb.Attribution(goal=goal),
            receipt=pb.Receipt(
                router="learned", propensity=0.5,
                candidates=[
                    pb.CandidateReceipt(provider="openai", model=name, propensity=0.5)
                    for name in ("a", "b")
                ],
            ),
        )  # fmt: skip
        await api.store.write([record], Stamp(namespace, "p", began_ns + 10**9))
        evidence = Evidence(
            Source.EXPLICIT, strength, 1.0, began_ns // 10**6, f"s{number}", "user_accepted"
        )
        signals.append(
            Signal(namespace, f"s{number}", record.call_id, evidence, began_ns + 2 * 10**9)
        )
    await api.http.front.signals.take(signals)


def arms(answer):
    (goal,) = answer.json["goals"]
    return {arm["arm"]: arm for arm in goal["arms"]}


async def test_a_goal_is_told_with_what_is_known_of_each_arm(api, call):
    await judged(api, call, ("a", 1.0), ("a", 1.0), ("b", 0.0), ("b", 1.0))
    answer = await api.get("/v1/scores?goal=write")
    found = arms(answer)
    assert answer.json["goals"][0]["goal"] == "write"
    assert {name: (arm["rate"], arm["calls"]) for name, arm in found.items()} == {
        "openai/a": (1.0, 2),
        "openai/b": (0.5, 2),
    }
    assert found["openai/a"]["latency_ms"] == pytest.approx(2_000, rel=0.05)
    assert found["openai/b"]["evidence"] == {"good": 1.0, "bad": 1.0}


async def test_a_goal_over_time_has_its_evidence_where_the_calls_were(api, call):
    await judged(api, call, ("a", 1.0), ("b", 0.0))
    answer = await api.get("/v1/scores/timeline?goal=write&since=1h&points=10")
    assert {p["arm"]: p["rate"] for p in answer.json["points"]} == {
        "openai/a": 1.0,
        "openai/b": 0.0,
    }


async def test_benchmarks_join_what_calls_took_and_how_good_they_were(api, call):
    await judged(api, call, ("a", 1.0), ("a", 0.0), ("b", 1.0))
    answer = await api.get("/v1/benchmarks")
    first, second = answer.json["benchmarks"]
    assert (first["model"], first["calls"], first["acceptance"]) == ("a", 2, 0.5)
    assert (second["model"], second["mean_cost_usd"]) == ("b", "0.0001")


async def test_signals_are_told_with_the_arm_that_they_are_about(api, call):
    await judged(api, call, ("a", 1.0), ("b", 0.25))
    answer = await api.get("/v1/signals?limit=1")
    (newest,) = answer.json["signals"]
    assert (newest["arm"], newest["strength"], newest["state"]) == ("openai/b", 0.25, "counted")
    rest = await api.get(f"/v1/signals?limit=1&cursor={answer.json['next']}")
    assert [one["arm"] for one in rest.json["signals"]] == ["openai/a"]


async def test_a_version_is_made_shown_put_in_force_and_gone_back_from(api, call):
    await judged(api, call, ("a", 1.0), ("b", 0.0))
    first = await api.ask("POST", "/v1/router-versions", json={"activate": True})
    assert (first.json["version"], first.json["in_force"]) == (1, True)
    await api.ask("POST", "/v1/router-versions", json={"note": "second"})
    second = await api.ask("POST", "/v1/router-versions/2/activate", json={})
    assert second.json["in_force"] is True
    listed = await api.get("/v1/router-versions")
    assert [(v["version"], v["in_force"], v["note"]) for v in listed.json["versions"]] == [
        (2, True, "second"),
        (1, False, None),
    ]
    shown = await api.get("/v1/router-versions/1")
    assert [goal["goal"] for goal in shown.json["goals"]] == ["write"]
    back = await api.ask("POST", "/v1/router-versions/rollback", json={})
    assert (back.json["version"], back.json["in_force"]) == (1, True)


async def test_a_difference_says_what_was_learned_since(api, call):
    await judged(api, call, ("a", 1.0))
    await api.ask("POST", "/v1/router-versions", json={"activate": True})
    later = call(9, started_unix_nano=now_ns(), sent_model="c", attribution={"goal": "write"})
    await api.put(later)
    answer = await api.get("/v1/router-versions/diff")
    came = [d for d in answer.json["differences"] if d["field"] == "arm"]
    assert [(d["goal"], d["arm"], d["before"]) for d in came] == [("write", "openai/c", None)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/router-versions/7", 404),
        ("GET", "/v1/router-versions/seven", 404),
        ("POST", "/v1/router-versions/7/activate", 404),
        ("POST", "/v1/router-versions/rollback", 409),
        ("POST", "/v1/router-versions", 409),
        ("GET", "/v1/scores/timeline", 400),
        ("GET", "/v1/scores?window=soon", 400),
        ("GET", "/v1/signals?call_id=x", 400),
        ("GET", "/v1/benchmarks?since=1d&until=2d", 400),
    ],
    ids=lambda value: str(value),
)
async def test_what_can_not_be_is_refused_with_a_reason(api, method, path, status):
    options = {"json": {}} if method == "POST" else {}
    answer = await api.ask(method, path, **options)
    assert answer.status == status, answer.json
    assert answer.json["detail"]


@pytest.mark.parametrize(
    ("who", "namespace", "status"),
    [(READER, "team-a", 200), (READER, "team-b", 403), (WIDE, "team-b", 200), (ADMIN, "x", 200)],
    ids=["own", "not its own", "one of two", "admin"],
)
async def test_readers_see_the_scores_of_their_namespaces(
    open_api, token_file, call, who, namespace, status
):
    async with open_api(token_file=token_file) as api:
        await judged(api, call, ("a", 1.0), namespace="team-a")
        for path in ("scores", "router-versions", "benchmarks", "signals"):
            answer = await api.get(f"/v1/{path}?namespace={namespace}", headers=who)
            assert answer.status == status, path


class Kept:
    """Keeps what is written down."""

    def __init__(self):
        """Keep none yet."""
        self.entries = []

    async def keep(self, entry):
        self.entries.append(entry)


async def test_a_reader_can_not_change_versions_and_that_it_tried_is_written_down(
    open_api, token_file, call
):
    async with open_api(token_file=token_file) as api:
        api.http.front.audit = kept = Kept()
        await judged(api, call, ("a", 1.0), namespace="team-a")
        answer = await api.ask("POST", "/v1/router-versions", json={}, headers=READER)
        assert answer.status == 403
        whose = {"namespace": "team-a", "note": "n"}
        made = await api.ask("POST", "/v1/router-versions", json=whose, headers=ADMIN)
        assert made.status == 200
    assert [(one.name, one.what, one.outcome) for one in kept.entries] == [
        ("anna", "ScoreService/Propose", "NOT_ALLOWED"),
        ("carla", "ScoreService/Propose", "OK"),
    ]
