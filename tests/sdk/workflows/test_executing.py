"""`remora.workflows` runs workflows by the sidecar that is found."""

from decimal import Decimal

import pytest
from tests.sdk.api_client.conftest import *  # noqa: F403 - its fixtures
from tests.sdk.api_client.scripted_sidecar import FINAL, STARTED, Events, Reply, done

from remora import workflows
from remora.workflows import executing

STREAM = "POST /workflows/stream"


@pytest.fixture
def sidecar(scripted, monkeypatch):
    monkeypatch.setenv("REMORA_GATEWAY_URL", scripted.root)
    executing.own_client._calls.whereabouts.forget()
    executing.own_async_client._calls.whereabouts.forget()
    scripted.answer(STREAM, Events([STARTED, done(), FINAL]))
    scripted.answer("GET /workflows", Reply({"workflows": [{"name": "research"}]}))
    return scripted


def test_a_file_is_run(sidecar, tmp_path):
    file = tmp_path / "digest.yaml"
    file.write_text("name: digest")
    result = workflows.execute(workflow=file, input={"goal": "tea"}, task_id="t-1")
    assert result["total_cost_usd"] == Decimal("0.0125")
    sent = sidecar.last().body
    assert sent["source"] == {"text": "name: digest", "file": "digest.yaml"}
    assert sent["task_id"] == "t-1"


def test_a_run_is_watched(sidecar):
    kinds = [event["type"] for event in workflows.stream("research", {"goal": "tea"})]
    assert kinds == ["started", "step_completed", "final"]


def test_workflows_of_the_sidecar_are_listed(sidecar):
    assert workflows.list() == [{"name": "research"}]


async def test_each_call_has_a_twin_that_is_awaited(sidecar):
    assert (await workflows.execute_async("research"))["status"] == "completed"
    kinds = [event["type"] async for event in workflows.stream_async("research")]
    assert kinds == ["started", "step_completed", "final"]
    assert await workflows.list_async() == [{"name": "research"}]
