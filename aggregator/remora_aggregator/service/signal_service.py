"""SignalService: takes what became of answers, and tells what was taken."""

from collections.abc import Sequence
from typing import Final

from remora.clock import Clock
from remora.errors import BadRequest
from remora_aggregator.service.caller import Caller, Callers
from remora_aggregator.service.grpc_errors import Context, errors_as_status
from remora_aggregator.service.permissions import Act
from remora_aggregator.service.signal_wire import (
    MOST_SIGNALS,
    Reception,
    selection_of,
    signal_of,
    written,
)
from remora_aggregator.signals.ports import SignalStore, TakenSignal
from remora_aggregator.signals.signal import Signal
from remora_proto.v1 import signals_pb2 as pb
from remora_proto.v1 import signals_pb2_grpc as pb_grpc

PAGE_SIGNALS: Final = 500


class SignalService(pb_grpc.SignalServiceServicer):
    """Serves one store."""

    def __init__(self, store: SignalStore, callers: Callers, clock: Clock) -> None:
        """Take the store, who says who calls, and the clock that says when signals came."""
        self._store = store
        self._callers = callers
        self._clock = clock

    async def Send(  # noqa: N802 - gRPC's name
        self, request: pb.SendSignalsRequest, context: Context
    ) -> pb.SendSignalsResponse:
        """Store signals."""
        async with errors_as_status(context):
            caller = self._caller(context, Act.SEND_SIGNALS)
            if len(request.signals) > MOST_SIGNALS:
                count = len(request.signals)
                raise BadRequest(f"{count} signals are too many: send {MOST_SIGNALS} at once")
            return await self._taken(request, caller.namespace_of(request.namespace))
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def _taken(
        self, request: pb.SendSignalsRequest, namespace: str
    ) -> pb.SendSignalsResponse:
        now = self._clock.now_unix_ns()
        reception = Reception(namespace, await self._store.reporter_key(), now)
        answer = pb.SendSignalsResponse()
        signals = _read(request.signals, reception, answer)
        _count(answer, await self._store.take(signals))
        return answer

    async def Query(  # noqa: N802 - gRPC's name
        self, request: pb.QuerySignalsRequest, context: Context
    ) -> pb.QuerySignalsResponse:
        """Give a page of signals, the newest first."""
        async with errors_as_status(context):
            caller = self._caller(context, Act.READ_SIGNALS)
            if request.namespace:
                caller.namespace_of(request.namespace)
            page = await self._store.signals(
                selection_of(request, _seen(caller)),
                after=request.cursor,
                limit=min(request.limit or PAGE_SIGNALS, PAGE_SIGNALS),
            )
            return pb.QuerySignalsResponse(
                signals=map(written, page.signals), next_cursor=page.next_cursor
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    def _caller(self, context: Context, act: Act) -> Caller:
        caller = self._callers.caller(context.invocation_metadata() or ())
        caller.must(act)
        return caller


def _seen(caller: Caller) -> frozenset[str] | None:
    """Give the caller's own namespace; all that it may read if it has none."""
    return frozenset({caller.namespace}) if caller.namespace else caller.namespaces


def _read(
    messages: Sequence[pb.Signal], reception: Reception, answer: pb.SendSignalsResponse
) -> list[Signal]:
    """Read those that can be taken, and write down why the others can't."""
    found = []
    for index, message in enumerate(messages):
        try:
            found.append(signal_of(message, reception))
        except BadRequest as error:
            answer.refused.add(index=index, reason=str(error))
    return found


def _count(answer: pb.SendSignalsResponse, taken: Sequence[TakenSignal]) -> None:
    answer.accepted = len(taken)
    answer.known = sum(one.is_known for one in taken)
    answer.waiting = sum(one.is_waiting for one in taken)
