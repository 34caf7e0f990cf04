"""The tasks that runs make for themselves: seen and steered through the sidecar, exact in sum."""

from decimal import Decimal
from typing import Any

import pytest
from tests.sidecar.engine.conftest import until
from tests.sidecar.workflow_runs.conftest import Provider

from remora_aggregator.testing import temporary_aggregator

STEPS = {
    "name": "two-steps",
    "steps": [
        {"id": "plan", "prompt": "Plan {{goal}}.", "tier": "fast", "max_tokens": 100},
        {"id": "do", "prompt": "Do {{steps.plan.output}}", "tier": "fast", "max_tokens": 100},
    ],
    "outputs": {"answer": "{{steps.do.output}}"},
}


@pytest.mark.parametrize("with_aggregator", [False, True], ids=["alone", "with an aggregator"])
async def test_a_runs_task_ends_with_it_and_its_receipts_add_up(
    serve: Any, *, with_aggregator: bool
) -> None:
    async with temporary_aggregator() as aggregator:
        settings = {"aggregator": aggregator.address} if with_aggregator else {}
        async with serve(settings=settings) as served:
            execution = await served.execute(STEPS, {"goal": "tea"})
            path = f"/v1/tasks/{execution['task_id']}?include_receipts=true"

            async def snapshot() -> Any:
                return (await served.ask("GET", path)).json

            seen = await snapshot()
            while seen["task"]["status"] != "completed" or len(seen["receipts"]) < 2:
                seen = await snapshot()
    receipts = seen["receipts"]
    total = sum(Decimal(one["execution"]["actual_cost_usd"]) for one in receipts)
    assert Decimal(seen["task"]["total_cost_usd"]) == total
    assert Decimal(execution["total_cost_usd"]) == total > 0
    assert [one["execution"]["status"] for one in receipts] == ["success", "success"]
    ids = [call for step in execution["steps"] for call in step["receipt_ids"]]
    assert [one["receipt_id"] for one in receipts] == ids
    assert seen["task"]["title"] == "two-steps"


@pytest.mark.parametrize("with_aggregator", [False, True], ids=["alone", "with an aggregator"])
async def test_who_cancels_the_task_ends_the_run(serve: Any, *, with_aggregator: bool) -> None:
    provider = Provider(held=lambda asked: "Do " in str(asked["messages"]))
    async with temporary_aggregator() as aggregator:
        settings = {"aggregator": aggregator.address} if with_aggregator else {}
        async with serve(provider, settings=settings) as served:
            begun = await served.execute(STEPS, {"goal": "tea"}, wait=False)
            await until(lambda: len(served.asked) == 2)
            cancelled = await served.ask(
                "POST", f"/v1/tasks/{begun['task_id']}/cancel", {"reason": "too dear"}
            )
            assert cancelled.status == 200, cancelled.text
            events = await served.ask("GET", f"/v1/executions/{begun['execution_id']}/events")
    result = events.events[-1]["result"]
    assert result["status"] == "cancelled"
    assert result["error"]["message"] == "too dear"
    assert [step["status"] for step in result["steps"]] == ["completed", "cancelled"]


async def test_a_paused_task_pauses_its_run_which_goes_on_once_it_is_resumed(serve: Any) -> None:
    provider = Provider(held=lambda asked: "Plan" in str(asked["messages"]))
    async with serve(provider) as served:
        begun = await served.execute(STEPS, {"goal": "tea"}, wait=False)
        await until(lambda: len(served.asked) == 1)
        task, run = f"/v1/tasks/{begun['task_id']}", f"/v1/executions/{begun['execution_id']}"
        await served.ask("POST", f"{task}/pause", {})
        provider.gate.set()

        async def state() -> Any:
            return (await served.ask("GET", run)).json

        seen = await state()
        while seen["steps"][0]["status"] != "completed":
            seen = await state()
        assert seen["status"] == "paused"
        assert len(served.asked) == 1
        await served.ask("POST", f"{task}/resume", {})
        events = (await served.ask("GET", f"{run}/events")).events
    kinds = [event["type"] for event in events]
    assert kinds.index("paused") < kinds.index("resumed") < kinds.index("final")
    assert events[-1]["result"]["status"] == "completed"
