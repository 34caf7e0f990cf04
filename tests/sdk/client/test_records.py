"""The client against a real aggregator, and against servers that fail in every way."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
import trustme

from remora.client.condition import Condition, Operator
from remora.client.filter import Order, Outcome, RecordFilter
from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.client.usage import Measure, UsageDimension
from remora.errors import BadRequest, Unavailable
from remora.testing.clock import ManualClock
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

START_NS = ManualClock().now_unix_ns()


def _record(number: int, **fields: object) -> pb.CallRecord:
    body = pb.Body(content=b"asked", original_bytes=5)
    return pb.CallRecord(
        call_id=f"{number:032x}", started_unix_nano=START_NS + number, request_body=body, **fields
    )


async def _report(address: str, *records: pb.CallRecord) -> None:
    async def requests() -> AsyncIterator[pb.ReportRequest]:
        yield pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1"))
        entries = [{"sequence": n, "record": record} for n, record in enumerate(records)]
        yield pb.ReportRequest(entries=entries)

    async with grpc.aio.insecure_channel(address) as channel:
        async for _ in pb_grpc.RecordServiceStub(channel).Report(requests()):
            pass


@pytest.fixture
async def address() -> AsyncIterator[str]:
    # By its own clock the calls are new: sums of times long past are shed.
    async with temporary_aggregator(clock=ManualClock()) as aggregator:
        yield aggregator.address


async def _asked(address: str, page_size: int, **asked: object) -> list[int]:
    def ask() -> list[int]:
        with RecordClient(AggregatorTarget(address), page_size=page_size) as client:
            return [int(stored.record.call_id, 16) for stored in client.query(**asked)]

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 5, 500])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"order": Order.NEWEST_FIRST}, [4, 3, 2, 1]),
        ({"limit": 3}, [1, 2, 3]),
        ({"limit": 3, "order": Order.NEWEST_FIRST}, [4, 3, 2]),
        ({"limit": 0}, []),
        ({"limit": 9}, [1, 2, 3, 4]),
    ],
    ids=["all", "newest first", "limit", "newest limit", "none", "more than there are"],
)
async def test_pages_of_any_size_give_the_same_records(address, page_size, asked, expected):
    await _report(address, *(_record(number) for number in (1, 2, 3, 4)))
    assert await _asked(address, page_size, **asked) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (RecordFilter(task_id="t1"), [1]),
        (RecordFilter(session_id="s"), [1, 2]),
        (RecordFilter(outcome=Outcome.ERROR), [2]),
        (RecordFilter(outcome=Outcome.OK), [1]),
        (RecordFilter(since_unix_ns=START_NS + 2), [2]),
        (RecordFilter(until_unix_ns=START_NS + 2), [1]),
        (RecordFilter(call_id=f"{2:032x}"), [2]),
        (RecordFilter(model="gpt-4o"), [1]),
        (RecordFilter(provider="elsewhere"), []),
    ],
    ids=["task", "session", "errors", "ok", "since", "until", "call", "model", "nothing"],
)
async def test_each_filter_reaches_the_aggregator(address, wanted, expected):
    session = pb.Attribution(session_id="s", task_id="t1")
    good = _record(1, attribution=session, status_code=200, requested_model="gpt-4o", end_reason=1)
    bad = _record(2, attribution=pb.Attribution(session_id="s"), status_code=500)
    bad.error.type = "server_error"
    await _report(address, good, bad)
    assert await _asked(address, 500, wanted=wanted) == expected


@pytest.mark.parametrize("with_bodies", [False, True])
async def test_bodies_come_only_where_asked_for(address, with_bodies):
    await _report(address, _record(1))

    def ask() -> bool:
        with RecordClient(AggregatorTarget(address)) as client:
            (stored,) = client.query(with_bodies=with_bodies)
        return stored.record.request_body is not None

    assert await asyncio.to_thread(ask) is with_bodies


async def test_usage_keeps_unknown_money_apart_from_none(address):
    usage = pb.Usage(input_tokens=10, output_tokens=2)
    cost = pb.Cost(total_usd="0.10", price_source="s", price_date="2026-01-01")
    priced = _record(1, status_code=200, end_reason=1, response_model="a", usage=usage, cost=cost)
    unpriced = _record(2, status_code=200, end_reason=1, response_model="b", usage=usage)
    await _report(address, priced, unpriced)

    def ask():
        with RecordClient(AggregatorTarget(address)) as client:
            return client.usage(group_by=[UsageDimension.MODEL])

    rows = {row.keys: row for row in await asyncio.to_thread(ask)}
    assert rows["a",].cost_usd == Decimal("0.10")
    assert (rows["b",].cost_usd, rows["b",].unpriced_calls) == (None, 1)


async def test_conditions_and_words_reach_the_aggregator(address):
    quick, slow = _record(1, latency_s=1.0), _record(2, latency_s=3.0)
    slow.request_body.content = b'{"text": "a mighty remora"}'
    await _report(address, quick, slow)
    condition = Condition("latency_s", Operator.LESS, ("2",))
    assert await _asked(address, 1, wanted=RecordFilter(conditions=(condition,))) == [1]
    assert await _asked(address, 1, wanted=RecordFilter(text="Remora")) == [2]
    both = RecordFilter(conditions=(condition,), text="remora")
    assert await _asked(address, 1, wanted=both) == []


@pytest.mark.parametrize("page_size", [1, 2, 500])
async def test_records_come_in_the_order_of_a_number(address, page_size):
    calls = [_record(number, latency_s=span) for number, span in ((1, 3.0), (2, 1.0), (3, 2.0))]
    await _report(address, *calls)
    least = await _asked(address, page_size, order_by="latency_s")
    most = await _asked(address, page_size, order_by="latency_s", order=Order.NEWEST_FIRST, limit=2)
    assert (least, most) == ([2, 3, 1], [1, 3])


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        (["usage"], {"usage"}),
        (["cost.input_usd"], {"cost"}),
        (["latency_s", "cost"], {"latency_s", "cost"}),
        ([], {"usage", "cost", "latency_s", "provider"}),
    ],
    ids=["a part", "within a part", "two", "all"],
)
async def test_only_the_fields_that_are_asked_for_come(address, fields, known):
    full = _record(
        1,
        usage=pb.Usage(input_tokens=1),
        cost=pb.Cost(total_usd="0.3", input_usd="0.1"),
        latency_s=1.5,
        provider="openai",
    )
    await _report(address, full)

    def ask():
        with RecordClient(AggregatorTarget(address)) as client:
            (stored,) = client.query(fields=fields)
        return stored

    stored = await asyncio.to_thread(ask)
    names = ("usage", "cost", "latency_s", "provider")
    assert {name for name in names if getattr(stored.record, name)} == known
    assert (stored.record.call_id, stored.namespace) == (f"{1:032x}", "local")


async def test_usage_by_spans_of_time_has_quantiles_and_savings(address):
    hour_ns = 3_600 * 10**9
    hit = pb.CacheVerdict(result="hit", saved_usd="0.25", original_latency_s=5)
    spans = [
        _record(1, latency_s=1.0, status_code=200, end_reason=1),
        _record(2, latency_s=1.0, cached=True, cache=hit, status_code=200, end_reason=1),
        _record(3, latency_s=2.0, status_code=200, end_reason=1),
    ]
    spans[2].started_unix_nano += 2 * hour_ns
    await _report(address, *spans)

    def ask():
        with RecordClient(AggregatorTarget(address)) as client:
            return client.usage(
                group_by=[UsageDimension.NAMESPACE], interval_s=3_600, quantiles=[0.5]
            )

    first, second = await asyncio.to_thread(ask)
    assert second.start_unix_ns - first.start_unix_ns == 2 * hour_ns
    assert (first.calls, first.saved_usd, first.saved_s) == (2, Decimal("0.25"), 4.0)
    assert (second.calls, second.saved_usd) == (1, None)
    (quantile,) = second.quantiles
    assert quantile.value_s == pytest.approx(2.0, rel=quantile.error)
    assert 0 < quantile.error < 0.02
    assert second.quantile_s(Measure.LATENCY, 0.5) == quantile.value_s
    assert second.quantile_s(Measure.TTFT, 0.5) is None


async def test_usage_can_be_of_the_busiest_alone(address):
    await _report(address, *(_record(n, response_model="abb"[n]) for n in (0, 1, 2)))

    def ask():
        with RecordClient(AggregatorTarget(address)) as client:
            return client.usage(limit=1)

    assert [row.keys for row in await asyncio.to_thread(ask)] == [("b",)]


@pytest.mark.parametrize("what", ["watch", "client"])
async def test_closing_from_another_thread_ends_a_watch_quietly(address, what):
    def watch() -> list[object]:
        client = RecordClient(AggregatorTarget(address))
        watch = client.watch()
        closing = threading.Thread(target=(watch if what == "watch" else client).close)
        closing.start()
        seen = list(watch)
        closing.join()
        client.close()
        return seen

    assert await asyncio.to_thread(watch) == []


async def test_a_watch_misses_nothing_reported_after_it_was_opened(address):
    client = RecordClient(AggregatorTarget(address))
    watch = await asyncio.to_thread(client.watch)
    await _report(address, _record(1), _record(2))
    seen = [await asyncio.to_thread(next, watch) for _ in range(2)]
    client.close()
    assert [int(stored.record.call_id, 16) for stored in seen] == [1, 2]
    assert watch.cursor == seen[-1].cursor


async def test_a_cursor_of_somewhere_else_is_the_askers_fault(address):
    with RecordClient(AggregatorTarget(address)) as client, pytest.raises(BadRequest):
        await asyncio.to_thread(client.watch, cursor="no such cursor")


class Failing(pb_grpc.RecordServiceServicer):
    """Fails every question with one status."""

    def __init__(self, code: grpc.StatusCode) -> None:
        """Keep the status."""
        self._code = code

    def Query(self, request, context):  # noqa: N802
        context.abort(self._code, "because")
        yield

    def Usage(self, request, context):  # noqa: N802
        context.abort(self._code, "because")

    def Watch(self, request, context):  # noqa: N802
        context.abort(self._code, "because")
        yield


class Ending(pb_grpc.RecordServiceServicer):
    """Stands ready, and ends the watch as if all were well."""

    def Watch(self, request, context):  # noqa: N802
        yield pb.WatchResponse(ready_cursor="7")


@contextmanager
def _serving(
    servicer: object, credentials: grpc.ServerCredentials | None = None
) -> Iterator[AggregatorTarget]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    pb_grpc.add_RecordServiceServicer_to_server(servicer, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield AggregatorTarget(f"localhost:{port}")
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("ask", ["query", "usage", "watch"])
@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, BadRequest, "refuses this: because"),
        (grpc.StatusCode.UNAUTHENTICATED, BadRequest, "REMORA_AGGREGATOR_TOKEN_FILE"),
        (grpc.StatusCode.PERMISSION_DENIED, BadRequest, "does not allow this: because"),
        (grpc.StatusCode.UNIMPLEMENTED, Unavailable, "no aggregator of this version"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable, "did not answer in time"),
        (grpc.StatusCode.CANCELLED, Unavailable, "ended the call"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Unavailable, "too much at once: because; try later"),
        (grpc.StatusCode.INTERNAL, Unavailable, r"failed \(internal\): because"),
        (grpc.StatusCode.UNAVAILABLE, Unavailable, "no aggregator answers"),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else "",
)
def test_every_failure_says_what_happened(ask, code, kind, said):
    with (
        _serving(Failing(code)) as target,
        RecordClient(target) as client,
        pytest.raises(kind, match=said),
    ):
        list(getattr(client, ask)())


def test_a_watch_that_the_server_ends_is_not_taken_for_an_end():
    with _serving(Ending()) as target, RecordClient(target) as client:
        watch = client.watch()
        assert watch.cursor == "7"
        with pytest.raises(Unavailable, match="ended the watch"):
            next(watch)


def _tls(name: str) -> tuple[trustme.CA, grpc.ServerCredentials]:
    authority = trustme.CA()
    leaf = authority.issue_cert(name)
    chain = leaf.cert_chain_pems[0].bytes()
    return authority, grpc.ssl_server_credentials([(leaf.private_key_pem.bytes(), chain)])


@pytest.mark.parametrize(
    ("name", "root", "said"),
    [
        ("localhost", "other", "was not signed by the root in"),
        ("elsewhere.test", "own", "is for another name"),
        ("localhost", "junk", "holds no usable certificate"),
        ("localhost", None, "in the clear; if it speaks TLS"),
    ],
    ids=["another root", "another name", "a root file of junk", "no root given"],
)
def test_what_is_wrong_with_tls_is_said(tmp_path: Path, name, root, said):
    authority, credentials = _tls(name)
    file = tmp_path / "root.pem"
    pems = {
        "own": authority.cert_pem.bytes(),
        "other": trustme.CA().cert_pem.bytes(),
        "junk": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }
    file.write_bytes(pems.get(root, b""))
    with _serving(Ending(), credentials) as plain:
        target = AggregatorTarget(plain.address, ca_file=file if root else None)
        with RecordClient(target) as client, pytest.raises(Unavailable, match=said):
            client.usage()


def test_a_client_that_is_closed_says_so():
    client = RecordClient(AggregatorTarget("127.0.0.1:9"))
    client.close()
    for ask in (lambda: list(client.query()), client.usage, client.watch):
        with pytest.raises(Unavailable, match="the client is closed"):
            ask()
