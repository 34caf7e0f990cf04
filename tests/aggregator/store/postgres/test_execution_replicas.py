"""Executions of workflows on several aggregators that share one database."""

import asyncio

import grpc
import pytest
from tests.aggregator.store.executions import NEIGHBOUR, SENDER, report

from remora.client.executions import ExecutionClient
from remora.client.target import AggregatorTarget
from remora.testing.clock import ManualClock
from remora_aggregator.store.execution_store import StoredExecutions
from remora_aggregator.store.postgres.backend import opened
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc

SOON_S = 60


async def test_a_watch_on_one_aggregator_sees_what_another_stores(postgres_dsn):
    async with (
        temporary_aggregator(database=postgres_dsn) as one,
        temporary_aggregator(database=postgres_dsn) as other,
        grpc.aio.insecure_channel(one.address) as here,
        grpc.aio.insecure_channel(other.address) as there,
    ):
        watch = pb_grpc.WorkflowServiceStub(here).Watch(pb.WatchExecutionsRequest())
        assert (await watch.read()).HasField("ready")
        for revision, channel in enumerate((there, here, there), 1):
            request = pb.ReportExecutionsRequest(pod_uid="p", reports=[report(1, revision)])
            await pb_grpc.WorkflowServiceStub(channel).Report(request)
            async with asyncio.timeout(SOON_S):
                assert (await watch.read()).execution.report.revision == revision
        watch.cancel()


async def test_reports_by_two_at_once_come_to_the_last_and_no_change_is_missed(postgres_dsn):
    async with opened(postgres_dsn) as first, opened(postgres_dsn) as second:
        stores = [StoredExecutions(store, ManualClock()) for store in (first, second)]
        begin = await stores[0].last_cursor()

        async def tell(store, sender, numbers):
            for revision in range(1, 9):
                await store.take([report(number, revision) for number in numbers], sender)

        async def follow(store):
            seen, cursor = {}, begin
            while seen != dict.fromkeys([f"e-{number}" for number in range(6)], 8):
                changes = await store.changes(cursor, namespaces=None, limit=2)
                cursor = changes.cursor
                for one in changes.executions:
                    seen[one.stored.report.execution_id] = one.stored.report.revision
                if not changes.executions:
                    await asyncio.sleep(0.01)

        async with asyncio.timeout(SOON_S):
            await asyncio.gather(
                tell(stores[0], SENDER, range(4)), tell(stores[1], SENDER, range(4)),
                tell(stores[1], NEIGHBOUR, (4, 5)), follow(stores[0]), follow(stores[1]),
            )  # fmt: skip


@pytest.mark.parametrize("asked", ["execution", "list"])
async def test_what_one_stored_the_other_tells(postgres_dsn, asked):
    async with (
        temporary_aggregator(database=postgres_dsn) as one,
        temporary_aggregator(database=postgres_dsn) as other,
        grpc.aio.insecure_channel(one.address) as channel,
    ):
        request = pb.ReportExecutionsRequest(pod_uid="p", reports=[report(1)])
        await pb_grpc.WorkflowServiceStub(channel).Report(request)
        found = await asyncio.to_thread(_asked, other.address, asked)
    assert found == "e-1"


def _asked(address, asked):
    with ExecutionClient(AggregatorTarget(address)) as client:
        if asked == "list":
            return next(client.list()).report.execution_id
        return client.get("e-1").report.execution_id
