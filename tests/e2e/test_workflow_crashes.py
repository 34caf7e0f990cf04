"""kill -9 of a sidecar in the middle of a workflow: what is over is not asked again, nor forgotten.

The provider lives in the test's process: it counts what it is asked, and holds what the test says.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from httpx_sse import aconnect_sse

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer
from remora.testing.double_brain import OpenAIBrain
from remora.testing.double_request import ReceivedRequest
from remora.testing.server_process import ServerProcess, part_command

HOST = "api.openai.com"
POLICY = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: test}
spec:
  credentials:
  - {provider: openai, secretRef: {name: openai, key: api-key}}
"""
WORKFLOW = {
    "name": "four",
    "steps": [
        {"id": "plan", "prompt": "Plan {{goal}}.", "tier": "fast", "max_tokens": 100},
        {"id": "left", "prompt": "L {{steps.plan.output}}", "tier": "fast", "max_tokens": 100},
        {"id": "right", "prompt": "R {{steps.plan.output}}", "tier": "fast", "max_tokens": 100},
        {
            "id": "both",
            "prompt": "B {{steps.left.output}} {{steps.right.output}}",
            "tier": "fast",
            "max_tokens": 100,
        },
    ],
}
BODY = {"workflow": WORKFLOW, "input": {"goal": "tea"}, "idempotency_key": "the-one"}
STEP_OF = {"P": "plan", "L": "left", "R": "right", "B": "both"}

pytestmark = pytest.mark.slow


def step_of(request: ReceivedRequest) -> str:
    """Which step asks."""
    return STEP_OF[json.loads(request.body)["messages"][-1]["content"][0]]


@dataclass
class Provider:
    """Answers with the step's name; those of `held` wait for the gate."""

    held: set[str] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, request: ReceivedRequest) -> Answer:
        step = step_of(request)
        answer = OpenAIBrain(reply=lambda asked: f"{step} is done")(request)
        return replace(answer, waits_for=self.gate) if step in self.held else answer


@dataclass
class Stage:
    """A sidecar's process that can be killed, and started again on the same data."""

    folder: Path
    double: ProviderDouble
    provider: Provider
    client: aiohttp.ClientSession
    sidecar: ServerProcess | None = None

    @property
    def root(self) -> str:
        assert self.sidecar is not None
        return f"http://{self.sidecar.ready['control']}"

    @property
    def asked(self) -> Counter[str]:
        """How often each step asked the provider."""
        return Counter(map(step_of, self.double.requests))

    async def start(self) -> None:
        (self.folder / "ca.pem").write_text(self.double.ca_pem)
        (self.folder / "policy.yaml").write_text(POLICY)
        host, port = self.double.address
        settings = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "OPENAI_API_KEY": "sk-of-the-policy-0123456789",
            "REMORA_LISTEN": "127.0.0.1:0",
            "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
            "REMORA_STATUS_LISTEN": "127.0.0.1:0",
            "REMORA_DATA_DIR": str(self.folder / "data"),
            "REMORA_POLICY": str(self.folder / "policy.yaml"),
            "REMORA_AGGREGATOR": "none",
            "REMORA_UPSTREAM_CA": str(self.folder / "ca.pem"),
            "REMORA_CONNECT_TO": f"{HOST}:443:{host}:{port}",
            "REMORA_DRAIN_S": "20",
        }
        command = part_command("sidecar", "--ready-json")
        log = self.folder / "sidecar.log"
        self.sidecar = await asyncio.to_thread(ServerProcess, "sidecar", command, settings, log)

    async def kill(self) -> None:
        await asyncio.to_thread(self.sidecar.kill)

    async def order(self) -> str:
        """Begin the run; gives its id."""
        return (await self.post("/v1/workflows/execute", {**BODY, "wait": False}))["execution_id"]

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self.client.post(f"{self.root}{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def get(self, path: str) -> Any:
        async with self.client.get(f"{self.root}{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def heard(self, execution_id: str, is_enough: Callable[[dict[str, Any]], bool]) -> None:
        """Follow a run until an event comes."""
        path = f"{self.root}/v1/executions/{execution_id}/events"
        async with (
            asyncio.timeout(60),
            httpx.AsyncClient(timeout=60) as client,
            aconnect_sse(client, "GET", path) as source,
        ):
            async for event in source.aiter_sse():
                if is_enough(json.loads(event.data)):
                    return
        raise AssertionError("the events ended before")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    provider = Provider()
    async with ProviderDouble(names=[HOST]) as double, aiohttp.ClientSession() as client:
        double.route("POST", "/v1/chat/completions", provider)
        made = Stage(tmp_path, double, provider, client)
        await made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                await made.kill()


def check(stage: Stage, result: Any) -> None:
    """Hold a result against what the provider was asked: no step's answer is paid twice."""
    assert result["status"] == "completed", result
    assert result["outputs"] == {"both": "both is done"}
    calls = [call for step in result["steps"] for call in step["calls"]]
    costs = [call["cost_usd"] for call in calls]
    known = sum((Decimal(cost) for cost in costs if cost is not None), Decimal(0))
    assert Decimal(result["known_cost_usd"]) == known > 0
    lost = [call for call in calls if call["status"] == "lost"]
    assert costs.count(None) == result["unpriced_calls"] == len(lost)
    assert (result["total_cost_usd"] is None) == bool(lost)
    for step in result["steps"]:
        assert stage.asked[step["step_id"]] <= len(step["calls"])


async def ended(stage: Stage, execution_id: str) -> Any:
    """The result, by its key and by its id, which are the same."""
    result = await stage.post("/v1/workflows/execute", BODY)
    assert result["execution_id"] == execution_id
    assert await stage.get(f"/v1/executions/{execution_id}") == result
    check(stage, result)
    return result


@pytest.mark.parametrize("kind", ["step_started", "step_completed"])
@pytest.mark.parametrize("step_id", ["plan", "left", "both"])
async def test_a_run_killed_when_it_told_of_a_step_goes_on_from_there(
    stage: Stage, kind: str, step_id: str
) -> None:
    execution_id = await stage.order()
    over: set[str] = set()

    def is_enough(event: dict[str, Any]) -> bool:
        if event["type"] == "step_completed":
            over.add(event["step_id"])
        return event["type"] == kind and event["step_id"] == step_id

    await stage.heard(execution_id, is_enough)
    await stage.kill()
    before = stage.asked
    await stage.start()
    await ended(stage, execution_id)
    again = stage.asked - before
    assert not over & set(again), "a step that was over was asked again"


async def test_a_run_killed_at_its_end_is_known_with_its_result(stage: Stage) -> None:
    execution_id = await stage.order()
    await stage.heard(execution_id, lambda event: event["type"] == "final")
    before = await stage.get(f"/v1/executions/{execution_id}")
    await stage.kill()
    await stage.start()
    assert await ended(stage, execution_id) == before
    assert stage.asked == Counter(plan=1, left=1, right=1, both=1)


async def test_calls_that_were_in_flight_are_lost_and_asked_again(stage: Stage) -> None:
    stage.provider.held = {"left", "right"}
    execution_id = await stage.order()
    await stage.double.until(lambda: stage.asked["left"] and stage.asked["right"], 60)
    await stage.kill()
    stage.provider.held.clear()
    await stage.start()
    result = await ended(stage, execution_id)
    assert stage.asked == Counter(plan=1, left=2, right=2, both=1)
    statuses = {s["step_id"]: [c["status"] for c in s["calls"]] for s in result["steps"]}
    assert statuses["left"] == statuses["right"] == ["ok", "lost"]
    assert result["total_cost_usd"] is None


async def test_one_call_in_flight_is_lost_beside_one_that_was_over(stage: Stage) -> None:
    stage.provider.held = {"right"}
    execution_id = await stage.order()
    await stage.heard(
        execution_id, lambda e: e["type"] == "step_completed" and e["step_id"] == "left"
    )
    await stage.double.until(lambda: stage.asked["right"], 60)
    await stage.kill()
    stage.provider.held.clear()
    await stage.start()
    await ended(stage, execution_id)
    assert stage.asked == Counter(plan=1, left=1, right=2, both=1)


async def test_killed_again_and_again_it_comes_to_its_end(stage: Stage) -> None:
    stage.provider.held = {"left", "right", "both"}
    execution_id = await stage.order()
    await stage.double.until(lambda: stage.asked["left"] and stage.asked["right"], 60)
    for step, count in [("left", 2), ("left", 3)]:
        await stage.kill()
        await stage.start()
        await stage.double.until(lambda s=step, n=count: stage.asked[s] == n, 60)
    stage.provider.gate.set()
    result = await ended(stage, execution_id)
    assert stage.asked["plan"] == stage.asked["both"] == 1
    assert sum(call["status"] == "lost" for s in result["steps"] for call in s["calls"]) == 4


async def test_asked_to_stop_it_lets_calls_end_and_pays_none_twice(stage: Stage) -> None:
    stage.provider.held = {"left", "right"}
    execution_id = await stage.order()
    await stage.double.until(lambda: stage.asked["left"] and stage.asked["right"], 60)
    os.kill(stage.sidecar.pid, signal.SIGTERM)
    stage.provider.gate.set()
    assert await asyncio.to_thread(stage.sidecar.stop) == 0
    await stage.start()
    result = await ended(stage, execution_id)
    assert stage.asked == Counter(plan=1, left=1, right=1, both=1)
    assert result["total_cost_usd"] is not None
