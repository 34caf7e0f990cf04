"""Workflows run by a real sidecar: asked through its proxy, told as events, summed up."""

from decimal import Decimal
from typing import Any

import pytest

from remora_sidecar.workflows.inputs import Answered
from remora_sidecar.workflows.run import Run

PLAN_AND_DO = {
    "name": "plan-and-do",
    "steps": [
        {"id": "plan", "prompt": "Make a plan for {{goal}}.", "tier": "fast", "max_tokens": 200},
        {"id": "do", "prompt": "Do this: {{steps.plan.output}}", "tier": "fast", "max_tokens": 200},
    ],
    "outputs": {"answer": "{{steps.do.output}}"},
}


async def test_a_second_step_gets_what_the_first_one_said(served: Any) -> None:
    execution = await served.execute(PLAN_AND_DO, {"goal": "tea"})
    assert execution["status"] == "completed", execution
    assert execution["outputs"] == {"answer": "about Do this: about Make a plan for tea."}
    assert [step["status"] for step in execution["steps"]] == ["completed", "completed"]
    assert execution["total_latency_ms"] >= 0


async def test_calls_are_those_of_the_runs_task_and_trace_and_its_sum_is_theirs(
    served: Any,
) -> None:
    execution = await served.execute(PLAN_AND_DO, {"goal": "tea"})
    records = await served.records(2)
    assert {record.attribution.task_id for record in records} == {execution["task_id"]}
    trace_id = execution["execution_id"].removeprefix("exec_")
    assert {record.attribution.trace_id for record in records} == {trace_id}
    assert [record.attribution.goal for record in records] == ["plan-and-do.plan", "plan-and-do.do"]
    assert [record.attribution.agent_id for record in records] == [
        "plan-and-do/plan",
        "plan-and-do/do",
    ]
    costs = [record.cost.total_usd for record in records if record.cost is not None]
    assert len(costs) == 2
    assert Decimal(execution["total_cost_usd"]) == sum(costs) > 0
    ids = [call for step in execution["steps"] for call in step["receipt_ids"]]
    assert ids == [record.call_id for record in records]


async def test_a_stream_tells_the_same_as_it_goes_on(served: Any) -> None:
    events = await served.stream(PLAN_AND_DO, {"goal": "tea"})
    assert [event["type"] for event in events] == [
        "started",
        "step_started",
        "step_completed",
        "step_started",
        "step_completed",
        "final",
    ]
    done = events[2]
    assert done["step_id"] == "plan"
    assert done["model_id"]
    assert done["latency_ms"] >= 0
    assert events[-1]["result"]["outputs"]["answer"].startswith("about Do this")


async def test_a_run_that_the_sidecar_can_not_go_on_with_says_what_it_took(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = Run.handle

    def broken(run: Run, given: Any, now_ms: int) -> Any:
        done = handle(run, given, now_ms)
        if isinstance(given, Answered):
            raise RuntimeError("a fault of our own")
        return done

    monkeypatch.setattr(Run, "handle", broken)
    execution = await served.execute(PLAN_AND_DO, {"goal": "tea"})
    assert (execution["status"], execution["error"]["code"]) == ("failed", "internal")
    (record,) = await served.records(1)
    assert Decimal(execution["total_cost_usd"]) == record.cost.total_usd > 0
    assert [step["status"] for step in execution["steps"]] == ["completed", "cancelled"]
