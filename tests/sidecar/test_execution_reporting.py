"""Reports of executions on their way to a real aggregator."""

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from tests.sidecar.engine.conftest import running_sidecar
from tests.sidecar.told_executions import COMPLETED, SOON_S, report, until

from remora.client.executions import AsyncExecutionClient
from remora.client.target import AggregatorTarget
from remora.clock import SystemClock
from remora.errors import BadRequest
from remora.execution_report import StepReported, StepStatus
from remora.task_owner import TaskOwner
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import workflows_pb2 as pb
from remora_proto.v1 import workflows_pb2_grpc as pb_grpc
from remora_sidecar.execution_outbox import ExecutionOutbox
from remora_sidecar.execution_reporting import ExecutionDelivery, ExecutionReporting, Teller
from remora_sidecar.execution_reports_opening import OUTBOX_FILE, open_execution_reports
from remora_sidecar.settings import SidecarSettings


@asynccontextmanager
async def reporting(path, address, pod_uid="pod-1"):
    """Run a reporting to an aggregator that may be there."""

    async def sleep(seconds):
        await asyncio.sleep(0.005 if seconds < 100 else seconds)

    outbox = ExecutionOutbox(path, sleep=sleep)
    target = AggregatorTarget(address)
    teller = Teller(pod_uid, "agent-1", "agents")
    delivery = ExecutionDelivery(outbox, target, teller, clock=SystemClock(), sleep=sleep)
    owner = TaskOwner("test")
    owner.spawn(outbox.run(), name="writer")
    owner.spawn(delivery.run(), name="delivery")
    try:
        yield ExecutionReporting(outbox, delivery)
    finally:
        await owner.aclose()
        await outbox.aclose()


async def _stored(address, number=1):
    async with AsyncExecutionClient(AggregatorTarget(address)) as client:
        return await client.get(f"e-{number}")


async def _until_stored(address, number, revision):
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                stored = await _stored(address, number)
            except BadRequest:
                stored = None
            if stored is not None and stored.report.revision >= revision:
                return stored
            await asyncio.sleep(0.02)


async def test_reports_come_to_the_aggregator_and_leave_the_outbox(tmp_path):
    told = report(1, steps=(StepReported("a", StepStatus.COMPLETED, receipt_ids=("r",)),))
    async with (
        temporary_aggregator() as aggregator,
        reporting(tmp_path / "e.db", aggregator.address) as running,
    ):
        running.take(told)
        stored = await _until_stored(aggregator.address, 1, 1)
        assert stored.report == told
        assert (stored.namespace, stored.pod_uid) == ("local", "pod-1")
        assert (stored.pod_name, stored.workload) == ("agent-1", "agents")
        running.take(report(1, 2, COMPLETED))
        assert await running.flush(SOON_S)
        assert (await _stored(aggregator.address)).report.status is COMPLETED
        assert (running.outbox.waiting, running.problem) == (0, "")
        assert running.delivery.delivered_total == 2


async def test_many_reports_of_one_execution_become_few(tmp_path):
    async with (
        temporary_aggregator() as aggregator,
        reporting(tmp_path / "e.db", aggregator.address) as running,
    ):
        for revision in range(1, 501):
            running.take(report(1, revision))
        assert await running.flush(SOON_S)
        assert (await _stored(aggregator.address)).report.revision == 500
        assert running.delivery.delivered_total < 100


async def test_what_ended_while_the_aggregator_was_away_comes_after_a_restart(tmp_path, caplog):
    address = f"unix:{tmp_path}/aggregator.sock"
    async with reporting(tmp_path / "e.db", address) as running:
        running.take(report(1, 3, COMPLETED))
        await running.written()
        assert not await running.flush(0.05)
        await until(lambda: running.problem)
    assert "takes no executions" in running.problem
    assert "wait in the outbox" in caplog.text
    async with (
        temporary_aggregator(listen=address),
        reporting(tmp_path / "e.db", address) as again,
    ):
        assert (await _until_stored(address, 1, 3)).report.status is COMPLETED
        assert await again.flush(SOON_S)


async def test_a_report_that_is_never_taken_goes_and_the_others_are_taken(tmp_path, caplog):
    async with (
        temporary_aggregator() as aggregator,
        reporting(tmp_path / "e.db", aggregator.address) as running,
    ):
        running.take(report(1))
        running.take(report(2, workflow="w\n"))
        running.take(report(3))
        assert await running.flush(SOON_S)
        await _until_stored(aggregator.address, 1, 1)
        await _until_stored(aggregator.address, 3, 1)
        assert running.delivery.refused_total == 1
    assert "workflow holds control characters" in caplog.text


async def test_another_pods_execution_is_refused(tmp_path):
    async with temporary_aggregator() as aggregator:
        for pod_uid, refused in (("pod-1", 0), ("pod-2", 1)):
            path = tmp_path / f"{pod_uid}.db"
            async with reporting(path, aggregator.address, pod_uid) as running:
                running.take(report(1, 9))
                assert await running.flush(SOON_S)
                assert running.delivery.refused_total == refused


class Forgetful(pb_grpc.WorkflowServiceServicer):
    """An aggregator whose first answer is lost."""

    def __init__(self):
        """Begin with nothing."""
        self.came = []

    async def Report(self, request, context):  # noqa: N802 - gRPC's name
        self.came.append([(one.execution_id, one.revision) for one in request.reports])
        if len(self.came) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        return pb.ReportExecutionsResponse(accepted=len(request.reports))


async def test_what_was_not_acknowledged_comes_again(tmp_path):
    server, served = grpc.aio.server(), Forgetful()
    pb_grpc.add_WorkflowServiceServicer_to_server(served, server)
    address = f"unix:{tmp_path}/older.sock"
    server.add_insecure_port(address)
    await server.start()
    async with reporting(tmp_path / "e.db", address) as running:
        running.take(report(1))
        assert await running.flush(SOON_S)
    await server.stop(0)
    assert served.came == [[("e-1", 1)], [("e-1", 1)]]


async def test_an_aggregator_that_knows_no_executions_is_asked_again_after_long(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    server = grpc.aio.server()
    address = f"unix:{tmp_path}/old.sock"
    server.add_insecure_port(address)
    await server.start()
    async with reporting(tmp_path / "e.db", address) as running:
        running.take(report(1))
        await until(lambda: running.problem)
    await server.stop(0)
    assert "an older version" in running.problem


@pytest.fixture
async def sidecar(tmp_path):
    settings = SidecarSettings(data_dir=tmp_path / "data", aggregator="none")
    async with running_sidecar(settings) as running:
        yield running


async def test_a_sidecar_tells_under_its_own_identity_and_delivers_when_it_stops(sidecar):
    async with temporary_aggregator() as aggregator:
        target = AggregatorTarget(aggregator.address)
        async with AsyncExitStack() as stack:
            running = open_execution_reports(
                stack, sidecar.settings, sidecar.data, sidecar.parts, target, SOON_S
            )
            running.take(report(1))
        assert (sidecar.data.path / OUTBOX_FILE).exists()
        assert (await _stored(aggregator.address)).pod_uid == sidecar.data.installation_id


async def test_without_an_aggregator_nobody_is_told(sidecar):
    async with AsyncExitStack() as stack:
        opened = open_execution_reports(
            stack, sidecar.settings, sidecar.data, sidecar.parts, None, 1.0
        )
    assert opened is None
    assert not (sidecar.data.path / OUTBOX_FILE).exists()
