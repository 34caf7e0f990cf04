"""Records and usage, asked of an aggregator by a synchronous program.

One `RecordClient` holds one connection. Its methods raise `remora.errors.Unavailable` where
the aggregator can't be reached and `remora.errors.BadRequest` where it refuses the question;
nothing of gRPC shows.
"""

import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from remora.client import filter as filters
from remora.client import usage as usages
from remora.client.failures import explain
from remora.client.filter import Order, RecordFilter
from remora.client.target import AggregatorTarget
from remora.client.usage import UsageDimension, UsageRow
from remora.errors import Unavailable
from remora.record_wire import stored_from_message
from remora.records import StoredRecord
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

_PAGE = 500
_USAGE_TIMEOUT_S = 60.0
_EVERYTHING = RecordFilter()


class RecordClient:
    """Asks one aggregator; a context manager, usable from several threads."""

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Args:
            target: Where the aggregator is.
            page_size: How many records are asked for at a time.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        self._target = target
        self._page_size = page_size
        self._closed = threading.Event()
        self._channel = target.channel()
        self._stub = pb_grpc.RecordServiceStub(self._channel)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close the connection; what still waits in another thread ends."""
        self._closed.set()
        self._channel.close()

    def query(
        self,
        wanted: RecordFilter = _EVERYTHING,
        *,
        order: Order = Order.OLDEST_FIRST,
        limit: int | None = None,
        with_bodies: bool = False,
    ) -> Iterator[StoredRecord]:
        """Yield the records that match, asking for a page at a time as they are taken."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            request = pb.QueryRequest(
                filter=filters.to_message(wanted),
                order=order.value,  # type: ignore[arg-type]  # the enum's wire number
                limit=page,
                cursor=cursor,
                without_bodies=not with_bodies,
            )
            taken = 0
            for stored in self._page(request):
                taken, cursor = taken + 1, stored.cursor
                yield stored
            if taken < page:
                return
            left = None if left is None else left - taken

    def _page(self, request: pb.QueryRequest) -> Iterator[StoredRecord]:
        self._check_open()
        call = self._stub.Query(request)
        try:
            for answer in call:
                yield stored_from_message(answer.stored)
        except grpc.RpcError as error:
            raise explain(error, self._target) from error
        finally:
            call.cancel()  # type: ignore[no-untyped-call]  # untyped in the stubs

    def watch(
        self, wanted: RecordFilter = _EVERYTHING, *, cursor: str = "", with_bodies: bool = False
    ) -> "RecordWatch":
        """Follow the records that match, from now or from after a cursor.

        Returns when the aggregator watches: every record that it commits later is yielded.
        """
        request = pb.WatchRequest(
            filter=filters.to_message(wanted), cursor=cursor, without_bodies=not with_bodies
        )
        self._check_open()
        call = self._stub.Watch(request)
        watch = RecordWatch(call, self._target, cursor, self._closed)
        watch.wait_ready()
        return watch

    def usage(
        self,
        wanted: RecordFilter = _EVERYTHING,
        group_by: Sequence[UsageDimension] = (UsageDimension.MODEL,),
    ) -> list[UsageRow]:
        """Return the sums of the matching calls, one row for each group."""
        request = pb.UsageRequest(
            filter=filters.to_message(wanted),
            group_by=[dimension.value for dimension in group_by],  # type: ignore[misc]  # as above
        )
        self._check_open()
        try:
            answer = self._stub.Usage(request, timeout=_USAGE_TIMEOUT_S)
        except grpc.RpcError as error:
            raise explain(error, self._target) from error
        return [usages.from_message(row) for row in answer.rows]

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Unavailable("the client is closed")


class RecordWatch(Iterator[StoredRecord]):
    """Records as they are committed; ends when it or its client is closed.

    Attributes:
        cursor: Where to go on, without gap or repetition, after what was yielded so far.
    """

    def __init__(
        self, call: Any, target: AggregatorTarget, cursor: str, client_closed: threading.Event
    ) -> None:
        """Take a Watch call; made by `RecordClient.watch`."""
        self.cursor = cursor
        self._call = call
        self._target = target
        self._held: list[StoredRecord] = []
        self._closed = threading.Event()
        self._client_closed = client_closed

    def wait_ready(self) -> None:
        """Wait until the subscription stands.

        An aggregator that is asked to go on after a cursor may send what it has before it
        says so: then that says it as well.
        """
        event = self._next_event()
        if event is not None and event.WhichOneof("event") == "stored":
            self._held.append(stored_from_message(event.stored))

    def __iter__(self) -> Self:
        """Return the watch."""
        return self

    def __next__(self) -> StoredRecord:
        """Wait for the next record."""
        stored = self._held.pop() if self._held else self._next_stored()
        self.cursor = stored.cursor
        return stored

    def _next_stored(self) -> StoredRecord:
        while (event := self._next_event()) is not None:
            if event.WhichOneof("event") == "stored":
                return stored_from_message(event.stored)
        raise StopIteration

    def _next_event(self) -> pb.WatchResponse | None:
        """Return the next event; None if the watch was closed here."""
        try:
            event: pb.WatchResponse | None = next(self._call, None)
        except grpc.RpcError as error:
            if self._is_closed():
                return None
            raise explain(error, self._target) from error
        if event is None and not self._is_closed():
            raise Unavailable(f"the aggregator at {self._target.address} ended the watch")
        if event is not None and event.WhichOneof("event") == "ready_cursor" and not self.cursor:
            self.cursor = event.ready_cursor
        return event

    def _is_closed(self) -> bool:
        return self._closed.is_set() or self._client_closed.is_set()

    def close(self) -> None:
        """End the watch, from any thread."""
        self._closed.set()
        self._call.cancel()
