"""Executions of workflows, asked of an aggregator: by programs with and without an event loop."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from remora.client.aggregator import AggregatorClient, AggregatorWatch
from remora.client.async_aggregator import AsyncAggregatorClient
from remora.client.failures import understood
from remora.client.target import AggregatorTarget
from remora.execution_report import ExecutionReport, ExecutionStatus, StepCounts
from remora.execution_wire import STATUSES, execution_from_message
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc

_PAGE = 500


@dataclass(frozen=True, slots=True)
class StoredExecution:
    """An execution as an aggregator keeps it.

    Attributes:
        report: The last that was told of it; from lists and watches of many without steps.
        step_counts: How many steps stand where, also there.
        namespace: As the aggregator stamped it.
        pod_uid: Of the pod that runs it.
        pod_name: As it says itself.
        workload: As it says itself.
        received_unix_ns: When that was told.
    """

    report: ExecutionReport
    step_counts: StepCounts
    namespace: str
    pod_uid: str
    pod_name: str
    workload: str
    received_unix_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Which executions are asked for; what is empty does not filter.

    Attributes:
        namespace: Empty: all that the caller may see.
        statuses: Any of these.
        since_unix_ns: Began at this time or later.
    """

    namespace: str = ""
    statuses: tuple[ExecutionStatus, ...] = ()
    workflow: str = ""
    task_id: str = ""
    session_id: str = ""
    agent_id: str = ""
    since_unix_ns: int = 0


_EVERYTHING = ExecutionFilter()


class ExecutionClient(AggregatorClient):
    """Asks one aggregator about executions.

    Wherever a namespace is taken, none means the caller's own.
    """

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._page_size = page_size
        self._stub = pb_grpc.WorkflowServiceStub(self._channel)

    def get(self, execution_id: str, *, namespace: str = "") -> StoredExecution:
        """Return an execution with its steps; a BadRequest of status 404 where there is none."""
        request = pb.GetExecutionRequest(namespace=namespace, execution_id=execution_id)
        answer = self._ask(self._stub.Get, request)
        with understood(self._target):
            return stored_execution_of(answer)

    def list(
        self, wanted: ExecutionFilter = _EVERYTHING, *, limit: int | None = None
    ) -> Iterator[StoredExecution]:
        """Yield the executions that match, those that began last first, a page at a time."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            answer = self._ask(self._stub.List, _list_request(wanted, page, cursor))
            with understood(self._target):
                found = [stored_execution_of(one) for one in answer.executions]
            yield from found
            cursor = answer.next_cursor
            if not cursor:
                return
            left = None if left is None else left - len(found)

    def watch(
        self, namespace: str = "", *, execution_id: str = "", cursor: str = ""
    ) -> "ExecutionWatch":
        """Follow the executions of one namespace, or one of them, from now or after a cursor.

        Returns when the aggregator watches: every change that it commits later is told, those that
        come quickly after each other as one.

        Args:
            namespace: Of the executions.
            execution_id: Only this one, with its steps; empty: all, without theirs.
            cursor: Of an earlier watch.
        """
        self._check_open()
        request = pb.WatchExecutionsRequest(
            namespace=namespace, execution_id=execution_id, cursor=cursor
        )
        watch = ExecutionWatch(self._stub.Watch(request), self._target, cursor, self._closed)
        watch.wait_ready()
        return watch


class ExecutionWatch(AggregatorWatch[StoredExecution]):
    """Executions as they change; ends when it or its client is closed."""

    def wait_ready(self) -> None:
        """Wait until the subscription stands, which is said before anything else."""
        self._next_event()

    def __next__(self) -> StoredExecution:
        """Wait for the next execution that changes."""
        while (event := self._next_event()) is not None:
            if event.WhichOneof("event") == "execution":
                with understood(self._target):
                    return stored_execution_of(event.execution)
        raise StopIteration

    def _next_event(self) -> Any:
        event = super()._next_event()
        if event is not None and event.cursor:
            self.cursor = event.cursor
        return event


class AsyncExecutionClient(AsyncAggregatorClient):
    """As `ExecutionClient`, for one event loop."""

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._page_size = page_size
        self._stub = pb_grpc.WorkflowServiceStub(self._channel)

    async def get(self, execution_id: str, *, namespace: str = "") -> StoredExecution:
        """Return an execution with its steps; a BadRequest of status 404 where there is none."""
        request = pb.GetExecutionRequest(namespace=namespace, execution_id=execution_id)
        answer = await self._ask(self._stub.Get, request)
        with understood(self._target):
            return stored_execution_of(answer)

    async def list(
        self, wanted: ExecutionFilter = _EVERYTHING, *, limit: int | None = None
    ) -> AsyncIterator[StoredExecution]:
        """Yield the executions that match, as `ExecutionClient.list`."""
        left, cursor = limit, ""
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            answer = await self._ask(self._stub.List, _list_request(wanted, page, cursor))
            with understood(self._target):
                found = [stored_execution_of(one) for one in answer.executions]
            for one in found:
                yield one
            cursor = answer.next_cursor
            if not cursor:
                return
            left = None if left is None else left - len(found)

    async def watch(
        self, namespace: str = "", *, execution_id: str = "", cursor: str = ""
    ) -> AsyncIterator[StoredExecution]:
        """Yield executions as they change, as `ExecutionClient.watch`."""
        request = pb.WatchExecutionsRequest(
            namespace=namespace, execution_id=execution_id, cursor=cursor
        )
        async for event in self._stream(self._stub.Watch, request):
            if event.WhichOneof("event") == "execution":
                with understood(self._target):
                    changed = stored_execution_of(event.execution)
                yield changed


def stored_execution_of(message: pb.StoredExecution) -> StoredExecution:
    """Read the wire form; raises `decimal.InvalidOperation` where money is no decimal."""
    counts = message.step_counts
    return StoredExecution(
        report=execution_from_message(message.report),
        step_counts=StepCounts(counts.steps, counts.ended, counts.failed, counts.running),
        namespace=message.namespace,
        pod_uid=message.pod_uid,
        pod_name=message.pod_name,
        workload=message.workload,
        received_unix_ns=message.received_unix_nano,
    )


def _list_request(wanted: ExecutionFilter, limit: int, cursor: str) -> pb.ListExecutionsRequest:
    chosen = pb.ExecutionFilter(
        namespace=wanted.namespace,
        statuses=[STATUSES[status] for status in wanted.statuses],
        workflow=wanted.workflow,
        task_id=wanted.task_id,
        session_id=wanted.session_id,
        agent_id=wanted.agent_id,
        since_unix_nano=wanted.since_unix_ns,
    )
    return pb.ListExecutionsRequest(filter=chosen, limit=limit, cursor=cursor)
