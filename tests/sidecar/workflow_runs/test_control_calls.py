"""What the control listener says of runs: steering, refusals, lists; and what never leaves it."""

import logging
import stat
from collections.abc import Mapping
from typing import Any

import pytest
from tests.sidecar.engine.conftest import until
from tests.sidecar.workflow_runs.conftest import Provider, Serve, Serving
from tests.sidecar.workflow_runs.test_running import PLAN_AND_DO

from remora.workflows.library import TEMPLATES
from remora_sidecar.engine.task_gate import TaskHold

EXECUTE = "/v1/workflows/execute"
ORDER = {"workflow": PLAN_AND_DO, "input": {"goal": "tea"}, "task_id": "t"}
UNKNOWN = "exec_" + "0" * 32


def is_second(asked: Mapping[str, Any]) -> bool:
    return asked["messages"][-1]["content"].startswith("Do this")


async def held_run(served: Serving) -> Any:
    """Order a run that stands at its first call; gives what the sidecar knows of it."""
    await served.ask("POST", EXECUTE, {**ORDER, "wait": False})
    await served.double.until(lambda: served.double.requests, 30)
    (known,) = served.sidecar.workflows.of_session("default")
    return known


def path(known: Any) -> str:
    return f"/v1/executions/{known.ordered.execution_id}"


# steering


async def test_a_run_that_is_cancelled_ends_with_its_reason(serve: Serve) -> None:
    async with serve(Provider(held=lambda asked: True)) as served:
        known = await held_run(served)
        reply = await served.ask("POST", f"{path(known)}/cancel", {"reason": "enough"})
        assert reply.status == 200
        await known.feed.over()
        ended = (await served.ask("GET", path(known))).json
        await served.double.until(lambda: served.double.aborted, 30)
        again = await served.ask("POST", f"{path(known)}/cancel")
    assert ended["status"] == "cancelled"
    assert ended["error"] == {"code": "cancelled", "message": "enough"}
    assert again.json == ended


async def test_a_paused_run_asks_nothing_until_it_is_resumed(serve: Serve) -> None:
    async with serve(Provider(held=lambda asked: not is_second(asked))) as served:
        known = await held_run(served)
        assert (await served.ask("POST", f"{path(known)}/pause")).json["status"] == "paused"
        served.provider.gate.set()
        await until(lambda: known.value["steps"][0]["status"] == "completed")
        assert known.status == "paused"
        assert len(served.double.requests) == 1
        assert (await served.ask("POST", f"{path(known)}/resume")).json["status"] == "running"
        await known.feed.over()
    assert known.status == "completed"


async def test_a_run_waits_while_its_task_is_paused(serve: Serve) -> None:
    async with serve(Provider(held=lambda asked: not is_second(asked))) as served:
        known = await held_run(served)
        gate = served.sidecar.parts.task_gate
        gate.take(TaskHold("t", "paused", 1))
        await until(lambda: known.status == "paused")
        served.provider.gate.set()
        await until(lambda: known.value["steps"][0]["status"] == "completed")
        assert len(served.double.requests) == 1
        gate.take(TaskHold("t", "open", 2))
        await known.feed.over()
    assert known.status == "completed"


async def test_the_runs_of_a_task_end_with_it_and_no_more_begin(serve: Serve) -> None:
    async with serve(Provider(held=lambda asked: True)) as served:
        known = await held_run(served)
        hold = TaskHold("t", "cancelled", 1, cut_streams=True, reason="too dear")
        served.sidecar.parts.task_gate.take(hold)
        await known.feed.over()
        assert known.value["error"]["message"] == "too dear"
        refused = await served.ask("POST", EXECUTE, ORDER)
    assert known.status == "cancelled"
    assert (refused.status, refused.json["error"]["code"]) == (403, "TASK_CANCELLED")


# refusals


@pytest.mark.parametrize(
    ("method", "of"),
    [
        ("POST", EXECUTE),
        ("POST", "/v1/workflows/stream"),
        ("GET", "/v1/workflows"),
        ("GET", "/v1/executions"),
        ("GET", f"/v1/executions/{UNKNOWN}"),
        ("POST", f"/v1/executions/{UNKNOWN}/cancel"),
    ],
)
async def test_web_pages_are_refused(served: Serving, method: str, of: str) -> None:
    body = ORDER if method == "POST" else None
    reply = await served.ask(method, of, body, Origin="https://example.com")
    assert reply.status == 403
    assert not served.double.requests


@pytest.mark.parametrize(
    ("method", "of"),
    [("POST", EXECUTE), ("POST", "/v1/workflows/stream"), ("GET", "/v1/executions")],
)
async def test_the_id_of_no_session_is_refused(served: Serving, method: str, of: str) -> None:
    body = ORDER if method == "POST" else None
    reply = await served.ask(method, of, body, Authorization="Bearer sess_nobody")
    assert (reply.status, reply.json["error"]["code"]) == (401, "UNKNOWN_SESSION")


@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/pause"), ("POST", "/resume")],
)
async def test_an_execution_that_is_not_known_is_404(
    served: Serving, method: str, rest: str
) -> None:
    reply = await served.ask(method, f"/api/v1/executions/{UNKNOWN}{rest}")
    assert (reply.status, reply.json["error"]["code"]) == (404, "UNKNOWN_EXECUTION")


async def test_a_workflow_that_is_not_known_is_404(served: Serving) -> None:
    ordered = await served.ask("POST", EXECUTE, {"workflow": "nonesuch"})
    shown = await served.ask("GET", "/v1/workflows/nonesuch")
    for reply in (ordered, shown):
        assert (reply.status, reply.json["error"]["code"]) == (404, "UNKNOWN_WORKFLOW")
        assert "research" in reply.json["error"]["message"]


async def test_a_body_that_is_too_large_is_413(serve: Serve) -> None:
    async with serve(settings={"held_body_bytes": 65_536}) as served:
        body = {**ORDER, "input": {"goal": "x" * 70_000}}
        reply = await served.ask("POST", EXECUTE, body)
        assert reply.status == 413
        assert (await served.ask("POST", EXECUTE, ORDER)).json["status"] == "completed"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"workflow": "research", "source": {"text": "name: x"}},
        {**ORDER, "nonesuch": 1},
        {**ORDER, "budget": {"max_cost_usd": -1}},
        {**ORDER, "on_disconnect": "explode"},
        {**ORDER, "idempotency_key": ""},
    ],
    ids=["empty", "two workflows", "unknown field", "budget", "on_disconnect", "key"],
)
async def test_an_order_that_is_none_is_refused(served: Serving, body: Any) -> None:
    reply = await served.ask("POST", EXECUTE, body)
    assert reply.status == 400
    assert not served.double.requests


async def test_all_problems_of_a_workflow_are_told_at_once(served: Serving) -> None:
    broken = {
        "name": "broken",
        "steps": [
            {"id": "a", "prompt": "{{steps.nobody.output}}", "tier": "huge"},
            {"id": "b", "prompt": "{{steps.c.output}}"},
            {"id": "c", "prompt": "{{steps.b.output}}"},
        ],
    }
    reply = await served.ask("POST", EXECUTE, {"workflow": broken})
    assert (reply.status, reply.json["error"]["code"]) == (400, "INVALID_WORKFLOW")
    places = {problem["where"] for problem in reply.json["remora"]["problems"]}
    assert {"steps[0].tier", "steps[0].prompt", "steps[1].id"} <= places


async def test_an_input_that_does_not_fit_is_told_with_its_place(served: Serving) -> None:
    workflow = {
        **PLAN_AND_DO,
        "input": {
            "type": "object",
            "required": ["goal"],
            "properties": {"goal": {"type": "string"}},
        },
    }
    reply = await served.ask("POST", EXECUTE, {"workflow": workflow, "input": {"goal": 3}})
    assert (reply.status, reply.json["error"]["code"]) == (400, "INVALID_INPUT")
    assert ["goal" in problem["where"] for problem in reply.json["remora"]["problems"]] == [True]


# lists


async def test_the_workflows_of_the_package_are_listed_and_shown(served: Serving) -> None:
    listed = (await served.ask("GET", "/v1/workflows")).json["workflows"]
    assert {one["name"] for one in listed} == set(TEMPLATES)
    (short,) = [one for one in listed if one["name"] == "research"]
    shown = (await served.ask("GET", "/api/v1/workflows/research")).json
    assert short.items() <= shown.items()
    assert shown["steps"] == ["gather", "synthesize", "cite"]
    assert shown["estimate"]["most"]["tokens"] > shown["estimate"]["least"]["tokens"] > 0
    assert shown["mermaid"].startswith("flowchart")
    assert shown["document"]["name"] == "research"


async def test_executions_are_listed_newest_first(served: Serving) -> None:
    ids = [(await served.execute(PLAN_AND_DO, {"goal": g}))["execution_id"] for g in "abc"]
    listed = (await served.ask("GET", "/v1/executions")).json["executions"]
    assert [one["execution_id"] for one in listed] == ids[::-1]
    assert all(one["ended_unix_ns"] > one["began_unix_ns"] for one in listed)


# what never leaves it


async def test_no_text_of_a_run_is_in_logs_or_metrics_and_its_file_is_its_owners(
    serve: Serve, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(Provider(says=lambda asked: "the answer is zanzibar")) as served:
        execution = await served.execute(PLAN_AND_DO, {"goal": "quokka"})
        assert execution["outputs"] == {"answer": "the answer is zanzibar"}
        host, port = served.sidecar.status[:2]
        async with served.client.get(f"http://{host}:{port}/metrics") as answer:
            metrics = await answer.text()
        modes = {stat.S_IMODE(f.stat().st_mode) for f in (tmp_path / "data").glob("workflows.db*")}
    assert modes == {0o600}
    assert 'remora_workflows_ended_total{status="completed"} 1.0' in metrics
    for text in ("zanzibar", "quokka"):
        assert text not in caplog.text
        assert text not in metrics
