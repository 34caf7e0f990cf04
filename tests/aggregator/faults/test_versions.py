"""Sidecars and aggregators of different versions, and stores that a later one has written to."""

import asyncio
import sqlite3
from contextlib import closing

import grpc
import pytest
from tests.aggregator.faults.replica import replica

from remora.client.target import AggregatorTarget
from remora.errors import Unavailable
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

_LATER = b"\xba\xbb\x04\x05later"
"""Field 9,143 with five bytes, which no message of this version has."""


@pytest.fixture
async def server(tmp_path):
    async with replica(tmp_path / "aggregator") as made:
        await asyncio.to_thread(made.start)
        yield made


def _of_later_version(number):
    record = pb.CallRecord(
        call_id=f"{number:032x}",
        started_unix_nano=1_780_000_000_000_000_000,
        response_model="gpt-4o",
        usage=pb.Usage.FromString(pb.Usage(input_tokens=3).SerializeToString() + _LATER),
    )
    record.request_body.MergeFromString(pb.Body(content=b"asked").SerializeToString() + _LATER)
    record.MergeFromString(_LATER)
    return record


async def _report(address, *messages):
    async with AggregatorTarget(address).aio_channel() as channel:
        call = pb_grpc.RecordServiceStub(channel).Report()
        for message in messages:
            await call.write(message)
        await call.done_writing()
        return [number for answer in [_ async for _ in call] for number in answer.acknowledged]


async def test_what_a_later_sidecar_says_outlives_an_older_aggregator(server):
    sent = _of_later_version(1)
    hello = pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod"))
    hello.hello.MergeFromString(_LATER)
    report = pb.ReportRequest(entries=[pb.ReportRequest.Entry(sequence=7, record=sent)])
    report.MergeFromString(_LATER)
    assert await _report(server.address, hello, report) == [7]
    await server.restarted()
    async with AggregatorTarget(server.address).aio_channel() as channel:
        [answer] = [_ async for _ in pb_grpc.RecordServiceStub(channel).Query(pb.QueryRequest())]
    found = answer.stored.record
    assert found == sent
    for part in (found, found.usage, found.request_body):
        assert _LATER in part.SerializeToString()
    assert found.SerializeToString().count(_LATER) == 3


async def test_an_older_sidecar_that_says_little_is_taken(server):
    little = pb.CallRecord(call_id="a" * 32, started_unix_nano=1)
    hello = pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod"))
    report = pb.ReportRequest(entries=[pb.ReportRequest.Entry(sequence=1, record=little)])
    assert await _report(server.address, hello, report) == [1]


async def test_a_store_of_a_later_version_is_refused_and_left_as_it_is(server):
    await asyncio.to_thread(server.stop)
    store = server.data_dir / "records.db"
    with closing(sqlite3.connect(store)) as later, later:
        columns = "migration_set, name, applied_at"
        later.execute(
            f"insert into _sqlite_migrations ({columns}) "  # noqa: S608 - our own words
            "values ('remora-aggregator', '9999_regions', '')"
        )
    with pytest.raises(Unavailable, match="does not know: 9999_regions"):
        await asyncio.to_thread(server.start)
    with closing(sqlite3.connect(store)) as later, later:
        later.execute("delete from _sqlite_migrations where name = '9999_regions'")
    await asyncio.to_thread(server.start)
    async with AggregatorTarget(server.address).aio_channel() as channel:
        stub = pb_grpc.RecordServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="cursor"):
            await stub.Query(pb.QueryRequest(cursor="of another kind")).read()
