"""Signals, sent to an aggregator and asked of it: by programs with and without an event loop."""

from collections.abc import AsyncIterator, Iterator, Sequence

from remora.client.aggregator import AggregatorClient
from remora.client.async_aggregator import AsyncAggregatorClient
from remora.client.signal import (
    Sent,
    Signal,
    SignalFilter,
    StoredSignal,
    query_request,
    send_requests,
    sent_of,
    stored_signal_of,
)
from remora.client.target import AggregatorTarget
from remora_proto.v1 import signals_pb2_grpc as pb_grpc

_PAGE = 500
_EVERYTHING = SignalFilter()


class SignalClient(AggregatorClient):
    """Sends signals to one aggregator, and asks it for them."""

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._page_size = page_size
        self._stub = pb_grpc.SignalServiceStub(self._channel)

    def send(self, signals: Sequence[Signal], *, namespace: str = "") -> Sent:
        """Send signals; those that were taken are stored when it returns.

        To send them again, after an error for one, does no harm as long as they have ids.

        Args:
            signals: Any number.
            namespace: Of the calls; empty: the caller's own.
        """
        sent, after = Sent(), 0
        for request in send_requests(signals, namespace):
            sent = sent.plus(sent_of(self._ask(self._stub.Send, request)), after)
            after += len(request.signals)
        return sent

    def list(
        self, wanted: SignalFilter = _EVERYTHING, *, limit: int | None = None
    ) -> Iterator[StoredSignal]:
        """Yield the signals that match, the newest first, a page at a time."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            answer = self._ask(self._stub.Query, query_request(wanted, page, cursor))
            yield from map(stored_signal_of, answer.signals)
            cursor = answer.next_cursor
            if not cursor:
                return
            left = None if left is None else left - len(answer.signals)


class AsyncSignalClient(AsyncAggregatorClient):
    """As `SignalClient`, for one event loop."""

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._page_size = page_size
        self._stub = pb_grpc.SignalServiceStub(self._channel)

    async def send(self, signals: Sequence[Signal], *, namespace: str = "") -> Sent:
        """Send signals, as `SignalClient.send`."""
        sent, after = Sent(), 0
        for request in send_requests(signals, namespace):
            answer = await self._ask(self._stub.Send, request)
            sent = sent.plus(sent_of(answer), after)
            after += len(request.signals)
        return sent

    async def list(
        self, wanted: SignalFilter = _EVERYTHING, *, limit: int | None = None
    ) -> AsyncIterator[StoredSignal]:
        """Yield the signals that match, as `SignalClient.list`."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            answer = await self._ask(self._stub.Query, query_request(wanted, page, cursor))
            for signal in answer.signals:
                yield stored_signal_of(signal)
            cursor = answer.next_cursor
            if not cursor:
                return
            left = None if left is None else left - len(answer.signals)
