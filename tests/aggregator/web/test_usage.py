"""Sums over HTTP."""

import pytest

from remora_aggregator.store.spread import ERROR
from remora_proto.v1 import records_pb2 as pb


async def test_usage_is_by_model_unless_asked_otherwise(api, call):
    await api.put(call(1), call(2), call(3, requested_model="claude-5", error=pb.CallError(
        type="x")))  # fmt: skip
    answer = await api.get("/v1/usage")
    assert answer.json["group_by"] == ["model"]
    assert answer.json["quantile_error"] is None
    assert [(row["group"], row["calls"], row["errors"]) for row in answer.json["rows"]] == [
        ({"model": "gpt-4o"}, 2, 0),
        ({"model": "claude-5"}, 1, 1),
    ]
    first = answer.json["rows"][0]
    assert (first["input_tokens"], first["cost_usd"], first["saved_usd"]) == (20, "0.0002", None)
    assert (first["starts_at"], first["quantiles"]) == (None, None)


async def test_what_nobody_knows_is_null(api, call):
    unread = pb.CallRecord(
        call_id=f"{1:032x}", started_unix_nano=1, error=pb.CallError(type="usage_unreadable")
    )
    await api.put(unread)
    (row,) = (await api.get("/v1/usage")).json["rows"]
    assert (row["input_tokens"], row["cost_usd"], row["group"]) == (None, None, {"model": None})


async def test_quantiles_are_told_with_their_error(api, call):
    await api.put(*(call(number, ttft_s=1.0) for number in range(1, 101)))
    answer = await api.get("/v1/usage?quantiles=0.5,0.99&quantiles=0.1")
    assert answer.json["quantile_error"] == ERROR
    quantiles = answer.json["rows"][0]["quantiles"]
    assert {one["quantile"]: one["value_s"] for one in quantiles["latency_s"]} == {
        0.5: pytest.approx(25, rel=0.04),
        0.99: pytest.approx(49.5, rel=0.04),
        0.1: pytest.approx(5, rel=0.1),
    }
    assert quantiles["ttft_s"][0]["value_s"] == pytest.approx(1, rel=ERROR)
    assert quantiles["overhead_s"] == []


async def test_spans_of_time_say_when_they_begin(api, call):
    await api.put(call(0), call(60), call(3600))
    answer = await api.get("/v1/usage?interval=1h&group_by=provider,operation")
    assert answer.json["interval_s"] == 3600
    assert [(row["starts_at"], row["calls"]) for row in answer.json["rows"]] == [
        ("2025-10-09T08:00:00.000000Z", 2),
        ("2025-10-09T09:00:00.000000Z", 1),
    ]
    assert answer.json["rows"][0]["group"] == {"provider": "openai", "operation": "chat"}


async def test_groups_past_the_limit_are_said_to_be_more(api, call):
    for number, model in enumerate("aabccc"):
        await api.put(call(number, requested_model=model))
    most = (await api.get("/v1/usage?limit=2")).json
    assert ([row["group"]["model"] for row in most["rows"]], most["more"]) == (["c", "a"], True)
    everything = (await api.get("/v1/usage?limit=3")).json
    assert (len(everything["rows"]), everything["more"]) == (3, False)


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("where=latency_s>=2", 2),
        ("where=usage.input_tokens>10", 1),
        ("since=2025-10-09T08:53:24Z&until=2025-10-09T08:53:25Z", 1),
        ("session_id=s", 1),
        ("outcome=error", 0),
    ],
)
async def test_filters_are_those_of_records(api, call, query, calls):
    await api.put(
        call(1),
        call(4, attribution=pb.Attribution(session_id="s")),
        call(5, usage=pb.Usage(input_tokens=11)),
    )
    rows = (await api.get(f"/v1/usage?{query}")).json["rows"]
    assert sum(row["calls"] for row in rows) == calls


@pytest.mark.parametrize(
    "dimension", ["session", "data", "combo", "agent", "task", "namespace", "dialect", "workload",
                  "pod", "requested_model", "sent_model", "response_model", "status", "error",
                  "rule", "cache"]
)  # fmt: skip
async def test_every_dimension_groups(api, call, dimension):
    await api.put(call(1))
    (row,) = (await api.get(f"/v1/usage?group_by={dimension}")).json["rows"]
    assert set(row["group"]) == {dimension}
    assert row["calls"] == 1


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("group_by=moon", "group_by.0"),
        ("group_by=", "group_by"),
        ("quantiles=1", "quantiles.0"),
        ("quantiles=median", "quantiles.0"),
        ("interval=0s", "interval"),
        ("interval=500ms", "interval"),
        ("interval=week", "interval"),
        ("limit=10001", "limit"),
        ("cursor=r1", "cursor"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_place(api, query, where):
    answer = await api.get(f"/v1/usage?{query}")
    assert (answer.status, answer.json["where"]) == (400, where)


async def test_more_rows_than_can_be_given_are_refused(api, call, monkeypatch):
    from remora_aggregator.web import usage

    monkeypatch.setattr(usage, "MOST_GROUPS", 2)
    await api.put(*(call(number) for number in range(4)))
    answer = await api.get("/v1/usage?interval=1s")
    assert (answer.status, answer.json["code"]) == (400, "too-many-rows")
    assert (await api.get("/v1/usage?interval=1h")).status == 200
