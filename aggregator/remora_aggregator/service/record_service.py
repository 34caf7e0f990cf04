"""RecordService: takes reports, answers queries, follows and sums up."""

from collections.abc import AsyncIterator, Sequence

from remora.clock import Clock
from remora.errors import BadRequest
from remora_aggregator.service.caller import Caller, Callers
from remora_aggregator.service.grpc_errors import Context, errors_as_status
from remora_aggregator.service.projection import order_of, projection
from remora_aggregator.service.sidecar_news import HearNews, news_in, nobody_listens
from remora_aggregator.service.usage_answer import usage_answer
from remora_aggregator.store.cursor import cursor_of, place_of
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.following import Seen, feed
from remora_aggregator.store.questions import usage_question
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.selection import Selection, selection
from remora_aggregator.store.sql import Place
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

_MAX_POD_UID_CHARS = 128
_NS = 1_000_000_000


class RecordService(pb_grpc.RecordServiceServicer):
    """Serves one store, of which each caller sees its part."""

    def __init__(
        self,
        store: RecordStore,
        callers: Callers,
        clock: Clock,
        *,
        version: str,
        hear: HearNews = nobody_listens,
    ) -> None:
        """Take the store, who says whose call it is, and who hears what sidecars say."""
        self._hear = hear
        self._store = store
        self._callers = callers
        self._clock = clock
        self._version = version

    async def Report(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> AsyncIterator[pb.ReportResponse]:
        """Store what a sidecar reports; each answer follows the commit of what it names."""
        async with errors_as_status(context):
            caller = self._caller(context)
            namespace = caller.home
            version, pod_uid = self._version, ""
            async for request in request_iterator:
                if request.HasField("hello"):
                    pod_uid = checked_pod_uid(request.hello.pod_uid, caller)
                if not pod_uid:
                    raise BadRequest("the first message of a report must be a hello with pod_uid")
                received_unix_ns = self._clock.now_unix_ns()
                skew_s = _skew_s(request.sent_unix_nano, received_unix_ns)
                stamp = Stamp(namespace, pod_uid, received_unix_ns, skew_s)
                if (news := news_in(request, stamp)) is not None:
                    self._hear(news)
                yield await self._taken(request.entries, stamp, version)
                version = ""

    async def _taken(
        self, entries: Sequence[pb.ReportRequest.Entry], stamp: Stamp, version: str
    ) -> pb.ReportResponse:
        answer = pb.ReportResponse(aggregator_version=version)
        if not entries:
            return answer
        outcomes = await self._store.write([entry.record for entry in entries], stamp)
        taken = []
        for entry, outcome in zip(entries, outcomes, strict=True):
            if outcome.is_refused:
                answer.refused.add(sequence=entry.sequence, reason=outcome.reason)
            else:
                taken.append(entry.sequence)
        answer.acknowledged.extend(taken)
        return answer

    async def Query(  # noqa: N802 - gRPC's name
        self, request: pb.QueryRequest, context: Context
    ) -> AsyncIterator[pb.QueryResponse]:
        """Stream the records that match."""
        async with errors_as_status(context):
            shown = projection(request.fields)
            pages = self._store.pages(
                self._selection(request.filter, context),
                after=place_of(request.cursor),
                order=order_of(request.order_by, request.order),
                limit=request.limit,
                bodies=shown.bodies and not request.without_bodies,
            )
            async for page in pages:
                found = [shown.of(stored) for stored in page.records]
                if request.in_pages:
                    yield pb.QueryResponse(page=found)
                    continue
                for stored in found:
                    yield pb.QueryResponse(stored=stored)

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncIterator[pb.WatchResponse]:
        """Follow the records that match, without gap or repetition."""
        async with errors_as_status(context), self._store.followed() as woken:
            chosen = self._selection(request.filter, context)
            after = place_of(request.cursor)
            if after is None:
                after = Place(await self._store.last_position())
            yield pb.WatchResponse(ready_cursor=cursor_of(after))
            bodies = not request.without_bodies
            async for news in feed(self._store, chosen, after, woken, bodies=bodies):
                if isinstance(news, Seen):
                    await woken.wait()
                    continue
                for stored in news.records:
                    yield pb.WatchResponse(stored=stored)

    async def Usage(self, request: pb.UsageRequest, context: Context) -> pb.UsageResponse:  # noqa: N802 - gRPC's name
        """Sum up the records that match."""
        async with errors_as_status(context):
            chosen = self._selection(request.filter, context)
            question = usage_question(request, chosen)
            return usage_answer(request, await self._store.usage(question))
        raise AssertionError("the context ends the call")  # pragma: no cover

    def _selection(self, wanted: pb.RecordFilter, context: Context) -> Selection:
        scope = self._caller(context).scope
        return selection(wanted, scope.namespaces, only_pod_uid=scope.pod_uid)

    def _caller(self, context: Context) -> Caller:
        return self._callers.caller(context.invocation_metadata() or ())


def _skew_s(sent_unix_ns: int, received_unix_ns: int) -> float | None:
    """How far the sender's clock is ahead, if it says when it sent."""
    return (sent_unix_ns - received_unix_ns) / _NS if sent_unix_ns else None


def checked_pod_uid(pod_uid: str, caller: Caller, where: str = "hello.pod_uid") -> str:
    """Return the pod that a caller says it is; raises BadRequest where it proved to be another."""
    if not pod_uid or len(pod_uid) > _MAX_POD_UID_CHARS:
        raise BadRequest(f"{where} must have 1 to {_MAX_POD_UID_CHARS} characters")
    if caller.pod_uid and pod_uid != caller.pod_uid:
        text = f"{where} is {pod_uid!r}, and the token is bound to {caller.pod_uid!r}"
        raise BadRequest(text, status=403, code="other_pod")
    return pod_uid
