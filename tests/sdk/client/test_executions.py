"""The clients of executions against a real aggregator."""

import asyncio
import threading
from decimal import Decimal

import grpc
import pytest
from tests.aggregator.store.executions import report, step

from remora.client.executions import AsyncExecutionClient, ExecutionClient, ExecutionFilter
from remora.client.target import AggregatorTarget
from remora.errors import BadRequest, Unavailable
from remora.execution_report import ExecutionStatus, StepCounts, StepStatus
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc

SOON_S = 30


@pytest.fixture
async def address():
    async with temporary_aggregator() as aggregator:
        yield aggregator.address


async def _report(address, *reports):
    async with grpc.aio.insecure_channel(address) as channel:
        request = pb.ReportExecutionsRequest(pod_uid="pod-1", pod_name="a-1", reports=reports)
        await pb_grpc.WorkflowServiceStub(channel).Report(request)


async def _with_client(address, ask, **options):
    def run():
        with ExecutionClient(AggregatorTarget(address), **options) as client:
            return ask(client)

    return await asyncio.to_thread(run)


async def test_an_execution_is_told_with_its_steps(address):
    done = step("a", pb.STEP_STATUS_COMPLETED, model="m", receipt_ids=["r1"])
    done.known_cost_usd = "0.001"
    await _report(address, report(steps=[done], known_cost_usd="0.001"))
    stored = await _with_client(address, lambda client: client.get("e-1"))
    assert (stored.namespace, stored.pod_uid, stored.pod_name) == ("local", "pod-1", "a-1")
    assert stored.report.cost_usd == Decimal("0.001")
    (told,) = stored.report.steps
    assert (told.status, told.model, told.receipt_ids) == (StepStatus.COMPLETED, "m", ("r1",))
    async with AsyncExecutionClient(AggregatorTarget(address)) as client:
        assert await client.get("e-1") == stored


@pytest.mark.parametrize("page_size", [1, 2, 500])
@pytest.mark.parametrize("limit", [None, 0, 1, 3, 9])
async def test_pages_are_whole(address, page_size, limit):
    await _report(address, *map(report, range(1, 6)))
    found = await _with_client(
        address, lambda client: list(client.list(limit=limit)), page_size=page_size
    )
    expected = ["e-5", "e-4", "e-3", "e-2", "e-1"][:limit]
    assert [one.report.execution_id for one in found] == expected
    async with AsyncExecutionClient(AggregatorTarget(address), page_size=page_size) as client:
        assert [one async for one in client.list(limit=limit)] == found


async def test_a_filter_chooses(address):
    failed = report(2, status=pb.EXECUTION_STATUS_FAILED, steps=[step()])
    await _report(address, report(1), failed)
    wanted = ExecutionFilter(statuses=(ExecutionStatus.FAILED,), workflow="research")
    (found,) = await _with_client(address, lambda client: list(client.list(wanted)))
    assert (found.report.execution_id, found.report.steps) == ("e-2", ())
    assert found.step_counts == StepCounts(steps=1, running=1)


async def test_an_unknown_one_is_refused(address):
    with pytest.raises(BadRequest, match="nobody reported it") as error:
        await _with_client(address, lambda client: client.get("e-9"))
    assert error.value.status == 404


async def test_a_watch_tells_changes_until_it_is_closed(address):
    told, began = [], threading.Event()

    def follow():
        with ExecutionClient(AggregatorTarget(address)) as client:
            watch = client.watch()
            began.set()
            for one in watch:
                told.append((one.report.execution_id, one.report.revision))
                if one.report.status.is_over:
                    watch.close()
            return watch.cursor

    following = asyncio.create_task(asyncio.to_thread(follow))
    assert await asyncio.to_thread(began.wait, SOON_S)
    await _report(address, report(1))
    await _report(address, report(1, 2, status=pb.EXECUTION_STATUS_COMPLETED))
    async with asyncio.timeout(SOON_S):
        cursor = await following
    assert told[-1] == ("e-1", 2)
    assert cursor


async def test_an_asynchronous_watch_of_one_tells_its_steps(address):
    async with AsyncExecutionClient(AggregatorTarget(address)) as client:
        watch = client.watch(execution_id="e-1", cursor="x0")
        await _report(address, report(2), report(1, steps=[step("a")]))
        async with asyncio.timeout(SOON_S):
            told = await anext(watch)
        assert [one.step_id for one in told.report.steps] == ["a"]
        await watch.aclose()


async def test_a_watch_that_the_aggregator_ends_says_so():
    began = threading.Event()

    def follow(address):
        with ExecutionClient(AggregatorTarget(address)) as client:
            watch = client.watch()
            began.set()
            return list(watch)

    async with temporary_aggregator() as aggregator:
        following = asyncio.create_task(asyncio.to_thread(follow, aggregator.address))
        assert await asyncio.to_thread(began.wait, SOON_S)
    with pytest.raises(Unavailable):
        await following
