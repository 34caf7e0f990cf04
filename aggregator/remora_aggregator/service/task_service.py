"""TaskService: leases of shared budgets, and the life of tasks."""

import asyncio
from collections.abc import AsyncIterator, Callable

from remora.clock import Clock
from remora.errors import BadRequest
from remora_aggregator.service.budget_wire import budget_selection, page_written
from remora_aggregator.service.caller import Caller, Callers
from remora_aggregator.service.grpc_errors import Context, errors_as_status
from remora_aggregator.service.leasing import Leasing
from remora_aggregator.service.permissions import Act
from remora_aggregator.service.task_feed import TaskFeed
from remora_aggregator.service.task_sweep import TaskSweep
from remora_aggregator.service.task_wire import (
    budget_of,
    control_of,
    selection_of,
    state_of,
    written,
)
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import Limit
from remora_aggregator.tasks.budgets import PAGE_BUDGETS, budget_place
from remora_aggregator.tasks.conclusions import QuietRules
from remora_aggregator.tasks.leases import LeaseSettings
from remora_aggregator.tasks.lifecycle import Asking, Terms
from remora_aggregator.tasks.ports import ChangedTask, TaskRecords, TaskStore
from remora_aggregator.tasks.selection import PAGE_TASKS, Place, cursor_of, place_of
from remora_aggregator.tasks.states import Actor, ActorKind, State
from remora_aggregator.tasks.task import Task, TaskEntry, TaskKey, begun, checked_id, gone
from remora_proto.v1 import tasks_pb2 as pb
from remora_proto.v1 import tasks_pb2_grpc as pb_grpc

BEAT_S = 30.0
MAX_HELD_TASKS = 10_000
"""How many tasks that are not open a sidecar is told of: of more, those that changed last."""

_MAX_RECORDS = 500

type Ask = Callable[[TaskEntry, Asking], Task]


class TaskService(pb_grpc.TaskServiceServicer):
    """Serves one store. `run` has to run beside it."""

    def __init__(
        self,
        store: TaskStore,
        records: TaskRecords,
        callers: Callers,
        clock: Clock,
        *,
        leases: LeaseSettings | None = None,
        quiet: QuietRules | None = None,
        beat_s: float = BEAT_S,
    ) -> None:
        """Take the stores and who says who calls.

        Args:
            store: Of tasks and leases.
            records: Of the tasks' calls.
            callers: Say who calls.
            clock: Says how long nobody called for a task, and which windows are over.
            leases: How leases are granted.
            quiet: When tasks change that nobody calls for.
            beat_s: Watches are sent something at least so often.
        """
        self._store = store
        self._records = records
        self._callers = callers
        self._clock = clock
        self._leasing = Leasing(store, leases or LeaseSettings())
        self._feed = TaskFeed(store)
        self._sweep = TaskSweep(store, quiet or QuietRules(), clock)
        self._beat_s = beat_s

    async def run(self) -> None:
        """Wake watches and look for quiet tasks until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed.run(), name="task feed")
            tasks.create_task(self._sweep.run(), name="quiet tasks")

    async def Lease(self, request: pb.LeaseRequest, context: Context) -> pb.LeaseResponse:  # noqa: N802 - gRPC's name
        """Charge what sidecars spent, and grant what they ask for."""
        async with errors_as_status(context):
            caller = self._caller(context)
            caller.must(Act.LEASE)
            return await self._leasing.answer(request, caller)
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Budgets(self, request: pb.BudgetsRequest, context: Context) -> pb.BudgetsResponse:  # noqa: N802 - gRPC's name
        """Give a page of shared budgets, with what is spent and leased of each."""
        async with errors_as_status(context):
            caller = self._caller(context)
            if request.filter.namespace:
                caller.namespace_of(request.filter.namespace)
            now = self._clock.now_unix_ns()
            page = await self._store.budgets(
                budget_selection(request.filter, caller.namespaces, now),
                after=budget_place(request.cursor),
                limit=min(request.limit or PAGE_BUDGETS, PAGE_BUDGETS),
            )
            return page_written(page)
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Get(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:  # noqa: N802 - gRPC's name
        """Give a task with a page of its calls' records."""
        async with errors_as_status(context):
            key = _key(self._caller(context), request.namespace, request.task_id)
            if (entry := await self._store.task(key)) is None:
                raise gone(key)
            answer = pb.GetTaskResponse(task=written(entry, history=True))
            if limit := min(request.records, _MAX_RECORDS):
                found = await self._records.records_of(key, cursor=request.cursor, limit=limit)
                answer.records.extend(found)
                answer.next_cursor = found[-1].cursor if len(found) == limit else ""
            return answer
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def List(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:  # noqa: N802 - gRPC's name
        """Give a page of tasks, those created last first."""
        async with errors_as_status(context):
            caller = self._caller(context)
            if request.filter.namespace:
                caller.namespace_of(request.filter.namespace)
            limit = min(request.limit or PAGE_TASKS, PAGE_TASKS)
            entries = await self._store.tasks(
                selection_of(request.filter, caller.namespaces),
                after=place_of(request.cursor),
                limit=limit,
            )
            answer = pb.ListTasksResponse(tasks=map(written, entries))
            if len(entries) == limit:
                answer.next_cursor = cursor_of(Place.of(entries[-1].task))
            return answer
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: pb.WatchTasksRequest, context: Context
    ) -> AsyncIterator[pb.WatchTasksResponse]:
        """Follow a namespace's tasks, or only what is to become of their calls."""
        async with errors_as_status(context):
            namespace = self._caller(context).namespace_of(request.namespace)
            only = request.controls_only
            if only and request.cursor:
                raise BadRequest("controls_only begins with all there is: it takes no cursor")
            with self._feed.watched(namespace, controls_only=only) as woken:
                cursor = request.cursor or await self._store.last_cursor()
                if only:
                    held = await self._store.held_tasks(namespace, limit=MAX_HELD_TASKS)
                    cursor = held.cursor
                    for changed in held.tasks:
                        yield pb.WatchTasksResponse(control=control_of(changed.entry.task))
                ready = pb.WatchTasksResponse.Ready(beat_s=self._beat_s)
                yield pb.WatchTasksResponse(ready=ready, cursor=cursor)
                async for event in self._followed(namespace, cursor, woken, only=only):
                    yield event

    async def _followed(
        self, namespace: str, cursor: str, woken: asyncio.Event, *, only: bool
    ) -> AsyncIterator[pb.WatchTasksResponse]:
        namespaces = frozenset({namespace})
        while True:
            woken.clear()
            changes = await self._store.changes(
                cursor, namespaces=namespaces, controls_only=only, limit=PAGE_TASKS
            )
            for changed in changes.tasks:
                yield _event(changed, only=only)
            cursor = changes.cursor
            if len(changes.tasks) < PAGE_TASKS and not await _within(self._beat_s, woken):
                beat = pb.WatchTasksResponse.Beat()
                yield pb.WatchTasksResponse(beat=beat, cursor=cursor)

    async def Create(self, request: pb.CreateTaskRequest, context: Context) -> pb.Task:  # noqa: N802 - gRPC's name
        """Make a task known before its first call."""
        async with errors_as_status(context):
            caller, key = self._writer(context, request.namespace, request.task_id)
            state = state_of(request.state) or State.PENDING
            terms = Terms(_budget(request), request.title or None)

            def decide(entry: TaskEntry | None, now_unix_ns: int) -> Task:
                asking = _asking(caller, request.reason, now_unix_ns)
                return lifecycle.created(entry, key, state, terms, asking)

            return written(await self._store.change_task(key, decide), history=True)
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Update(self, request: pb.UpdateTaskRequest, context: Context) -> pb.Task:  # noqa: N802 - gRPC's name
        """Say what a task is about now, or that it is over."""
        async with errors_as_status(context):
            state = state_of(request.state)
            title = request.title if request.HasField("title") else None
            terms = Terms(_budget(request), title)
            return await self._change(
                context,
                request,
                lambda entry, asking: lifecycle.updated(entry, state, terms, asking),
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Cancel(self, request: pb.CancelTaskRequest, context: Context) -> pb.Task:  # noqa: N802 - gRPC's name
        """Refuse a task's calls for good."""
        async with errors_as_status(context):
            cut = request.cut_streams
            return await self._change(
                context,
                request,
                lambda entry, asking: lifecycle.cancelled(entry.task, asking, cut_streams=cut),
                create=request.create,
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Pause(self, request: pb.PauseTaskRequest, context: Context) -> pb.Task:  # noqa: N802 - gRPC's name
        """Refuse a task's calls until it is resumed."""
        async with errors_as_status(context):
            return await self._change(
                context,
                request,
                lambda entry, asking: lifecycle.paused(entry.task, asking),
                create=request.create,
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Resume(self, request: pb.ResumeTaskRequest, context: Context) -> pb.Task:  # noqa: N802 - gRPC's name
        """Let a paused task go on."""
        async with errors_as_status(context):
            return await self._change(context, request, lifecycle.resumed, act=Act.RESUME_TASKS)
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def _change(
        self,
        context: Context,
        request: "_Change",
        ask: Ask,
        *,
        create: bool = False,
        act: Act = Act.STEER_TASKS,
    ) -> pb.Task:
        caller, key = self._writer(context, request.namespace, request.task_id, act)

        def decide(entry: TaskEntry | None, now_unix_ns: int) -> Task:
            asking = _asking(caller, request.reason, now_unix_ns)
            if entry is None:
                if not create:
                    raise gone(key)
                entry = TaskEntry(begun(key, State.PENDING, asking.by, asking.reason, now_unix_ns))
            return ask(entry, asking)

        return written(await self._store.change_task(key, decide), history=True)

    def _writer(
        self, context: Context, namespace: str, task_id: str, act: Act = Act.STEER_TASKS
    ) -> tuple[Caller, TaskKey]:
        caller = self._caller(context)
        caller.must(act)
        return caller, _key(caller, namespace, task_id)

    def _caller(self, context: Context) -> Caller:
        return self._callers.caller(context.invocation_metadata() or ())


type _Change = (
    pb.UpdateTaskRequest | pb.CancelTaskRequest | pb.PauseTaskRequest | pb.ResumeTaskRequest
)


def _key(caller: Caller, namespace: str, task_id: str) -> TaskKey:
    return TaskKey(caller.namespace_of(namespace), checked_id(task_id))


def _asking(caller: Caller, reason: str, now_unix_ns: int) -> Asking:
    return Asking(Actor(ActorKind.CALLER, caller.name), reason, now_unix_ns)


def _budget(request: pb.CreateTaskRequest | pb.UpdateTaskRequest) -> Limit | None:
    return budget_of(request.budget) if request.HasField("budget") else None


def _event(changed: ChangedTask, *, only: bool) -> pb.WatchTasksResponse:
    if only:
        control = control_of(changed.entry.task)
        return pb.WatchTasksResponse(control=control, cursor=changed.cursor)
    return pb.WatchTasksResponse(task=written(changed.entry), cursor=changed.cursor)


async def _within(seconds: float, woken: asyncio.Event) -> bool:
    """Wait until woken; False if that took too long."""
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return False
    return True
