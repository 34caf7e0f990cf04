"""Sessions, capture, and what is said when something beside the calls is broken."""

import json

import aiohttp
import pytest

from remora.ids import DEFAULT_SESSION_ID
from remora.records import EndReason
from remora_sidecar.assembly import running_sidecar
from remora_sidecar.settings import format_address

HOST = ("Host", "api.openai.com")
CHAT = "/v1/chat/completions"
ASKED = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
).encode()


async def _control(carrying, method, path, **options):
    url = f"http://{format_address(carrying.sidecar.control)}{path}"
    async with aiohttp.ClientSession() as http, http.request(method, url, **options) as answer:
        return await answer.json()


async def _readiness(carrying):
    url = f"http://{format_address(carrying.sidecar.status)}/readyz"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.json()


async def test_calls_count_for_the_session_in_the_proxy_url(carrying):
    opened = await _control(carrying, "POST", "/v1/sessions", json={"data_id": "row-7"})
    agent = await carrying.agent(user=opened["session_id"])
    await agent.ask("POST", CHAT, [HOST, ("remora-agent-id", "planner")], ASKED)
    record = await carrying.record()
    totals = await _control(carrying, "GET", f"/v1/sessions/{opened['session_id']}")
    assert record.attribution.session_id == opened["session_id"]
    assert (record.attribution.data_id, record.attribution.agent_id) == ("row-7", "planner")
    assert [model["calls"] for model in totals["models"].values()] == [1]


async def test_an_unknown_session_counts_under_the_default_one_and_is_said(carrying):
    agent = await carrying.agent(user="sess_never_opened")
    await agent.ask("POST", CHAT, [HOST], ASKED)
    record = await carrying.record()
    assert record.attribution.session_id == DEFAULT_SESSION_ID
    assert any("unknown session" in note for note in record.notes)


@pytest.mark.parametrize(("preset", "captured"), [("none", None), ("tracker", ASKED)])
async def test_bodies_are_kept_only_where_policy_captures_them(carry, preset, captured):
    async with carry(preset=preset) as carrying:
        agent = await carrying.agent()
        answer = await agent.ask("POST", CHAT, [HOST], ASKED)
        record = await carrying.record()
    request = record.request_body.content if record.request_body else None
    response = record.response_body.content if record.response_body else None
    assert request == captured
    assert response == (answer.body if captured else None)


async def test_a_url_is_recorded_without_its_key(carrying):
    agent = await carrying.agent()
    await agent.ask("GET", "/v1/models?key=sk-secret&limit=2", [HOST])
    record = await carrying.record()
    assert "sk-secret" not in record.url
    assert "limit=2" in record.url


async def test_a_call_is_priced_and_timed(carrying):
    agent = await carrying.agent()
    await agent.ask("POST", CHAT, [HOST], ASKED)
    record = await carrying.record()
    assert record.cost.total_usd > 0
    assert record.cost.price_date
    assert 0 < record.overhead_s < record.latency_s
    assert 0 < record.ttft_s <= record.latency_s
    assert (record.status_code, record.end_reason) == (200, EndReason.COMPLETED)


async def test_calls_go_on_where_the_spool_can_not_be_written_and_readyz_says_so(carry, tmp_path):
    (tmp_path / "data" / "spool.db").mkdir(parents=True)
    (tmp_path / "data").chmod(0o700)
    async with carry() as carrying:
        agent = await carrying.agent()
        answer = await agent.ask("POST", CHAT, [HOST], ASKED)
        status, ready = await _readiness(carrying)
    assert answer.status == 200
    assert status == 200  # agents are served
    assert any("spool" in problem for problem in ready["problems"])


async def test_a_second_sidecar_on_the_same_data_directory_is_refused(carry):
    from remora.errors import ConfigError

    async with carry() as carrying:
        with pytest.raises(ConfigError, match="REMORA_DATA_DIR"):
            async with running_sidecar(carrying.sidecar.settings):
                pass
        agent = await carrying.agent()
        assert (await agent.ask("GET", "/v1/models", [HOST])).status == 404


async def test_a_healthy_sidecar_is_ready_without_a_problem(carrying):
    assert await _readiness(carrying) == (
        200,
        {
            "ready": True,
            "problems": [],
            "version": carrying.sidecar.parts.origin.sidecar_version,
            "spool_depth": 0,
            "records_unwritten": 0,
            "hand_offs": 0,
        },
    )


async def test_no_task_outlives_the_sidecar(carry):
    import asyncio

    before = asyncio.all_tasks()
    async with carry() as carrying:
        agent = await carrying.agent()
        await agent.ask("POST", CHAT, [HOST], ASKED)
    assert {task.get_name() for task in asyncio.all_tasks() - before} == set()
