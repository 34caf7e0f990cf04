"""RecordService: takes reports, answers queries, follows and sums up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from remora.clock import Clock
from remora.errors import BadRequest, Unavailable
from remora_aggregator.service.identity import Authenticator
from remora_aggregator.store import questions
from remora_aggregator.store.columns import Stamp, Value, cursor_of
from remora_aggregator.store.record_store import RecordStore
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

_MAX_POD_UID_CHARS = 128
_MAX_COUNT = (1 << 63) - 1

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
}

type Context = grpc.aio.ServicerContext[Any, Any]


class RecordService(pb_grpc.RecordServiceServicer):
    """Serves one store; the caller's namespace is the only one it sees."""

    def __init__(
        self, store: RecordStore, who: Authenticator, clock: Clock, *, version: str
    ) -> None:
        """Take the store and who says whose call it is."""
        self._store = store
        self._who = who
        self._clock = clock
        self._version = version

    async def Report(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> AsyncIterator[pb.ReportResponse]:
        """Store what a sidecar reports; each answer follows the commit of what it names."""
        async with _errors_as_status(context):
            namespace = self._namespace(context)
            version, pod_uid = self._version, ""
            async for request in request_iterator:
                if request.HasField("hello"):
                    pod_uid = _checked_pod_uid(request.hello.pod_uid)
                if not pod_uid:
                    raise BadRequest("the first message of a report must be a hello with pod_uid")
                stamp = Stamp(namespace, pod_uid, self._clock.now_unix_ns())
                yield await self._taken(request.entries, stamp, version)
                version = ""

    async def _taken(
        self, entries: Sequence[pb.ReportRequest.Entry], stamp: Stamp, version: str
    ) -> pb.ReportResponse:
        answer = pb.ReportResponse(aggregator_version=version)
        if not entries:
            return answer
        outcomes = await self._store.write([entry.record for entry in entries], stamp)
        for entry, outcome in zip(entries, outcomes, strict=True):
            if outcome.is_refused:
                answer.refused.add(sequence=entry.sequence, reason=outcome.reason)
            else:
                answer.acknowledged.append(entry.sequence)
        return answer

    async def Query(  # noqa: N802 - gRPC's name
        self, request: pb.QueryRequest, context: Context
    ) -> AsyncIterator[pb.QueryResponse]:
        """Stream the records that match."""
        async with _errors_as_status(context):
            if request.order not in (pb.RECORD_ORDER_OLDEST_FIRST, pb.RECORD_ORDER_NEWEST_FIRST):
                raise BadRequest(f"order {request.order} is none that this aggregator knows")
            pages = self._store.pages(
                questions.selection(request.filter, self._namespace(context)),
                after=questions.cursor_position(request.cursor),
                newest_first=request.order == pb.RECORD_ORDER_NEWEST_FIRST,
                limit=request.limit,
                bodies=not request.without_bodies,
            )
            async for page in pages:
                for stored in page:
                    yield pb.QueryResponse(stored=stored)

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncIterator[pb.WatchResponse]:
        """Follow the records that match, without gap or repetition."""
        async with _errors_as_status(context), self._store.followed() as woken:
            chosen = questions.selection(request.filter, self._namespace(context))
            after = questions.cursor_position(request.cursor)
            if after is None:
                after = await self._store.last_position()
            yield pb.WatchResponse(ready_cursor=cursor_of(after))
            while True:
                woken.clear()
                seen = await self._store.last_position()
                pages = self._store.pages(chosen, after=after, bodies=not request.without_bodies)
                async for page in pages:
                    for stored in page:
                        yield pb.WatchResponse(stored=stored)
                    after = questions.cursor_position(page[-1].cursor)
                after = max(after or 0, seen)
                await woken.wait()

    async def Usage(self, request: pb.UsageRequest, context: Context) -> pb.UsageResponse:  # noqa: N802 - gRPC's name
        """Sum up the records that match."""
        async with _errors_as_status(context):
            chosen = questions.selection(request.filter, self._namespace(context))
            dimensions = list(request.group_by) or [pb.USAGE_DIMENSION_MODEL]
            rows = await self._store.usage(chosen, dimensions)
            found = [usage_row(row, len(dimensions)) for row in rows]
            return pb.UsageResponse(rows=found, group_by=dimensions)
        raise AssertionError("the context ends the call")  # pragma: no cover

    def _namespace(self, context: Context) -> str:
        return self._who.namespace(context.invocation_metadata() or ())


def usage_row(row: Sequence[Value], keys: int) -> pb.UsageRow:
    """Read a row of sums; ``keys`` columns come first."""
    counts = [_count(value) for value in row[keys:]]
    cost, latency = row[keys + 9], row[keys + 10]
    return pb.UsageRow(
        keys=[str(value or "") for value in row[:keys]],
        calls=counts[0],
        errors=counts[1],
        unread_usage_calls=counts[2],
        unpriced_calls=counts[3],
        input_tokens=counts[4],
        output_tokens=counts[5],
        cache_read_tokens=counts[6],
        cache_write_tokens=counts[7],
        reasoning_tokens=counts[8],
        cost_usd=cost if isinstance(cost, str) else "",
        latency_sum_s=float(latency) if isinstance(latency, (int, float)) else 0.0,
        cached_calls=counts[11],
    )


def _count(value: Value) -> int:
    if not isinstance(value, (int, float)):
        return 0
    return int(max(-_MAX_COUNT, min(value, _MAX_COUNT)))


def _checked_pod_uid(pod_uid: str) -> str:
    if not pod_uid or len(pod_uid) > _MAX_POD_UID_CHARS:
        raise BadRequest(f"hello.pod_uid must have 1 to {_MAX_POD_UID_CHARS} characters")
    return pod_uid


@asynccontextmanager
async def _errors_as_status(context: Context) -> AsyncIterator[None]:
    """Translate our errors to gRPC's status once, at this edge."""
    try:
        yield
    except BadRequest as error:
        await context.abort(_STATUS.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error))
    except Unavailable as error:
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
