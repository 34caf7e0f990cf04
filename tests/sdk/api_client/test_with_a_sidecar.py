"""The client against a whole sidecar: KairosRoute's published samples, as they stand, and more."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.sidecar.workflow_runs.conftest import (
    Provider,
    serve,  # noqa: F401 - a fixture
)

from remora import ApiError, AsyncClient, AuthenticationError
from remora import Client as KairosRoute
from remora.api_client import InvalidWorkflow, RunTimeout
from remora.testing.double_answer import json_answer
from remora.workflows import shipped_workflow

GOLDEN = Path(__file__).parents[2] / "sidecar/workflow_runs/golden/research.yaml"
MESSAGES = [{"role": "user", "content": "Say hello."}]
EMBEDDED = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}
PLAN_AND_DO = {
    "name": "plan-and-do",
    "steps": [
        {"id": "plan", "prompt": "Plan {{goal}}", "tier": "fast"},
        {"id": "do", "prompt": "Do {{steps.plan.output}}", "tier": "fast"},
    ],
    "outputs": {"answer": "{{steps.do.output}}"},
}


def recorded(asked) -> str:
    """Answer the steps of `research` as its golden run has it."""
    answers = YAML(typ="safe").load(GOLDEN)["answers"]
    (step_id,) = [
        step_id
        for step_id, step in shipped_workflow("research").steps.items()
        if asked["messages"][0]["content"].startswith(str(step.step.system))
    ]
    said = answers[step_id]
    return said if isinstance(said, str) else json.dumps(said)


async def status_of(client: AsyncClient, execution_id: str, status: str) -> None:
    """Wait until a run has a status."""
    async with asyncio.timeout(30):
        while (await client.executions.get(execution_id))["status"] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def sidecar(serve):  # noqa: F811
    async with serve(Provider()) as running:
        yield running


def client_of(sidecar, **more) -> KairosRoute:
    return KairosRoute(api_key="kr-nobodys", base_url=f"{sidecar.root}/api/v1", **more)


async def test_the_sample_of_a_research_runs(sidecar):
    sidecar.provider.says = recorded

    def sample():
        kr = client_of(sidecar)
        result = kr.workflows.execute(
            workflow="research",
            input={"goal": "Does liquid cooling save energy?"},
            budget={"max_cost_usd": 0.25, "on_exceed": "downgrade"},
        )
        return result["outputs"]["summary"], result["total_cost_usd"], result["total_latency_ms"]

    summary, cost, latency_ms = await asyncio.to_thread(sample)
    assert summary.startswith("Yes, in the one hall")
    assert isinstance(cost, Decimal)
    assert 0 < cost < Decimal("0.25")
    assert latency_ms >= 0


async def test_the_sample_of_a_stream_runs(sidecar):
    def sample():
        kr, steps, result = client_of(sidecar), [], None
        for event in kr.workflows.stream(workflow=PLAN_AND_DO, input={"goal": "tea"}):
            if event["type"] == "step_completed":
                steps.append((event["step_id"], event["model_id"], event["latency_ms"]))
            elif event["type"] == "final":
                result = event["result"]
        return steps, result

    steps, result = await asyncio.to_thread(sample)
    assert [step_id for step_id, _, _ in steps] == ["plan", "do"]
    assert all(model and latency_ms >= 0 for _, model, latency_ms in steps)
    assert result["outputs"]["answer"] == "about Do about Plan tea"


async def test_the_sample_of_a_task_runs(sidecar):
    def sample():
        kr = client_of(sidecar)
        answer = kr.chat.completions.create(model="auto", messages=MESSAGES, task_id="run-1")
        snapshot = kr.tasks.get("run-1", include_receipts=True)
        shown = [
            (r["decision"]["model_id"], r["execution"]["status"]) for r in snapshot["receipts"]
        ]
        kr.tasks.cancel("run-1")
        with pytest.raises(ApiError) as caught:
            kr.chat.completions.create(model="auto", messages=MESSAGES, task_id="run-1")
        return answer, snapshot["task"], shown, caught.value, kr.tasks.list("cancelled")

    answer, task, shown, error, cancelled = await asyncio.to_thread(sample)
    assert answer["choices"][0]["message"]["content"] == "about Say hello."
    assert answer["x_kairosroute"]["cost_usd"] > 0
    assert task["total_cost_usd"] == Decimal(str(answer["x_kairosroute"]["cost_usd"]))
    assert task["status"] in ("pending", "running")
    assert shown == [(answer["remora"]["model"], "success")]
    assert error.code == "TASK_CANCELLED"
    assert not isinstance(error, AuthenticationError)
    assert [one["task_id"] for one in cancelled] == ["run-1"]


async def test_the_samples_of_models_run(sidecar):
    sidecar.double.route("POST", "/v1/embeddings", json_answer(json.dumps(EMBEDDED).encode()))

    def sample():
        with client_of(sidecar) as kr:
            chunks = list(kr.chat.completions.create(model="auto", messages=MESSAGES, stream=True))
            words = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
            embedded = kr.embeddings.create(input=["a"], model="kr-auto-embed")
            return "".join(words), embedded["data"], kr.models.list()["data"][0]["id"]

    assert await asyncio.to_thread(sample) == ("about Say hello.", EMBEDDED["data"], "auto")


async def test_every_problem_of_a_document_is_raised(sidecar, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\nsteps:\n- {id: a, prompt: '{{steps.b.output}}', tier: quick}\n")
    with pytest.raises(InvalidWorkflow) as caught:
        await asyncio.to_thread(client_of(sidecar).workflows.execute, file)
    assert [problem.where for problem in caught.value.problems] == [
        "bad.yaml:3:41 steps[0].tier",
        "bad.yaml:3:11 steps[0].prompt",
    ]


async def test_a_cancelled_wait_cancels_the_run(sidecar):
    sidecar.provider.held = lambda asked: True
    async with AsyncClient(base_url=f"{sidecar.root}/v1") as client:
        waiting = asyncio.ensure_future(client.workflows.execute(PLAN_AND_DO, {"goal": "tea"}))
        async with asyncio.timeout(30):
            while not sidecar.double.requests:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        (begun,) = await client.executions.list()
        await status_of(client, begun["execution_id"], "cancelled")
    sidecar.provider.gate.set()


async def test_a_run_that_takes_too_long_is_cancelled(sidecar):
    sidecar.provider.held = lambda asked: True
    async with AsyncClient(base_url=f"{sidecar.root}/v1") as client:
        with pytest.raises(RunTimeout) as caught:
            await client.workflows.execute(PLAN_AND_DO, {"goal": "tea"}, timeout_s=1)
        await status_of(client, caught.value.execution_id, "cancelled")
    sidecar.provider.gate.set()


async def test_a_run_is_paused_and_goes_on(sidecar):
    sidecar.provider.held = lambda asked: "Plan" in asked["messages"][-1]["content"]
    async with AsyncClient(base_url=f"{sidecar.root}/v1") as client:
        events = client.workflows.stream(PLAN_AND_DO, {"goal": "tea"})
        execution_id = (await anext(events))["execution_id"]
        assert (await client.executions.pause(execution_id))["status"] == "paused"
        sidecar.provider.gate.set()
        assert (await client.executions.resume(execution_id))["status"] == "running"
        kinds = [event["type"] async for event in events]
    assert {"paused", "resumed"} <= set(kinds)
    assert kinds[-1] == "final"


async def test_the_same_key_gives_the_same_run(sidecar):
    async with AsyncClient(base_url=f"{sidecar.root}/v1") as client:
        first, second = await asyncio.gather(
            *(
                client.workflows.execute(PLAN_AND_DO, {"goal": "tea"}, idempotency_key="one")
                for _ in range(2)
            )
        )
        assert first == second
        assert len(sidecar.double.requests) == 2
        with pytest.raises(ApiError) as caught:
            await client.workflows.execute(PLAN_AND_DO, {"goal": "milk"}, idempotency_key="one")
    assert caught.value.code == "IDEMPOTENCY_CONFLICT"


async def test_workflows_of_the_package_are_listed_and_shown(sidecar):
    async with AsyncClient(base_url=f"{sidecar.root}/v1") as client:
        names = [workflow["name"] for workflow in await client.workflows.list()]
        shown = await client.workflows.get("qa")
        with pytest.raises(ApiError) as caught:
            await client.workflows.execute("nothing")
    assert names[0] == "research"
    assert shown["document"]["name"] == "qa"
    assert isinstance(shown["estimate"]["most"]["cost_usd"], Decimal)
    assert caught.value.code == "UNKNOWN_WORKFLOW"
