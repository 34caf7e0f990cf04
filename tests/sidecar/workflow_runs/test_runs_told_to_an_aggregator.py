"""What an aggregator hears of runs: the same figures, as they go on, after a stop, and no text."""

import asyncio
from decimal import Decimal

from tests.sidecar.engine.conftest import until
from tests.sidecar.workflow_runs.conftest import Provider

from remora.client.executions import AsyncExecutionClient
from remora.client.target import AggregatorTarget
from remora.client.tasks import TaskClient
from remora.errors import BadRequest
from remora.execution_report import ExecutionStatus, StepStatus
from remora_aggregator.testing import temporary_aggregator

SOON_S = 60
SECRET = "zebra-crossing-4711"
STEPS = {
    "name": "two-steps",
    "budget": {"max_cost_usd": "0.5", "on_exceed": "downgrade"},
    "steps": [
        {"id": "plan", "prompt": "Plan {{goal}}.", "tier": "fast", "max_tokens": 100},
        {"id": "do", "prompt": "Do {{steps.plan.output}}", "tier": "fast", "max_tokens": 100},
    ],
    "outputs": {"answer": "{{steps.do.output}}"},
}


async def told(address, execution_id, is_so):
    """Ask until what is told of an execution is so."""
    async with AsyncExecutionClient(AggregatorTarget(address)) as client, asyncio.timeout(SOON_S):
        while True:
            try:
                stored = await client.get(execution_id)
            except BadRequest:
                stored = None
            if stored is not None and is_so(stored.report):
                return stored
            await asyncio.sleep(0.05)


def over(report):
    return report.status.is_over


def task_of(address, task_id):
    with TaskClient(AggregatorTarget(address)) as client:
        return client.get(task_id)


async def test_what_is_told_of_a_run_is_what_its_caller_was_told(serve):
    async with (
        temporary_aggregator() as aggregator,
        serve(settings={"aggregator": aggregator.address}) as served,
    ):
        execution = await served.execute(STEPS, {"goal": SECRET})
        stored = await told(aggregator.address, execution["execution_id"], over)
        task = await asyncio.to_thread(task_of, aggregator.address, execution["task_id"])
        installation = served.sidecar.data.installation_id
    report = stored.report
    assert (stored.namespace, stored.pod_uid) == ("local", installation)
    assert (report.workflow, report.status) == ("two-steps", ExecutionStatus.COMPLETED)
    assert (report.owns_task, report.task_id) == (True, execution["task_id"])
    assert report.cost_usd == Decimal(execution["total_cost_usd"]) > 0
    assert report.tokens == execution["total_tokens"]
    assert report.budget.max_cost_usd == Decimal("0.5")
    assert report.estimate_most_usd == Decimal(execution["estimate"]["most"]["cost_usd"])
    assert report.began_unix_ns < report.ended_unix_ns
    assert [
        (one.step_id, one.status, one.model, one.receipt_ids, str(one.cost_usd))
        for one in report.steps
    ] == [
        (
            one["step_id"], StepStatus.COMPLETED, one["model_id"], tuple(one["receipt_ids"]),
            one["cost_usd"],
        )
        for one in execution["steps"]
    ]  # fmt: skip
    assert [one.depends_on for one in report.steps] == [(), ("plan",)]
    assert (task.state.name, task.title) == ("COMPLETED", "two-steps")


async def test_a_run_is_told_of_while_it_goes_on(serve):
    provider = Provider(held=lambda asked: "Do " in str(asked["messages"]))
    async with (
        temporary_aggregator() as aggregator,
        serve(provider, settings={"aggregator": aggregator.address}) as served,
    ):
        begun = await served.execute(STEPS, {"goal": "tea"}, wait=False)
        await until(lambda: len(served.asked) == 2)

        def is_half_done(report):
            states = [one.status for one in report.steps]
            return states == [StepStatus.COMPLETED, StepStatus.RUNNING]

        half = await told(aggregator.address, begun["execution_id"], is_half_done)
        assert (half.report.status, half.report.ended_unix_ns) == (ExecutionStatus.RUNNING, 0)
        assert half.step_counts.ended == 1
        provider.gate.set()
        await told(aggregator.address, begun["execution_id"], over)


async def test_no_text_of_a_run_is_told(serve, tmp_path):
    kept = tmp_path / "aggregator"
    async with (
        temporary_aggregator(data_dir=kept) as aggregator,
        serve(settings={"aggregator": aggregator.address}, capture="metadata") as served,
    ):
        execution = await served.execute(STEPS, {"goal": SECRET})
        assert SECRET in str(execution["outputs"])
        await told(aggregator.address, execution["execution_id"], over)
    files = [path for path in kept.rglob("*") if path.is_file()]
    assert files
    assert not [path.name for path in files if SECRET.encode() in path.read_bytes()]
    outbox = served.sidecar.data.path / "executions.db"
    assert SECRET.encode() not in outbox.read_bytes()


async def test_what_ended_while_the_aggregator_was_away_is_told_by_the_next_sidecar(
    serve, tmp_path
):
    address = f"unix:{tmp_path}/aggregator.sock"
    settings = {"aggregator": address, "flush_s": 0.05}
    async with serve(settings=settings) as served:
        execution = await served.execute(STEPS, {"goal": "tea"})
    async with temporary_aggregator(listen=address), serve(settings=settings):
        stored = await told(address, execution["execution_id"], over)
    assert stored.report.cost_usd == Decimal(execution["total_cost_usd"])
