"""Records and usage, asked of an aggregator by a synchronous program."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from remora.client import filter as filters
from remora.client import usage as usages
from remora.client.aggregator import AggregatorClient, AggregatorWatch
from remora.client.filter import Order, RecordFilter
from remora.client.target import AggregatorTarget
from remora.client.usage import UsageDimension, UsageRow
from remora.record_wire import stored_from_message
from remora.records import StoredRecord
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

_PAGE = 500
_EVERYTHING = RecordFilter()


class RecordClient(AggregatorClient):
    """Asks one aggregator about calls."""

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Args:
            target: Where the aggregator is.
            page_size: How many records are asked for at a time.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._page_size = page_size
        self._stub = pb_grpc.RecordServiceStub(self._channel)

    def query(
        self,
        wanted: RecordFilter = _EVERYTHING,
        *,
        order: Order = Order.OLDEST_FIRST,
        order_by: str = "",
        limit: int | None = None,
        with_bodies: bool = False,
        fields: Sequence[str] = (),
    ) -> Iterator[StoredRecord]:
        """Yield the records that match, asking for a page at a time as they are taken.

        Args:
            wanted: Which records.
            order: Oldest or newest first; with `order_by` the smallest or the largest.
            order_by: A field that is a number, such as ``latency_s`` or ``cost.total_usd``; those
                that lack it come last. Default: the order in which records were committed, which
                stays what it is while others are stored.
            limit: How many at most; None: all.
            with_bodies: Whether captured bodies come too.
            fields: Paths of the fields to fetch, such as ``usage`` or ``cost.total_usd``; all
                others are then as if nobody had stated them. Default: all.
        """
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            request = pb.QueryRequest(
                filter=filters.to_message(wanted),
                order=order.value,  # type: ignore[arg-type]  # the enum's wire number
                limit=page,
                cursor=cursor,
                without_bodies=not with_bodies,
                order_by=order_by,
                fields=_readable(fields),
                in_pages=True,
            )
            taken = 0
            for stored in self._records(request):
                taken, cursor = taken + 1, stored.cursor
                yield stored_from_message(stored)
            if taken < page:
                return
            left = None if left is None else left - taken

    def _records(self, request: pb.QueryRequest) -> Iterator[pb.StoredRecord]:
        for answer in self._stream(self._stub.Query, request):
            if answer.HasField("stored"):  # an older aggregator knows no pages
                yield answer.stored
            yield from answer.page

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
        watch = RecordWatch(self._stub.Watch(request), self._target, cursor, self._closed)
        watch.wait_ready()
        return watch

    def usage(
        self,
        wanted: RecordFilter = _EVERYTHING,
        group_by: Sequence[UsageDimension] = (UsageDimension.MODEL,),
        *,
        interval_s: int = 0,
        quantiles: Sequence[float] = (),
        limit: int = 0,
    ) -> list[UsageRow]:
        """Return the sums of the matching calls, one row for each group.

        Args:
            wanted: Which calls.
            group_by: By what.
            interval_s: Sums for each span of so long, aligned to the Unix epoch, in the order of
                time; 0: for the whole time.
            quantiles: Which quantiles of latency, first token and overhead to tell, each between
                0 and 1.
            limit: The groups with the most calls; 0: all. Not together with `interval_s`.
        """
        request = pb.UsageRequest(
            filter=filters.to_message(wanted),
            group_by=[dimension.value for dimension in group_by],  # type: ignore[misc]  # as above
            interval_s=interval_s,
            quantiles=quantiles,
            limit=limit,
        )
        answer = self._ask(self._stub.Usage, request)
        return [usages.from_message(row, answer.quantile_error) for row in answer.rows]


def _readable(fields: Sequence[str]) -> list[str]:
    """Ask for the sum of a cost that is asked for in part: none is without."""
    is_part = any(path.startswith("cost.") for path in fields)
    return list(dict.fromkeys((*fields, *(["cost.total_usd"] if is_part else []))))


class RecordWatch(AggregatorWatch[StoredRecord]):
    """Records as they are committed; ends when it or its client is closed."""

    def __init__(
        self, call: Any, target: AggregatorTarget, cursor: str, client_closed: threading.Event
    ) -> None:
        """Take a Watch call; made by `RecordClient.watch`."""
        super().__init__(call, target, cursor, client_closed)
        self._held: list[StoredRecord] = []

    def wait_ready(self) -> None:
        """Wait until the subscription stands.

        An aggregator that is asked to go on after a cursor may send what it has before it
        says so: then that says it as well.
        """
        event = self._next_event()
        if event is not None and event.WhichOneof("event") == "stored":
            self._held.append(stored_from_message(event.stored))

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
        event: pb.WatchResponse | None = super()._next_event()
        if event is not None and event.WhichOneof("event") == "ready_cursor" and not self.cursor:
            self.cursor = event.ready_cursor
        return event
