import asyncio
import math
import tempfile

import grpc
import pytest

from remora_aggregator.store.reading import PAGE_BYTES
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

HELLO = pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1", sidecar_version="1"))


def _entries(records):
    entries = [
        pb.ReportRequest.Entry(sequence=number, record=record)
        for number, record in enumerate(records)
    ]
    return pb.ReportRequest(entries=entries)


async def _report(stub, records, *, pod_uid="pod-1", metadata=None):
    hello = pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid=pod_uid))

    async def requests():
        yield hello
        yield _entries(records)

    return [answer async for answer in stub.Report(requests(), metadata=metadata)]


async def _query(stub, metadata=None, **fields):
    request = pb.QueryRequest(**fields)
    return [answer.stored async for answer in stub.Query(request, metadata=metadata)]


async def _failure(coroutine):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await coroutine
    return failure.value.code(), failure.value.details()


async def test_reported_records_are_acknowledged_and_found(stub, make_record):
    greeting, answer = await _report(stub, [make_record(1), make_record(2)])
    assert greeting.aggregator_version
    assert list(answer.acknowledged) == [0, 1]
    found = await _query(stub)
    assert [stored.record for stored in found] == [make_record(1), make_record(2)]
    assert {(stored.namespace, stored.pod_uid) for stored in found} == {("local", "pod-1")}
    assert all(stored.received_unix_nano for stored in found)


async def test_a_record_that_comes_again_is_acknowledged_and_stored_once(stub, make_record):
    for _ in range(3):
        answers = await _report(stub, [make_record(1)])
        assert list(answers[-1].acknowledged) == [0]
    assert len(await _query(stub)) == 1


async def test_a_revised_record_replaces_the_earlier_one(stub, make_record):
    await _report(stub, [make_record(1)])
    await _report(stub, [make_record(1, revision=1, notes=["late fact"])])
    await _report(stub, [make_record(1)])
    (stored,) = await _query(stub)
    assert (stored.record.revision, list(stored.record.notes)) == (1, ["late fact"])


async def test_another_call_under_the_same_id_is_refused_and_counted(aggregator, stub, make_record):
    await _report(stub, [make_record(1)])
    clash = make_record(1, started_unix_nano=5)
    answers = await _report(stub, [clash, make_record(2)])
    assert [refusal.sequence for refusal in answers[-1].refused] == [0]
    assert list(answers[-1].acknowledged) == [1]
    assert aggregator.store.outcomes["clash"] == 1


async def test_a_revision_by_another_sidecar_is_refused(stub, make_record):
    await _report(stub, [make_record(1)])
    answers = await _report(stub, [make_record(1, revision=1)], pod_uid="pod-2")
    assert "another sidecar" in answers[-1].refused[0].reason


async def test_two_sidecars_may_use_one_id_for_calls_of_their_own(stub, make_record):
    await _report(stub, [make_record(1)])
    await _report(stub, [make_record(1)], pod_uid="pod-2")
    assert [stored.pod_uid for stored in await _query(stub)] == ["pod-1", "pod-2"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"call_id": "short"}, "call_id"),
        ({"cost": pb.Cost(total_usd="a lot")}, "decimal"),
        ({"cost": pb.Cost(total_usd="NaN")}, "decimal"),
        ({"cost": pb.Cost(total_usd="1e999999")}, "decimal"),
        ({"cost": pb.Cost(total_usd="0e-999999")}, "decimal"),
        ({"cache": pb.CacheVerdict(saved_usd="NaN")}, "decimal"),
        ({"attempts": [pb.Attempt(cost=pb.Cost(total_usd="much"))]}, "decimal"),
        (
            {"receipt": pb.Receipt(candidates=[pb.CandidateReceipt(est_cost_usd="Infinity")])},
            "decimal",
        ),
        ({"receipt": pb.Receipt(budgets=[pb.BudgetReceipt(limit_usd="NaN")])}, "decimal"),
        ({"started_unix_nano": (1 << 64) - 1}, "started_unix_nano"),
        ({"latency_s": math.inf}, "finite"),
        ({"ttft_s": math.nan}, "finite"),
    ],
    ids=[
        "id",
        "words",
        "nan",
        "huge",
        "tiny",
        "saved",
        "of an attempt",
        "of a candidate",
        "of a budget",
        "time",
        "endless",
        "no number",
    ],
)
async def test_an_unfit_record_is_refused_and_the_others_are_stored(
    stub, make_record, fields, reason
):
    answers = await _report(stub, [make_record(1, **fields), make_record(2)])
    assert reason in answers[-1].refused[0].reason
    assert list(answers[-1].acknowledged) == [1]


async def test_a_report_without_a_greeting_says_what_is_missing(stub, make_record):
    async def requests():
        yield _entries([make_record(1)])

    async def report():
        return [answer async for answer in stub.Report(requests())]

    code, details = await _failure(report())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "hello" in details


async def test_fields_of_a_newer_sidecar_are_kept(aggregator, make_record):
    unknown = bytes([0xA2, 0x3F, 0x03]) + b"new"  # field 1012, which this version has not
    record = pb.CallRecord()
    record.ParseFromString(make_record(1).SerializeToString() + unknown)
    async with grpc.aio.insecure_channel(aggregator.address) as channel:
        stub = pb_grpc.RecordServiceStub(channel)
        await _report(stub, [record])
        (stored,) = await _query(stub)
    assert unknown in stored.record.SerializeToString()


async def test_bodies_are_left_out_where_they_are_not_wanted(stub, make_record):
    body = pb.Body(content=b"{}", original_bytes=2)
    await _report(stub, [make_record(1, request_body=body, response_body=body)])
    (whole,) = await _query(stub)
    (bare,) = await _query(stub, without_bodies=True)
    assert whole.record == make_record(1, request_body=body, response_body=body)
    assert bare.record == make_record(1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"session_id": "s1"}, [2]),
        ({"model": "gpt-4o"}, [1, 2, 3]),
        ({"model": "gpt-4o-2024-08-06"}, [1, 2, 3]),
        ({"model": "claude"}, [4]),
        ({"provider": "anthropic"}, [4]),
        ({"outcome": pb.RecordFilter.OUTCOME_ERROR}, [3]),
        ({"outcome": pb.RecordFilter.OUTCOME_OK}, [1, 2, 4]),
        ({"since_unix_nano": 1_002}, [2, 3, 4]),
        ({"until_unix_nano": 1_002}, [1]),
        ({"call_id": f"{3:032x}"}, [3]),
        ({"namespace": "local", "pod_uid": "pod-1"}, [1, 2, 3, 4]),
        ({"pod_uid": "another"}, []),
    ],
)
async def test_filters_find_what_matches(stub, make_record, fields, expected):
    session = pb.Attribution(session_id="s1")
    other = {"provider": "anthropic", "requested_model": "claude", "response_model": "claude"}
    records = [
        make_record(1), make_record(2, attribution=session), make_record(3, status_code=500),
        make_record(4, **other),
    ]  # fmt: skip
    await _report(stub, records)
    found = await _query(stub, filter=pb.RecordFilter(**fields))
    assert [int(stored.record.call_id, 16) for stored in found] == expected


@pytest.mark.parametrize("order", [pb.RECORD_ORDER_OLDEST_FIRST, pb.RECORD_ORDER_NEWEST_FIRST])
@pytest.mark.parametrize("size", [1, 3, 7, 500])
async def test_pages_by_cursor_hold_each_record_once(stub, make_record, order, size):
    await _report(stub, [make_record(number) for number in range(450)])
    seen, cursor = [], ""
    while page := await _query(stub, order=order, limit=size, cursor=cursor):
        seen += [int(stored.record.call_id, 16) for stored in page]
        cursor = page[-1].cursor
    expected = list(range(450))
    assert seen == (expected if order == pb.RECORD_ORDER_OLDEST_FIRST else expected[::-1])


@pytest.mark.parametrize(
    "request_",
    [
        pb.QueryRequest(cursor="nonsense"),
        pb.QueryRequest(cursor="r" + "f" * 30),
        pb.QueryRequest(order=7),
        pb.QueryRequest(filter=pb.RecordFilter(outcome=9)),
        pb.QueryRequest(filter=pb.RecordFilter(since_unix_nano=5, until_unix_nano=5)),
    ],
    ids=["cursor", "huge cursor", "order", "outcome", "times"],
)
async def test_a_question_that_makes_no_sense_is_refused(stub, request_):
    async def ask():
        return [answer async for answer in stub.Query(request_)]

    code, details = await _failure(ask())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details


async def test_a_watch_yields_what_is_stored_later(stub, make_record):
    await _report(stub, [make_record(1)])
    watch = stub.Watch(pb.WatchRequest())
    assert (await watch.read()).ready_cursor
    await _report(stub, [make_record(2)])
    assert (await watch.read()).stored.record == make_record(2)
    watch.cancel()


async def test_a_watch_goes_on_after_a_cursor_without_gap(stub, make_record):
    await _report(stub, [make_record(number) for number in range(300)])
    first = (await _query(stub, limit=1))[0]
    watch = stub.Watch(pb.WatchRequest(cursor=first.cursor))
    await watch.read()
    await _report(stub, [make_record(300)])
    seen = [int((await watch.read()).stored.record.call_id, 16) for _ in range(300)]
    assert seen == list(range(1, 301))
    watch.cancel()


async def test_a_watch_tells_of_revisions(stub, make_record):
    await _report(stub, [make_record(1)])
    watch = stub.Watch(pb.WatchRequest())
    await watch.read()
    await _report(stub, [make_record(1, revision=1)])
    assert (await watch.read()).stored.record.revision == 1
    watch.cancel()


async def test_a_watch_passes_over_what_does_not_match(stub, make_record):
    watch = stub.Watch(pb.WatchRequest(filter=pb.RecordFilter(provider="anthropic")))
    await watch.read()
    await _report(stub, [make_record(1), make_record(2, provider="anthropic")])
    assert (await watch.read()).stored.record.provider == "anthropic"
    watch.cancel()


async def test_usage_sums_up_by_model_with_exact_money(stub, make_record):
    records = [make_record(number, cost=pb.Cost(total_usd="0.1")) for number in range(10)]
    await _report(stub, records)
    (row,) = (await stub.Usage(pb.UsageRequest())).rows
    assert list(row.keys) == ["gpt-4o-2024-08-06"]
    assert (row.calls, row.input_tokens, row.output_tokens) == (10, 100, 50)
    assert row.cost_usd == "1.0"


async def test_absurd_figures_of_one_record_do_not_end_usage(stub, make_record):
    absurd = pb.Usage(input_tokens=(1 << 63) - 1, output_tokens=-(1 << 63))
    await _report(stub, [make_record(1, usage=absurd), make_record(2, usage=absurd)])
    (row,) = (await stub.Usage(pb.UsageRequest())).rows
    assert (row.calls, row.input_tokens, row.output_tokens) == (2, 2 << 40, -(2 << 40))


async def test_sums_keep_every_digit_of_money(stub, make_record):
    amounts = ("999999999999.1", "0.0000000000000000000000000000001")
    records = [make_record(n, cost=pb.Cost(total_usd=text)) for n, text in enumerate(amounts)]
    await _report(stub, records)
    (row,) = (await stub.Usage(pb.UsageRequest())).rows
    assert row.cost_usd == "999999999999.1000000000000000000000000000001"


async def test_usage_says_what_it_could_not_sum(stub, make_record):
    unread = make_record(1, error=pb.CallError(type="usage_unreadable"))
    unread.ClearField("usage")
    unread.ClearField("cost")
    unpriced = make_record(2)
    unpriced.ClearField("cost")
    await _report(stub, [unread, unpriced])
    (row,) = (await stub.Usage(pb.UsageRequest())).rows
    assert (row.calls, row.errors, row.unread_usage_calls, row.unpriced_calls) == (2, 1, 1, 1)
    assert row.cost_usd == ""


async def test_usage_by_several_dimensions(stub, make_record):
    await _report(stub, [make_record(1), make_record(2), make_record(3, provider="azure")])
    dimensions = [pb.USAGE_DIMENSION_PROVIDER, pb.USAGE_DIMENSION_OPERATION]
    rows = (await stub.Usage(pb.UsageRequest(group_by=dimensions))).rows
    assert [(list(row.keys), row.calls) for row in rows] == [
        (["openai", "chat"], 2),
        (["azure", "chat"], 1),
    ]


async def test_usage_of_nothing_is_no_row(stub):
    assert list((await stub.Usage(pb.UsageRequest())).rows) == []


class TestTokens:
    """Namespaces by token."""

    @pytest.fixture
    def tokens(self, tmp_path):
        file = tmp_path / "tokens"
        file.write_text("# comment\ntoken-of-team-a-1234 team-a\ntoken-of-team-b-1234 team-b\n")
        return file

    @staticmethod
    def _as(team):
        return (("authorization", f"Bearer token-of-{team}-1234"),)

    async def test_a_namespace_sees_its_own_records_alone(self, tokens, make_record):
        async with (
            temporary_aggregator(token_file=tokens) as aggregator,
            grpc.aio.insecure_channel(aggregator.address) as channel,
        ):
            stub = pb_grpc.RecordServiceStub(channel)
            for number, team in enumerate(("team-a", "team-b")):
                await _report(stub, [make_record(number)], metadata=self._as(team))
            found = await _query(stub, self._as("team-b"))
            assert [stored.namespace for stored in found] == ["team-b"]
            foreign = _query(stub, self._as("team-b"), filter=pb.RecordFilter(namespace="team-a"))
            code, _ = await _failure(foreign)
            assert code is grpc.StatusCode.PERMISSION_DENIED

    @pytest.mark.parametrize(
        "metadata",
        [None, (("authorization", "Bearer wrong"),), (("authorization", "Basic x"),)],
        ids=["none", "wrong", "basic"],
    )
    async def test_whoever_has_no_token_is_turned_away(self, tokens, metadata):
        async with (
            temporary_aggregator(token_file=tokens) as aggregator,
            grpc.aio.insecure_channel(aggregator.address) as channel,
        ):
            code, details = await _failure(_query(pb_grpc.RecordServiceStub(channel), metadata))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert "token" in details


async def test_it_serves_on_a_unix_socket(make_record):
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has 107 bytes at most
        listen = f"unix:{folder}/aggregator.sock"
        async with (
            temporary_aggregator(listen=listen) as aggregator,
            grpc.aio.insecure_channel(aggregator.address) as channel,
        ):
            assert aggregator.address == listen
            stub = pb_grpc.RecordServiceStub(channel)
            await _report(stub, [make_record(1)])
            assert len(await _query(stub)) == 1


async def test_large_bodies_all_arrive_though_no_page_holds_them(stub, make_record):
    body = pb.Body(content=b"x" * (PAGE_BYTES // 3))
    for number in range(7):
        await _report(stub, [make_record(number, request_body=body)])
    found = await _query(stub)
    assert [int(stored.record.call_id, 16) for stored in found] == list(range(7))
    assert all(stored.record.request_body == body for stored in found)


async def test_many_sidecars_report_at_once_and_nothing_is_lost(stub, make_record):
    groups = [[make_record(100 * pod + n) for n in range(50)] for pod in range(8)]
    await asyncio.gather(
        *(_report(stub, group, pod_uid=f"pod-{pod}") for pod, group in enumerate(groups))
    )
    assert len(await _query(stub)) == 400
