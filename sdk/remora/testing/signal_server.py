"""An aggregator's SignalService in memory, for tests of who sends signals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from remora_proto.v1 import signals_pb2 as pb
from remora_proto.v1 import signals_pb2_grpc as pb_grpc


class SignalServer(pb_grpc.SignalServiceServicer):
    """Keeps what it is sent, each signal once.

    Attributes:
        kept: Signals by their ids, in the order in which they came first.
        came: How often each id came.
        requests: How many requests came.
        refuses_with: Answer with this status instead; None: answer.
        refused_kinds: Signals of these kinds are refused, with these reasons.
        unfit_ids: Requests that hold one of these are refused whole.
        authorizations: What requests showed as their token.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.kept: dict[str, pb.Signal] = {}
        self.came: dict[str, int] = {}
        self.requests = 0
        self.refuses_with: grpc.StatusCode | None = None
        self.refused_kinds: dict[str, str] = {}
        self.unfit_ids: set[str] = set()
        self.authorizations: set[str] = set()
        self.changed = asyncio.Condition()

    async def Send(  # noqa: N802 - the method's name on the wire
        self,
        request: pb.SendSignalsRequest,
        context: grpc.aio.ServicerContext[pb.SendSignalsRequest, pb.SendSignalsResponse],
    ) -> pb.SendSignalsResponse:
        """Keep signals, or refuse as told."""
        self.requests += 1
        metadata = dict(context.invocation_metadata() or ())
        self.authorizations.add(str(metadata.get("authorization", "")))
        if self.refuses_with is not None:
            await context.abort(self.refuses_with, "as told")
        if self.unfit_ids & {signal.signal_id for signal in request.signals}:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "as told")
        answer = pb.SendSignalsResponse()
        for index, signal in enumerate(request.signals):
            if reason := self.refused_kinds.get(signal.kind):
                answer.refused.add(index=index, reason=reason)
                continue
            answer.known += signal.signal_id in self.kept
            answer.accepted += 1
            self.kept.setdefault(signal.signal_id, signal)
            self.came[signal.signal_id] = self.came.get(signal.signal_id, 0) + 1
        async with self.changed:
            self.changed.notify_all()
        return answer

    async def holds(self, count: int) -> list[pb.Signal]:
        """Wait until so many signals are kept, and give all."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.kept) >= count)
        return list(self.kept.values())


@asynccontextmanager
async def serving_signals(server: SignalServer, address: str) -> AsyncIterator[str]:
    """Serve it at an address; gives where: port 0 becomes a real one."""
    running = grpc.aio.server()
    pb_grpc.add_SignalServiceServicer_to_server(server, running)
    port = running.add_insecure_port(address)
    await running.start()
    try:
        yield address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
    finally:
        await running.stop(0)
