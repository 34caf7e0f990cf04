"""The time of a call begins when it is asked, however long it waits for its turn."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from bench.workflow_ring import PunctualModels, Ring

from remora.testing.virtual_loop import VirtualTimeLoop

LATENCY_S = {"slow": 60.0, "quick": 1.0}


def played[T](coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def one_step(step_id: str, **more: Any) -> Any:
    step = {"id": step_id, "prompt": "Count.", "model": "gpt-4o-mini", "provider": "openai"}
    return {"name": "turns", "steps": [{**step, **more}]}


async def results(folder: Path, *workflows: Any) -> list[Any]:
    """Run workflows at once, of whose calls one may be asked at a time."""
    models = PunctualModels(lambda key: LATENCY_S[key.split("/")[1]])
    ring = Ring(folder, models, at_once=1)
    await ring.runs.take_up()
    runs = [await ring.order(workflow) for workflow in workflows]
    for run in runs:
        await run.feed.over()
    await ring.stop()
    return [run.value for run in runs]


@pytest.mark.parametrize("timeout", ["5s", "59s"])
def test_a_call_that_waits_for_its_turn_loses_no_time(tmp_path: Path, timeout: str) -> None:
    slow, quick = played(results(tmp_path, one_step("slow"), one_step("quick", timeout=timeout)))
    assert slow["status"] == "completed"
    assert quick["status"] == "completed", quick["error"]
    assert quick["total_latency_ms"] >= 61_000


def test_its_time_begins_with_its_turn(tmp_path: Path) -> None:
    slow, late = played(results(tmp_path, one_step("slow"), one_step("slow", timeout="5s")))
    assert slow["status"] == "completed"
    assert late["error"]["code"] == "timeout"
    assert late["total_latency_ms"] >= 65_000


def test_the_time_of_a_run_goes_on_while_its_call_waits(tmp_path: Path) -> None:
    budgeted = {**one_step("quick", timeout="5s"), "budget": {"max_latency_ms": 30_000}}
    slow, late = played(results(tmp_path, one_step("slow"), budgeted))
    assert slow["status"] == "completed"
    assert late["status"] == "budget_exceeded"
    assert [call["status"] for call in late["steps"][0]["calls"]] == ["abandoned"]
    assert late["total_cost_usd"] == "0"
