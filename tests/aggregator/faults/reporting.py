"""Who reports through a failing network, and who follows: each goes on until it is done.

A `WireReporter` is a plain reading of the protocol, quicker than a sidecar's; a `SidecarReporter`
is a sidecar's own spool and reporter. Both keep what is not acknowledged and send it again.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import grpc
from tests.aggregator.faults.truth import Made, Truth

from remora.client.target import AggregatorTarget
from remora.clock import SystemClock
from remora.record_wire import from_message
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc
from remora_sidecar.spool.delivery import DeliveryLimits
from remora_sidecar.spool.reporter import Reporter
from remora_sidecar.spool.spool import Spool

BATCH = 10
_WINDOW = 400
_ANSWER_S = 3.0
_LIMITS = DeliveryLimits(answer_s=_ANSWER_S, linger_s=0.01, batch_records=50)


class WireReporter:
    """Reports made records under one pod's name, over streams to any of some replicas.

    Attributes:
        sent_again: How many records were sent more than once.
        acknowledged: How many were acknowledged.
        refusals: Why records were refused.
    """

    def __init__(
        self, made: Made, addresses: Sequence[str], pace_s: float, chance: random.Random
    ) -> None:
        """Take what makes its records, where to send them, and how long to rest between."""
        self.sent_again = 0
        self.acknowledged = 0
        self.refusals: Counter[str] = Counter()
        self._made = made
        self._addresses = addresses
        self._pace_s = pace_s
        self._chance = chance
        self._pending: dict[int, bytes] = {}
        self._unsent: list[int] = []
        self._tried: set[int] = set()
        self._last = 0
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Report until told to stop and all is acknowledged."""
        while not (self.stopping.is_set() and not self._pending):
            target = AggregatorTarget(self._chance.choice(self._addresses))
            with suppress(grpc.aio.AioRpcError, TimeoutError, asyncio.InvalidStateError):
                async with target.aio_channel() as channel:
                    await self._stream(pb_grpc.RecordServiceStub(channel).Report())
            await asyncio.sleep(0.05)

    async def _stream(self, call) -> None:
        self._unsent = sorted(self._pending)
        receiving = asyncio.ensure_future(self._receive(call))
        try:
            hello = pb.ReportRequest.Hello(pod_uid=self._made.pod_uid)
            greeting = call.write(pb.ReportRequest(hello=hello))
            # A call that is cancelled before it stands, as by a read that took too long, has
            # gRPC wait for good in a write.
            await asyncio.wait_for(greeting, _ANSWER_S)
            while not receiving.done() and not (self.stopping.is_set() and not self._pending):
                await self._next(call)
            if receiving.done():
                await receiving
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            call.cancel()

    async def _next(self, call) -> None:
        if not self.stopping.is_set() and len(self._pending) < _WINDOW:
            for record in self._made.batch(BATCH):
                self._last += 1
                self._pending[self._last] = record
                self._unsent.append(self._last)
        some, self._unsent = self._unsent[:BATCH], self._unsent[BATCH:]
        if some:
            request = pb.ReportRequest()
            for number in some:
                record = pb.CallRecord.FromString(self._pending[number])
                request.entries.add(sequence=number, record=record)
            self.sent_again += len(self._tried.intersection(some))
            self._tried.update(some)
            await asyncio.wait_for(call.write(request), _ANSWER_S)
        await asyncio.sleep(self._pace_s * self._chance.random() * 2)

    async def _receive(self, call) -> None:
        while True:
            response = await asyncio.wait_for(call.read(), _ANSWER_S)
            if response is grpc.aio.EOF:
                return
            for number in response.acknowledged:
                self.acknowledged += self._pending.pop(number, None) is not None
                self._tried.discard(number)
            for refusal in response.refused:
                self._pending.pop(refusal.sequence, None)
                self.refusals[refusal.reason] += 1


class SidecarReporter:
    """A sidecar's own spool and reporter."""

    def __init__(
        self, made: Made, address: str, spool: Path, pace_s: float, chance: random.Random
    ) -> None:
        """Take what makes its records, where to send them, and the spool's file."""
        self._made = made
        self._pace_s = pace_s
        self._chance = chance
        self.spool = Spool.open(spool, clock=SystemClock())
        self.reporter = Reporter(
            self.spool,
            AggregatorTarget(address),
            pod_uid=made.pod_uid,
            sidecar_version="test",
            clock=SystemClock(),
            limits=_LIMITS,
        )
        self.stopping = asyncio.Event()

    def append(self, count: int) -> None:
        """Have some calls end."""
        records = map(pb.CallRecord.FromString, self._made.batch(count))
        self.spool.append(*map(from_message, records))

    async def run(self) -> None:
        """Report until told to stop and all is delivered."""
        running = asyncio.ensure_future(self.reporter.run())
        try:
            while not self.stopping.is_set():
                if self.spool.depth < _WINDOW:
                    self.append(BATCH)
                await asyncio.sleep(self._pace_s * self._chance.random() * 2)
            assert await self.reporter.flush(60), self.reporter.problem
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self.spool.close()


class Follower:
    """Watches from its cursor on, over whichever replica answers.

    Attributes:
        resumed: How often it went on after a stream had ended.
    """

    def __init__(self, addresses: Sequence[str], truth: Truth, chance: random.Random) -> None:
        """Take where to watch, and who is told what was seen."""
        self.resumed = -1
        self._addresses = addresses
        self._truth = truth
        self._chance = chance
        self._cursor = ""
        self.stands = asyncio.Event()

    async def run(self, done: Callable[[], bool]) -> None:
        """Follow until that is enough."""
        while not done():
            target = AggregatorTarget(self._chance.choice(self._addresses))
            with suppress(grpc.aio.AioRpcError, TimeoutError):
                async with target.aio_channel() as channel:
                    await self._follow(pb_grpc.RecordServiceStub(channel), done)
            await asyncio.sleep(0.05)

    async def _follow(self, stub, done: Callable[[], bool]) -> None:
        call = stub.Watch(pb.WatchRequest(cursor=self._cursor, without_bodies=True))
        try:
            while not done():
                event = await asyncio.wait_for(call.read(), _ANSWER_S)
                if event is grpc.aio.EOF:
                    return
                self.resumed += event.HasField("ready_cursor")
                self._take(event)
        finally:
            call.cancel()

    def _take(self, event: pb.WatchResponse) -> None:
        if event.HasField("ready_cursor"):
            self._cursor = self._cursor or event.ready_cursor
            self.stands.set()
            return
        self._cursor = event.stored.cursor
        self._truth.seen[event.stored.record.call_id, event.stored.record.revision] += 1
