"""The client of tasks against a real aggregator."""

import asyncio
from decimal import Decimal

import grpc
import pytest
from tests.sdk.cli.asking import record, report

from remora.client.target import AggregatorTarget
from remora.client.task import ActorKind, TaskBudget, TaskControl, TaskState
from remora.client.tasks import TaskClient, TaskFilter
from remora.errors import BadRequest, Unavailable
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2, records_pb2_grpc


@pytest.fixture
async def address():
    async with temporary_aggregator() as aggregator:
        yield aggregator.address


async def _with_client(address, ask, **options):
    def run():
        with TaskClient(AggregatorTarget(address), **options) as client:
            return ask(client)

    return await asyncio.to_thread(run)


def _of(task_id, number, **fields):
    who = records_pb2.Attribution(session_id="s", task_id=task_id)
    return record(number, attribution=who, **fields)


async def test_a_task_has_what_its_calls_came_to_and_its_history(address):
    await report(address, [_of("t1", 1), _of("t1", 2, status_code=500)])
    task = await _with_client(address, lambda client: client.get("t1"))
    assert (task.namespace, task.state, task.control) == (
        "local", TaskState.RUNNING, TaskControl.OPEN,
    )  # fmt: skip
    totals = task.totals
    assert (totals.calls, totals.errors, totals.input_tokens) == (2, 1, 2000)
    assert (totals.cost_usd, totals.pod_uids) == (Decimal("0.006"), ("pod-1",))
    (change,) = task.history
    assert (change.before, change.after, change.kind) == (
        TaskState.UNKNOWN, TaskState.RUNNING, ActorKind.CALL,
    )  # fmt: skip
    assert task.budget is None
    assert task.is_busy


@pytest.mark.parametrize("page_size", [1, 2, 500])
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 9])
async def test_pages_of_calls_are_whole(address, page_size, limit):
    await report(address, [_of("t1", number) for number in (1, 2, 3)])
    found = await _with_client(
        address, lambda client: list(client.calls("t1", limit=limit)), page_size=page_size
    )
    assert [int(stored.record.call_id, 16) for stored in found] == [1, 2, 3][:limit]


@pytest.mark.parametrize("page_size", [1, 2, 500])
async def test_pages_of_tasks_are_whole_and_the_last_created_come_first(address, page_size):
    def ask(client):
        for number in range(5):
            client.create(f"t{number}")
        return list(client.list()), list(client.list(limit=3))

    every, some = await _with_client(address, ask, page_size=page_size)
    assert [task.task_id for task in every] == ["t4", "t3", "t2", "t1", "t0"]
    assert some == every[:3]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (TaskFilter(), {"a", "b1", "b2"}),
        (TaskFilter(states=(TaskState.PAUSED,)), {"b1"}),
        (TaskFilter(states=(TaskState.PAUSED, TaskState.PENDING)), {"a", "b1"}),
        (TaskFilter(id_glob="b?"), {"b1", "b2"}),
        (TaskFilter(since_unix_ns=1 << 62), set()),
        (TaskFilter(namespace="local"), {"a", "b1", "b2"}),
    ],
    ids=["all", "state", "states", "glob", "since", "namespace"],
)
async def test_each_filter_reaches_the_aggregator(address, wanted, expected):
    def ask(client):
        client.create("a")
        client.pause("b1", create=True)
        client.create("b2", state=TaskState.PLANNING)
        return {task.task_id for task in client.list(wanted)}

    assert await _with_client(address, ask) == expected


async def test_a_task_is_steered_and_tells_who_did_it_and_why(address):
    def ask(client):
        made = client.create("t", budget=TaskBudget(Decimal("0.50"), 1000), title="Nightly")
        paused = client.pause("t", reason="look first")
        resumed = client.resume("t")
        updated = client.update("t", state=TaskState.RUNNING, title="", budget=TaskBudget())
        cancelled = client.cancel("t", reason="enough", cut_streams=True)
        return made, paused, resumed, updated, cancelled

    made, paused, resumed, updated, cancelled = await _with_client(address, ask)
    assert made.budget == TaskBudget(Decimal("0.5"), 1000)
    assert (paused.control, paused.history[-1].reason) == (TaskControl.PAUSED, "look first")
    assert (paused.history[-1].kind, paused.history[-1].by) == (ActorKind.CALLER, "local")
    assert resumed.state is TaskState.PENDING
    assert (updated.state, updated.title, updated.budget) == (TaskState.RUNNING, "", None)
    assert (cancelled.state, cancelled.cut_streams) == (TaskState.CANCELLED, True)


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda client: client.get("nobody"), 404),
        (lambda client: list(client.calls("nobody")), 404),
        (lambda client: client.resume("nobody"), 404),
        (lambda client: client.get("t", namespace="elsewhere"), 403),
        (lambda client: client.create("x" * 300), 400),
        (lambda client: client.create("t", budget=TaskBudget(Decimal(-1))), 400),
        (lambda client: (client.cancel("t", create=True), client.pause("t")), 400),
        (lambda client: next(client.watch(cursor="no such")), 400),
    ],
    ids=["get", "calls", "resume", "namespace", "id", "budget", "state", "cursor"],
)
async def test_what_can_not_be_is_the_askers_fault(address, ask, status):
    with pytest.raises(BadRequest) as error:
        await _with_client(address, ask)
    assert error.value.status == status


async def test_a_watch_tells_of_each_change_and_goes_on_from_its_cursor(address):
    client = TaskClient(AggregatorTarget(address))
    watch = await asyncio.to_thread(client.watch)
    await asyncio.to_thread(client.create, "t1")
    first = await asyncio.to_thread(next, watch)
    cursor = watch.cursor
    watch.close()
    await asyncio.to_thread(client.pause, "t1")
    await asyncio.to_thread(client.create, "t2")
    again = await asyncio.to_thread(client.watch, cursor=cursor)
    seen = [await asyncio.to_thread(next, again) for _ in range(2)]
    client.close()
    assert (first.task_id, first.state) == ("t1", TaskState.PENDING)
    assert [(task.task_id, task.state) for task in seen] == [
        ("t1", TaskState.PAUSED),
        ("t2", TaskState.PENDING),
    ]
    assert await asyncio.to_thread(list, again) == []


async def test_an_aggregator_that_knows_no_tasks_is_said_to_be_of_another_version():
    server = grpc.aio.server()
    records_pb2_grpc.add_RecordServiceServicer_to_server(
        records_pb2_grpc.RecordServiceServicer(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(Unavailable, match="no aggregator of this version"):
        await _with_client(f"127.0.0.1:{port}", lambda client: client.get("t"))
    await server.stop(None)


def test_a_client_that_is_closed_says_so():
    client = TaskClient(AggregatorTarget("127.0.0.1:9"))
    assert not client.is_closed
    client.close()
    assert client.is_closed
    for ask in (lambda: client.get("t"), lambda: list(client.list()), client.watch):
        with pytest.raises(Unavailable, match="the client is closed"):
            ask()
