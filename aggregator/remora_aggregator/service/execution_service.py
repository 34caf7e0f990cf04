"""WorkflowService: takes what sidecars say of executions, and tells of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from remora.errors import BadRequest
from remora_aggregator.service.caller import Caller, Callers
from remora_aggregator.service.execution_wire import (
    MOST_REPORTS,
    checked_execution_id,
    checked_report,
    no_execution,
    selection_of,
)
from remora_aggregator.service.grpc_errors import Context, errors_as_status
from remora_aggregator.service.record_service import checked_pod_uid
from remora_aggregator.signals.names import id_of
from remora_aggregator.store.execution_selection import (
    PAGE_EXECUTIONS,
    ExecutionPlace,
    change_position,
    cursor_of,
    place_of,
)
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.execution_tables import Sender, Taken
from remora_aggregator.store.record_store import RecordStore
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc

BEAT_S: Final = 30.0
PAUSE_S: Final = 0.1
"""Between two reads of a watch: every commit wakes it, and most change no execution."""

_MOST_NAME_CHARS: Final = 256


class WorkflowService(pb_grpc.WorkflowServiceServicer):
    """Serves one store."""

    def __init__(
        self,
        executions: StoredExecutions,
        store: RecordStore,
        callers: Callers,
        *,
        beat_s: float = BEAT_S,
    ) -> None:
        """Take the stores and who says who calls.

        Args:
            executions: Keeps them.
            store: Says when something was committed.
            callers: Say who calls.
            beat_s: Watches are sent something at least so often.
        """
        self._executions = executions
        self._store = store
        self._callers = callers
        self._beat_s = beat_s

    async def Report(  # noqa: N802 - gRPC's name
        self, request: pb.ReportExecutionsRequest, context: Context
    ) -> pb.ReportExecutionsResponse:
        """Store reports; what is answered is committed."""
        async with errors_as_status(context):
            sender = _sender(request, self._caller(context))
            if len(request.reports) > MOST_REPORTS:
                count = len(request.reports)
                raise BadRequest(f"{count} reports are too many: send {MOST_REPORTS} at once")
            answer = pb.ReportExecutionsResponse()
            fit = _fit(request.reports, answer)
            taken = await self._executions.take([request.reports[at] for at in fit], sender)
            _say(answer, fit, taken)
            return answer
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Get(  # noqa: N802 - gRPC's name
        self, request: pb.GetExecutionRequest, context: Context
    ) -> pb.StoredExecution:
        """Give one execution with its steps."""
        async with errors_as_status(context):
            namespace = self._caller(context).namespace_of(request.namespace)
            execution_id = checked_execution_id(request.execution_id)
            stored = await self._executions.execution(namespace, execution_id)
            if stored is None:
                raise no_execution(namespace, execution_id)
            return stored
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def List(  # noqa: N802 - gRPC's name
        self, request: pb.ListExecutionsRequest, context: Context
    ) -> pb.ListExecutionsResponse:
        """Give a page of executions, without their steps."""
        async with errors_as_status(context):
            caller = self._caller(context)
            if request.filter.namespace:
                caller.namespace_of(request.filter.namespace)
            limit = min(request.limit or PAGE_EXECUTIONS, PAGE_EXECUTIONS)
            found = await self._executions.executions(
                selection_of(request.filter, caller.namespaces),
                after=place_of(request.cursor),
                limit=limit,
            )
            return pb.ListExecutionsResponse(
                executions=found,
                next_cursor=next_cursor(found) if len(found) == limit else "",
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: pb.WatchExecutionsRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionsResponse]:
        """Follow a namespace's executions, or one of them."""
        async with errors_as_status(context), self._store.followed() as woken:
            namespace = self._caller(context).namespace_of(request.namespace)
            if request.execution_id:
                checked_execution_id(request.execution_id)
            cursor = request.cursor or await self._executions.last_cursor()
            change_position(cursor)
            ready = pb.WatchExecutionsResponse.Ready(beat_s=self._beat_s)
            yield pb.WatchExecutionsResponse(ready=ready, cursor=cursor)
            async for event in self._followed(namespace, request.execution_id, cursor, woken):
                yield event

    async def _followed(
        self, namespace: str, execution_id: str, cursor: str, woken: asyncio.Event
    ) -> AsyncIterator[pb.WatchExecutionsResponse]:
        beat_at_s = self._next_beat_s()
        while True:
            woken.clear()
            changes = await self._executions.changes(
                cursor,
                namespaces=frozenset({namespace}),
                execution_id=execution_id,
                limit=PAGE_EXECUTIONS,
            )
            for one in changes.executions:
                yield pb.WatchExecutionsResponse(execution=one.stored, cursor=one.cursor)
                beat_at_s = self._next_beat_s()
            cursor = changes.cursor
            if len(changes.executions) == PAGE_EXECUTIONS:
                continue
            if not await _until(beat_at_s, woken):
                beat = pb.WatchExecutionsResponse.Beat()
                yield pb.WatchExecutionsResponse(beat=beat, cursor=cursor)
                beat_at_s = self._next_beat_s()
            await asyncio.sleep(PAUSE_S)

    def _next_beat_s(self) -> float:
        return asyncio.get_running_loop().time() + self._beat_s

    def _caller(self, context: Context) -> Caller:
        return self._callers.caller(context.invocation_metadata() or ())


def next_cursor(found: Sequence[pb.StoredExecution]) -> str:
    """Give the cursor after a page; empty after an empty one."""
    if not found:
        return ""
    report = found[-1].report
    place = ExecutionPlace(report.began_unix_nano, found[-1].namespace, report.execution_id)
    return cursor_of(place)


def _sender(request: pb.ReportExecutionsRequest, caller: Caller) -> Sender:
    return Sender(
        caller.home,
        checked_pod_uid(request.pod_uid, caller, "pod_uid"),
        caller.name,
        id_of(request.pod_name, "pod_name", _MOST_NAME_CHARS),
        id_of(request.workload, "workload", _MOST_NAME_CHARS),
    )


def _fit(reports: Sequence[pb.ExecutionReport], answer: pb.ReportExecutionsResponse) -> list[int]:
    """Find those that can be taken, and write down why the others can't."""
    found = []
    for index, report in enumerate(reports):
        try:
            checked_report(report)
            found.append(index)
        except BadRequest as error:
            answer.refused.add(index=index, reason=str(error))
    return found


def _say(answer: pb.ReportExecutionsResponse, fit: Sequence[int], taken: Sequence[Taken]) -> None:
    for index, became in zip(fit, taken, strict=True):
        if became is Taken.CLASHES:
            answer.refused.add(index=index, reason="the execution is another pod's")
        else:
            answer.accepted += 1
            answer.known += became is Taken.KNOWN


async def _until(at_s: float, woken: asyncio.Event) -> bool:
    """Wait until woken; False if that took too long."""
    try:
        async with asyncio.timeout_at(at_s):
            await woken.wait()
    except TimeoutError:
        return False
    return True
