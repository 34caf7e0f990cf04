"""One stream of reports: greets, sends batches within a window, takes the answers.

Made by the reporter for one connection, and thrown away with it. It decides what is sent
and when a record may be forgotten; it knows nothing of channels, tokens or reconnecting.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import grpc

from remora.clock import Clock
from remora.errors import Unavailable
from remora.pauses import Sleep, first_of
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.spool.own_state import OwnState
from remora_sidecar.spool.row import Spooled
from remora_sidecar.spool.spool import Spool

type ReportCall = grpc.aio.StreamStreamCall[pb.ReportRequest | pb.WrittenReport, pb.ReportResponse]


def report_call(channel: grpc.aio.Channel) -> ReportCall:
    """Begin a stream of reports that takes records as they were written."""
    report = channel.stream_stream(
        f"/{pb.DESCRIPTOR.services_by_name['RecordService'].full_name}/Report",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=pb.ReportResponse.FromString,
    )
    call: ReportCall = report()  # type: ignore[call-arg]  # written to by hand, which the stubs do not know
    return call


@dataclass(frozen=True)
class DeliveryLimits:
    """How much is under way at once, and how long it may be.

    Attributes:
        batch_records: Records in one message.
        batch_bytes: Bytes of records in one message; below gRPC's usual 4 MiB with one
            record of the spool's largest size.
        window_records: Records sent and not yet acknowledged.
        linger_s: How long to wait for company after a record arrived: at a thousand calls
            a second, one message for each would cost more than carrying them.
        answer_s: How long the aggregator may leave sent records without any answer.
        listen_s: How long to listen before the greeting, where the last stream ended in it.
        idle_poll_s: How often to look though nothing was announced, and to be heard of though
            there is nothing to report.
        state_s: How often to say how much waits, at the most.
    """

    batch_records: int = 500
    batch_bytes: int = 1024 * 1024
    window_records: int = 2000
    linger_s: float = 0.1
    answer_s: float = 30.0
    listen_s: float = 1.0
    idle_poll_s: float = 30.0
    state_s: float = 5.0


class Listener(Protocol):
    """What a delivery tells its reporter."""

    def answered(self, version: str) -> None:
        """The aggregator answered something; ``version`` is empty where it did not say."""
        ...

    def delivered(self, records: int) -> None:
        """So many records are the aggregator's now."""
        ...


class NoAnswer(Unavailable):
    """The aggregator holds the connection but says nothing about what it was sent."""


class Delivery:
    """The conversation over one Report stream."""

    def __init__(
        self,
        spool: Spool,
        call: ReportCall,
        listener: Listener,
        *,
        state: OwnState,
        limits: DeliveryLimits,
        clock: Clock,
        sleep: Sleep,
        hurry: asyncio.Event,
    ) -> None:
        """Take the stream; ``hurry``, while set, ends all lingering."""
        self._state = state
        self._spool = spool
        self._call = call
        self._listener = listener
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._hurry = hurry
        self._unacknowledged: set[int] = set()
        self._room = asyncio.Event()
        self._heard_s = clock.monotonic_s()

    async def run(self, hello: pb.ReportRequest.Hello, *, listen_first: bool = False) -> None:
        """Converse until the stream ends.

        Args:
            hello: The greeting.
            listen_first: Whether to give the aggregator time to say why it wants none.

        Raises:
            grpc.aio.AioRpcError: It ended with an error.
            NoAnswer: Sent records were left without answer.
        """
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(hello, listen_first), name="report/send")
                watching = group.create_task(self._watch(), name="report/watch")
                await self._receive()
                sending.cancel()
                watching.cancel()
        except ExceptionGroup as errors:
            raise _first(errors) from None

    # Sending.

    async def _send(self, hello: pb.ReportRequest.Hello, listen_first: bool) -> None:
        if listen_first:
            await self._sleep(self._limits.listen_s)
        try:
            await self._call.write(pb.ReportRequest(hello=hello, state=await self._state.now()))
            while True:
                batch = await self._next_batch()
                state = await self._state.when_due()
                await self._call.write(_report(batch, self._clock.now_unix_ns(), state))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the stream is over: the receiving side knows why

    async def _next_batch(self) -> list[Spooled]:
        """Wait for records; gives none where none came for a while."""
        while True:
            await self._wait_for_room()
            self._spool.arrived.clear()
            batch = await self._spool.batch(
                min(self._limits.batch_records, self._free()), self._limits.batch_bytes
            )
            if batch:
                if not self._unacknowledged:
                    self._heard_s = self._clock.monotonic_s()
                self._unacknowledged.update(entry.sequence for entry in batch)
                return batch
            if not await self._wait_for_records():
                return []

    def _free(self) -> int:
        return self._limits.window_records - len(self._unacknowledged)

    async def _wait_for_room(self) -> None:
        while self._free() <= 0:
            self._room.clear()
            await self._room.wait()

    async def _wait_for_records(self) -> bool:
        await first_of(self._spool.arrived.wait(), self._sleep(self._limits.idle_poll_s))
        if not self._spool.arrived.is_set():
            return False
        await first_of(self._hurry.wait(), self._sleep(self._limits.linger_s))
        return True

    # Receiving.

    async def _receive(self) -> None:
        while True:
            response = await self._call.read()
            if not isinstance(response, pb.ReportResponse):  # gRPC's mark for the end
                return
            self._heard_s = self._clock.monotonic_s()
            self._listener.answered(response.aggregator_version)
            await self._settle(response)

    async def _settle(self, response: pb.ReportResponse) -> None:
        taken = self._unacknowledged.intersection(response.acknowledged)
        refused = {
            refusal.sequence: refusal.reason
            for refusal in response.refused
            if refusal.sequence in self._unacknowledged and refusal.sequence not in taken
        }
        if taken:
            await self._spool.forget(taken)
        if refused:
            await self._spool.refused(refused)
        self._unacknowledged -= taken | refused.keys()
        self._room.set()
        self._listener.delivered(len(taken))

    async def _watch(self) -> None:
        """End the stream when the aggregator has fallen silent."""
        while True:
            await self._sleep(self._limits.answer_s)
            silent_s = self._clock.monotonic_s() - self._heard_s
            if self._unacknowledged and silent_s >= self._limits.answer_s:
                raise NoAnswer(f"no answer for {silent_s:.0f} s")


def _report(
    batch: list[Spooled], sent_unix_ns: int, state: pb.SidecarState | None
) -> pb.WrittenReport:
    report = pb.WrittenReport(sent_unix_nano=sent_unix_ns, state=state)
    for entry in batch:
        report.entries.add(sequence=entry.sequence, record=entry.written)
    return report


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
