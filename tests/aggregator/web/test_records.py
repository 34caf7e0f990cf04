"""Pages of records, and one record, over HTTP."""

import base64
import json
import math
from decimal import Decimal
from urllib.parse import quote

import pytest

from remora.cli.record_json import record_json
from remora.record_wire import stored_from_message
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Order
from remora_proto.v1 import records_pb2 as pb


async def test_the_newest_come_first_page_by_page(api, call):
    await api.put(*(call(number) for number in range(1, 8)))
    pages, cursor = [], ""
    while cursor is not None:
        answer = await api.get(f"/v1/records?limit=3&cursor={cursor}")
        pages.append(answer.call_numbers)
        cursor = answer.json["next"]
    assert [page for page in pages if page] == [[7, 6, 5], [4, 3, 2], [1]]


async def test_an_empty_store_has_an_empty_page(api):
    assert (await api.get("/v1/records")).json == {"records": [], "next": None}


async def test_pages_of_the_oldest_are_stable_under_inserts(api, call):
    await api.put(*(call(number) for number in range(1, 4)))
    first = await api.get("/v1/records?order=oldest&limit=2")
    await api.put(call(4))
    rest = await api.get(f"/v1/records?order=oldest&limit=2&cursor={first.json['next']}")
    assert (first.call_numbers, rest.call_numbers) == ([1, 2], [3, 4])


async def test_a_record_is_shown_as_the_command_line_shows_it(api, call):
    receipt = pb.Receipt(
        policy="p", candidates=[pb.CandidateReceipt(model="m", score=math.nan)], router="weighted"
    )
    body = pb.Body(content=b"\xff\x00", original_bytes=2)
    await api.put(call(1, receipt=receipt, request_body=body))
    answer = await api.get(f"/v1/records/{1:032x}?bodies=1")
    page = await api.store.page(
        selection(pb.RecordFilter(), None), after=None, order=Order(), most=1, bodies=True
    )
    shown = record_json(stored_from_message(page.records[0]), with_bodies=True)
    shown["receipt"]["candidates"][0]["score"] = None  # not a number is none of JSON's
    assert answer.json == json.loads(json.dumps(shown))
    assert answer.json["request_body"]["base64"] == base64.b64encode(b"\xff\x00").decode()
    assert answer.json["cost"]["total_usd"] == "0.0001"


async def test_bodies_come_only_where_they_are_asked_for(api, call):
    await api.put(call(1, response_body=pb.Body(content=b"hello there")))
    plain, asked, named = [
        (await api.get(f"/v1/records{query}")).json["records"][0]
        for query in ("", "?bodies=true", "?fields=response_body")
    ]
    assert "response_body" not in plain
    assert asked["response_body"]["text"] == "hello there"
    assert set(named) == {"call_id", "cursor", "response_body"}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("where=latency_s>=2", [6, 5, 4]),
        ("where=latency_s>=2&where=latency_s<3", [5, 4]),
        ("where=model~gpt-*|x", [6, 5, 4, 3, 1]),
        ("where=model=claude-5", [2]),
        ("where=error.type!=timeout", [6, 5, 4, 2, 1]),
        ("where=error.type?", [3]),
        ("where=ttft_s!?", [6, 5, 4, 3, 2]),
        ("where=labels.app=shop", [4]),
        ("where=trace_id=abc", [5]),
        ("where=usage.input_tokens>10", [6]),
        ("model=claude-5", [2]),
        ("outcome=error", [3]),
        ("outcome=ok&limit=2", [6, 5]),
        ("session_id=s1", [4]),
        ("since=2025-10-09T08:53:24Z", [6, 5, 4]),
        ("until=2025-10-09T08:53:22", [1]),
        ("since=2025-10-09T10:53:24%2B02:00&until=2025-10-09T08:53:25Z", [4]),
        ("text=apples", [6]),
        ("order_by=latency_s&order=oldest&limit=2", [1, 2]),
        ("order_by=cost.total_usd&limit=1", [5]),
        ("pod_uid=nobody", []),
        ("call_id=" + f"{5:032x}", [5]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_filter_finds_its_records(api, call, query, numbers):
    await api.put(
        call(1, ttft_s=0.1),
        call(2, requested_model="claude-5"),
        call(3, error=pb.CallError(type="timeout")),
        call(4, origin=pb.Origin(labels={"app": "shop"}), attribution=pb.Attribution(
            session_id="s1")),
        call(5, attribution=pb.Attribution(trace_id="abc"), cost=pb.Cost(total_usd="2")),
        call(6, usage=pb.Usage(input_tokens=11), request_body=pb.Body(
            content=b'{"messages": [{"content": "Apples and pears"}]}')),
    )  # fmt: skip
    answer = await api.get(f"/v1/records?{quote(query, safe='=&%:.')}")
    assert (answer.status, answer.call_numbers) == (200, numbers)


async def test_a_span_back_from_now_is_a_moment_too(open_api, call):
    from remora.testing.clock import ManualClock

    clock = ManualClock(unix_ns=(1_760_000_000 + 3600) * 10**9)
    async with open_api(clock=clock) as api:
        await api.put(call(0), call(1800))
        assert (await api.get("/v1/records?since=40m")).call_numbers == [1800]


async def test_fields_name_what_is_shown(api, call):
    labels = {"app.kubernetes.io/name": "shop", "tier": "x"}
    attempts = [pb.Attempt(provider="a", status_code=500), pb.Attempt(provider="b")]
    await api.put(call(1, origin=pb.Origin(labels=labels), attempts=attempts))
    fields = "cost.total_usd,labels.app.kubernetes.io/name,attempts.provider,usage.input_tokens"
    answer = await api.get(f"/v1/records?fields={fields}&fields=model,cache.result")
    assert answer.json["records"] == [
        {
            "call_id": f"{1:032x}",
            "cursor": "r1",
            "model": "gpt-4o",
            "cost": {"total_usd": "0.0001"},
            "labels": {"app.kubernetes.io/name": "shop"},
            "attempts": [{"provider": "a"}, {"provider": "b"}],
            "usage": {"input_tokens": 10},
            "cache": None,
        }
    ]


@pytest.mark.parametrize(
    ("query", "where", "said"),
    [
        ("sesion_id=x", "sesion_id", "no such parameter"),
        ("limit=0", "limit", "greater than or equal to 1"),
        ("limit=201", "limit", "less than or equal to 200"),
        ("limit=many", "limit", "integer"),
        ("limit=1&limit=2", "limit", "given 2 times"),
        ("order=up", "order", "'newest' or 'oldest'"),
        ("order_by=model", "order_by", "can't be ordered by 'model'"),
        ("order_by=nonsense", "order_by", "no field"),
        ("where=latency_s", "where.0", "at character 10"),
        ("where=nonsense=1", "where", "no field 'nonsense'"),
        ("where=latency_s>fast", "where", "compared with a number"),
        ("where=error>1&where=", "where.1", "a field such as latency_s"),
        ("&".join(["where=model=x"] * 51), "where", "at most 50"),
        ("since=yesterday", "since", "neither a span"),
        ("until=99999999999d", "until", "neither a span"),
        ("since=2026-01-02&until=2026-01-01", None, "must lie before"),
        ("cursor=x", "cursor", "none of this aggregator's"),
        ("fields=nonsense", "fields", "no key 'nonsense'"),
        ("fields=" + ",".join(["model"] * 3 + [f"labels.{n}" for n in range(101)]), "fields",
         "At most 100"),
        ("text=%20!", None, "no word"),
        ("namespace=other", None, "not 'other'"),
        ("model=" + "x" * 1001, "model", "at most 1000"),
        ("bodies=perhaps", "bodies", "valid boolean"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_with_its_place(api, query, where, said):
    answer = await api.get(f"/v1/records?{query}")
    assert answer.status == (403 if "namespace" in query else 400)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["where"] == where
    assert said in answer.json["detail"]
    assert answer.json["remedy"]
    assert answer.json["type"].startswith("urn:remora:problem:")


async def test_several_wrong_parameters_are_named_together(api):
    answer = await api.get("/v1/records?limit=0&order=up&what=1")
    assert all(name in answer.json["detail"] for name in ("limit", "order", "what"))


async def test_moments_at_the_edges_of_time_are_moments(api, call):
    await api.put(call(1))
    for query in ("since=9999-12-31", "since=0001-01-01", "until=1970-01-01", "since=3650d"):
        assert (await api.get(f"/v1/records?{query}")).status == 200


async def test_a_call_that_is_not_there_is_not_found(api):
    answer = await api.get(f"/v1/records/{9:032x}")
    assert (answer.status, answer.json["code"]) == (404, "no-such-call")
    assert (await api.get("/v1/records/UPPER")).json["code"] == "not-found"


async def test_a_call_that_several_pods_reported_has_to_be_told_apart(api, call):
    await api.put(call(1), pod="a")
    await api.put(call(1, requested_model="other"), pod="b")
    both = await api.get(f"/v1/records/{1:032x}")
    assert (both.status, both.json["code"]) == (409, "several-calls")
    one = await api.get(f"/v1/records/{1:032x}?pod_uid=b")
    assert one.json["pod_uid"] == "b"


async def test_a_slow_search_comes_in_pages_that_may_be_empty(api, call, monkeypatch):
    """What only messages tell is looked for so many records at a time."""
    from remora_aggregator.store import record_store

    monkeypatch.setattr(record_store, "SCANNED_RECORDS", 3)
    await api.put(*(call(number) for number in range(1, 9)))
    found, cursor, pages = [], "", 0
    while cursor is not None:
        answer = await api.get(
            f"/v1/records?where=finish_reason!?&where=stream=true&cursor={cursor}"
        )
        found, cursor, pages = found + answer.call_numbers, answer.json["next"], pages + 1
    assert (found, pages) == ([], 3)


async def test_money_is_text_to_the_last_digit(api, call):
    exact = "0.123456789012345678901234567890"
    await api.put(call(1, cost=pb.Cost(total_usd=exact)))
    shown = (await api.get("/v1/records?fields=cost")).json["records"][0]["cost"]["total_usd"]
    assert Decimal(shown) == Decimal(exact)
    assert shown == exact


async def test_head_is_get_without_the_body(api, call):
    await api.put(call(1))
    answer = await api.ask("HEAD", "/v1/records")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 100


async def test_other_methods_are_refused_and_told_which_there_are(api):
    answer = await api.ask("DELETE", "/v1/records")
    assert (answer.status, answer.json["code"]) == (405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}


async def test_a_store_that_can_not_be_read_is_said(api, call):
    await api.put(call(1))
    api.store.backend.writer.execute("drop table records")
    answer = await api.get("/v1/records")
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
