"""What a sidecar says of itself, from its own spool to what the aggregator's health says of it."""

import asyncio
import json
import urllib.request
from contextlib import asynccontextmanager

import grpc
import pytest

from remora.client.target import AggregatorTarget
from remora.clock import SystemClock
from remora.records import Origin
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc
from remora_sidecar.spool.delivery import DeliveryLimits
from remora_sidecar.spool.reporter import Reporter
from remora_sidecar.spool.spool import Spool

TALKATIVE = DeliveryLimits(linger_s=0.01, idle_poll_s=0.05, state_s=0.0)
_SOON_S = 30


@pytest.fixture
async def server():
    async with temporary_aggregator(http_listen="127.0.0.1:0") as running:
        yield running


@pytest.fixture
def spool(tmp_path):
    opened = Spool.open(tmp_path / "spool.db", clock=SystemClock())
    yield opened
    opened.close()


@asynccontextmanager
async def reporting(spool, server):
    reporter = Reporter(
        spool,
        AggregatorTarget(server.address),
        pod_uid="pod-1",
        sidecar_version="1.2.3",
        origin=Origin(pod_name="web-1", workload="web", node="n1"),
        policy=lambda: ("team-a/research", "v9"),
        clock=SystemClock(),
        limits=TALKATIVE,
    )
    task = asyncio.get_running_loop().create_task(reporter.run())
    try:
        yield reporter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _sidecars(server):
    with urllib.request.urlopen(f"http://{server.http_address}/v1/health", timeout=10) as answer:
        return json.load(answer)["sidecars"]


async def told(server, fits):
    """Wait until the one sidecar is told as it should be."""
    async with asyncio.timeout(_SOON_S):
        while not ((found := await asyncio.to_thread(_sidecars, server)) and fits(found[0])):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (only,) = found
    return only


async def test_a_sidecar_that_has_nothing_to_report_is_known_by_what_it_says(server, spool):
    async with reporting(spool, server):
        one = await told(server, lambda _: True)
        later = await told(server, lambda now: now["last_seen_at"] > one["last_seen_at"])
    assert (one["pod_name"], one["workload"], one["node"]) == ("web-1", "web", "n1")
    assert (one["version"], one["last_record_at"], one["delay_s"]) == ("1.2.3", None, None)
    assert one["policies"] == [{"name": "team-a/research", "version": "v9"}]
    assert (later["waiting"]["records"], later["waiting"]["bytes"]) == (0, 0)
    assert later["waiting"]["limit_bytes"] == 256 * 1024 * 1024


async def test_what_waits_is_told_while_the_store_takes_nothing_and_after(
    server, spool, make_call_record
):
    writer = server.store.backend.writer
    await server.store.write_with(lambda: writer.execute("pragma query_only = on"))
    spool.append(*map(make_call_record, range(30)))
    async with reporting(spool, server) as reporter:
        one = await told(server, lambda now: now["waiting"]["records"] == 30)
        assert 0 < one["waiting"]["bytes"] < one["waiting"]["limit_bytes"]
        assert reporter.delivered_total == 0
        await server.store.write_with(lambda: writer.execute("pragma query_only = off"))
        await told(server, lambda now: now["waiting"]["records"] == 0 and now["last_record_at"])
        assert reporter.delivered_total == 30


async def test_of_a_sidecar_too_old_to_say_it_the_spool_is_not_known(server, make_record):
    hello = pb.ReportRequest.Hello(pod_uid="old", sidecar_version="0.1")

    async def said():
        yield pb.ReportRequest(hello=hello)
        yield pb.ReportRequest(entries=[pb.ReportRequest.Entry(sequence=1, record=make_record(1))])

    async with grpc.aio.insecure_channel(server.address) as channel:
        async for _ in pb_grpc.RecordServiceStub(channel).Report(said()):
            pass
    one = await told(server, lambda now: now["last_record_at"])
    assert (one["pod_uid"], one["version"], one["waiting"]) == ("old", "0.1", None)


async def test_what_a_later_sidecar_says_of_itself_is_passed_over(server):
    later = b"\xba\xbb\x04\x05later"
    state = pb.SidecarState(waiting_records=(1 << 64) - 1)
    state.MergeFromString(later)
    hello = pb.ReportRequest.Hello(pod_uid="new", sidecar_version="9" * 10_000)
    request = pb.ReportRequest(hello=hello, state=state)

    async def said():
        yield request

    async with grpc.aio.insecure_channel(server.address) as channel:
        answers = [answer async for answer in pb_grpc.RecordServiceStub(channel).Report(said())]
    assert len(answers) == 1
    one = await told(server, lambda _: True)
    assert (one["waiting"]["records"], one["waiting"]["bytes"]) == ((1 << 63) - 1, None)
    assert len(one["version"]) == 256


@pytest.fixture
def make_call_record(make_record):
    """Make records as a sidecar has them."""
    from remora.record_wire import from_message

    return lambda number: from_message(make_record(number))
