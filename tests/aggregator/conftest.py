"""A real aggregator on a free port, and clients of it."""

from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from remora_aggregator.server import Aggregator
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

MakeRecord = Callable[..., pb.CallRecord]


@pytest.fixture
def make_record() -> MakeRecord:
    """Make records that differ by number: ``make_record(3, status_code=500)``."""

    def make(number: int, **fields: object) -> pb.CallRecord:
        record = pb.CallRecord(
            call_id=f"{number:032x}",
            started_unix_nano=1_000 + number,
            provider="openai",
            dialect="openai-chat",
            operation="chat",
            requested_model="gpt-4o",
            response_model="gpt-4o-2024-08-06",
            status_code=200,
            end_reason=pb.END_REASON_COMPLETED,
            latency_s=0.5,
            usage=pb.Usage(input_tokens=10, output_tokens=5),
            cost=pb.Cost(total_usd="0.0001"),
            attribution=pb.Attribution(session_id="default"),
        )
        record.MergeFrom(pb.CallRecord(**fields))
        return record

    return make


@pytest.fixture
async def aggregator() -> AsyncIterator[Aggregator]:
    async with temporary_aggregator() as running:
        yield running


@pytest.fixture
async def stub(aggregator: Aggregator) -> AsyncIterator[pb_grpc.RecordServiceStub]:
    async with grpc.aio.insecure_channel(aggregator.address) as channel:
        yield pb_grpc.RecordServiceStub(channel)
