"""Commands run against a real aggregator, in this process, and records for it."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import grpc

from remora.cli.main import _guarded, cli
from remora_aggregator.server import Aggregator
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

START_NS = 1_790_000_000_000_000_000


def record(number: int, **fields: object) -> pb.CallRecord:
    """Make a call that went well; they differ by number."""
    made = pb.CallRecord(
        call_id=f"{number:032x}",
        started_unix_nano=START_NS + number * 10**9,
        provider="openai",
        dialect="openai-chat",
        operation="chat",
        method="POST",
        url="https://api.openai.com/v1/chat/completions",
        requested_model="gpt-4o",
        sent_model="gpt-4o",
        response_model="gpt-4o-2024-08-06",
        status_code=200,
        end_reason=pb.END_REASON_COMPLETED,
        latency_s=0.5,
        usage=pb.Usage(input_tokens=1000, output_tokens=50),
        cost=pb.Cost(total_usd="0.003", price_source="s", price_date="2026-01-01"),
        attribution=pb.Attribution(session_id="sess_1", task_id="t1"),
        capture="full",
        request_body=pb.Body(content=b'{"a":1}', original_bytes=7),
    )
    made.MergeFrom(pb.CallRecord(**fields))
    return made


async def report(address: str, records: Iterable[pb.CallRecord]) -> None:
    """Have an aggregator store records, in their order."""

    async def requests() -> AsyncIterator[pb.ReportRequest]:
        yield pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1"))
        entries = [
            pb.ReportRequest.Entry(sequence=number, record=one)
            for number, one in enumerate(records)
        ]
        yield pb.ReportRequest(entries=entries)

    async with grpc.aio.insecure_channel(address) as channel:
        async for answer in pb_grpc.RecordServiceStub(channel).Report(requests()):
            assert list(answer.refused) == []


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments: str) -> Ended:
    """Run a command as `main` does."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = _guarded(
            lambda: cli.main(list(arguments), prog_name="remora", standalone_mode=False)
        )
    return Ended(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Asking:
    """Runs commands against one aggregator."""

    aggregator: Aggregator

    @property
    def address(self) -> str:
        """Where it is."""
        return self.aggregator.address

    async def __call__(self, *arguments: str) -> Ended:
        """Run a command."""
        return await asyncio.to_thread(run, *arguments, "--aggregator", self.address)

    async def report(self, *records: pb.CallRecord) -> None:
        """Have records stored."""
        await report(self.address, records)


@asynccontextmanager
async def asking(*records: pb.CallRecord, **settings: object) -> AsyncIterator[Asking]:
    """Run an aggregator with records in it."""
    async with temporary_aggregator(**settings) as aggregator:
        asked = Asking(aggregator)
        if records:
            await asked.report(*records)
        yield asked
