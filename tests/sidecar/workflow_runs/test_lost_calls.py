"""Calls whose process was killed: what their records say is billed, the rest is lost."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bench.workflow_ring import Ring
from tests.sidecar.engine.conftest import until
from tests.sidecar.workflow_runs.scripted_models import ScriptedModels

from remora.testing.clock import ManualClock
from remora_sidecar.spool.spool import Spool
from remora_sidecar.workflows.inputs import Answered

TWO = {"name": "two", "steps": [{"id": "a", "prompt": "A"}, {"id": "b", "prompt": "B"}]}


class Process:
    """A ring that can be killed, over a spool that stays."""

    def __init__(self, folder: Path) -> None:
        """Begin without a ring."""
        self.spool = Spool.open(folder / "spool.db", clock=ManualClock())
        self.models = ScriptedModels(self.spool)
        self._folder = folder

    async def start(self) -> None:
        self.models.is_dead = False
        self.ring = Ring(self._folder, self.models, waiting=self.spool)
        await self.ring.runs.take_up()

    async def kill(self) -> None:
        self.models.is_dead = True
        await self.ring.crash()

    async def order(self, workflow: Any) -> str:
        known = await self.ring.order(workflow)
        await until(lambda: len(self.models.open) == len(workflow["steps"]))
        return known.ordered.execution_id

    async def result(self, execution_id: str) -> Any:
        """Answer all that is asked until the run is over."""
        known = self.ring.runs.find(execution_id)
        async with asyncio.timeout(30):
            while not known.ended_unix_ns:
                for name in list(self.models.open):
                    self.models.record(name, "0.1")
                    self.models.say(name, lambda slip, key=name[1]: Answered(key, "x", slip.bill))
                await asyncio.sleep(0.001)
        return known.value


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    made = Process(tmp_path)
    await made.start()
    yield made
    await made.ring.stop()
    made.spool.close()


def calls(result: Any, step_id: str) -> list[tuple[str, str | None]]:
    """Status and cost of a step's calls."""
    (step,) = [step for step in result["steps"] if step["step_id"] == step_id]
    return sorted((call["status"], call["cost_usd"]) for call in step["calls"])


def named(process: Process, ending: str) -> tuple[str, str]:
    return next(name for name in process.models.open if ending in name[1])


async def test_the_bill_of_a_lost_call_is_found_in_the_spool(process: Process) -> None:
    execution_id = await process.order(TWO)
    process.models.record(named(process, "/a/"), "0.25")
    await process.kill()
    await process.start()
    result = await process.result(execution_id)
    assert calls(result, "a") == [("abandoned", "0.25"), ("ok", "0.1")]
    assert calls(result, "b") == [("lost", None), ("ok", "0.1")]
    assert result["total_cost_usd"] is None
    assert Decimal(result["known_cost_usd"]) == Decimal("0.45")
    assert result["unpriced_calls"] == 1


async def test_a_bill_that_was_found_stays_once_its_record_was_delivered(process: Process) -> None:
    execution_id = await process.order(TWO)
    for ending in ("/a/", "/b/"):
        process.models.record(named(process, ending), "0.25")
    await process.kill()
    await process.start()
    await process.kill()
    delivered = await process.spool.batch(100, 1 << 20)
    await process.spool.forget([one.sequence for one in delivered])
    assert process.spool.depth == 0
    await process.start()
    result = await process.result(execution_id)
    costs = [cost for step in "ab" for status, cost in calls(result, step) if status == "abandoned"]
    assert costs == ["0.25", "0.25"]


async def test_looking_for_bills_takes_nothing_from_delivery(process: Process) -> None:
    await process.order(TWO)
    process.models.record(named(process, "/a/"), "0.25")
    (first,) = await process.spool.batch(100, 1 << 20)
    await process.kill()
    await process.start()
    assert await process.spool.batch(100, 1 << 20) == [], "handed out twice"
    process.spool.rewind()
    assert await process.spool.batch(100, 1 << 20) == [first]


async def test_of_a_record_that_was_revised_the_last_one_counts(process: Process) -> None:
    execution_id = await process.order(TWO)
    process.models.record(named(process, "/a/"), "0.25")
    process.models.revise("0.5")
    await process.kill()
    await process.start()
    result = await process.result(execution_id)
    assert calls(result, "a") == [("abandoned", "0.5"), ("ok", "0.1")]


async def test_a_call_without_a_record_is_lost(process: Process) -> None:
    execution_id = await process.order({"name": "one", "steps": TWO["steps"][:1]})
    await process.kill()
    await process.start()
    result = await process.result(execution_id)
    assert calls(result, "a") == [("lost", None), ("ok", "0.1")]
