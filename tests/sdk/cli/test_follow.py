"""Following records through a restart of a real aggregator."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from remora.cli.follow import follow
from remora.client.filter import RecordFilter
from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.errors import Unavailable
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc


async def _report(address: str, *numbers: int) -> None:
    async def requests() -> AsyncIterator[pb.ReportRequest]:
        yield pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1"))
        for number in numbers:
            record = pb.CallRecord(call_id=f"{number:032x}", started_unix_nano=10**18 + number)
            yield pb.ReportRequest(entries=[{"sequence": number, "record": record}])

    async with grpc.aio.insecure_channel(address) as channel:
        async for _ in pb_grpc.RecordServiceStub(channel).Report(requests()):
            pass


class Following:
    """`follow` in a thread of its own; a retry waits until it is let go."""

    def __init__(self, address: str, *, with_earlier: bool = True) -> None:
        """Follow nothing yet."""
        self.address = address
        self.seen: queue.Queue[int] = queue.Queue()
        self.said: queue.Queue[str] = queue.Queue()
        self.retry = threading.Event()
        self._with_earlier = with_earlier
        self._client: RecordClient | None = None
        self._over = False

    def run(self) -> None:
        records = follow(
            self._connect,
            RecordFilter(),
            earlier=lambda client: client.query() if self._with_earlier else (),
            say=self.said.put,
            sleep=self._sleep,
        )
        with contextlib.suppress(Over):
            for stored in records:
                self.seen.put(int(stored.record.call_id, 16))

    def stop(self) -> None:
        self._over = True
        self.retry.set()
        if self._client is not None:
            self._client.close()

    def _connect(self) -> RecordClient:
        self._client = RecordClient(AggregatorTarget(self.address))
        return self._client

    def _sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 5
        assert self.retry.wait(timeout=30)
        if self._over:
            raise Over


class Over(Exception):
    """The test is done."""


@asynccontextmanager
async def following(address: str, *, with_earlier: bool = True) -> AsyncIterator[Following]:
    follower = Following(address, with_earlier=with_earlier)
    running = asyncio.get_running_loop().run_in_executor(None, follower.run)
    try:
        yield follower
    finally:
        follower.stop()
        await running


async def _next[T](of: "queue.Queue[T]") -> T:
    return await asyncio.to_thread(of.get, timeout=20)


async def test_a_restart_is_said_once_and_loses_and_repeats_nothing(tmp_path):
    async with AsyncExitStack() as stack:
        async with temporary_aggregator(data_dir=tmp_path) as first:
            await _report(first.address, 1)
            follower = await stack.enter_async_context(following(first.address))
            assert await _next(follower.seen) == 1
            await _report(first.address, 2)
            assert await _next(follower.seen) == 2
        assert (await _next(follower.said)).endswith("; waiting for it")
        async with temporary_aggregator(data_dir=tmp_path) as second:
            await _report(second.address, 3)
            follower.address = second.address
            follower.retry.set()
            assert await _next(follower.said) == "the aggregator is back"
            assert await _next(follower.seen) == 3
            await _report(second.address, 4)
            assert await _next(follower.seen) == 4
            follower.stop()
    assert follower.seen.empty()
    assert follower.said.empty()


async def test_without_earlier_ones_only_what_comes_is_shown():
    async with temporary_aggregator() as aggregator:
        await _report(aggregator.address, 1)
        async with following(aggregator.address, with_earlier=False) as follower:
            number = 2
            while follower.seen.empty():  # until its watch stands, what is reported is the past
                await _report(aggregator.address, number)
                number += 1
            assert await _next(follower.seen) >= 2


async def test_an_aggregator_that_never_answered_is_an_error_at_once():
    records = follow(
        lambda: RecordClient(AggregatorTarget("127.0.0.1:9")),
        RecordFilter(),
        earlier=lambda client: (),
        say=lambda text: None,
    )
    with pytest.raises(Unavailable, match="no aggregator answers"):
        await asyncio.to_thread(next, records)
