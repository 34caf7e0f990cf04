"""Providers added to a running sidecar."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import json_answer
from remora.testing.raw_agent import RawAgent
from remora_sidecar.assembly import running_sidecar
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings, format_address

ASKED = json.dumps({"model": "m-1", "messages": []}).encode()
ANSWER = json.dumps(
    {
        "id": "c1",
        "model": "m-1",
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
).encode()
MINE = {"name": "mine", "base_url": "https://llm.example.com", "path_patterns": ["/generate"]}


async def _post(sidecar: Any, body: Any, headers: Any = None) -> tuple[int, Any]:
    url = f"http://{format_address(sidecar.control)}/providers"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=content, headers=headers) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text) if text else None


async def _record(sidecar: Any) -> CallRecord:
    async with asyncio.timeout(10):
        while not sidecar.spool.depth:  # noqa: ASYNC110 - the spool signals nothing
            await asyncio.sleep(0.002)
    (row,) = await sidecar.spool.batch(10, 1 << 20)
    return from_message(row.message)


async def test_a_provider_is_added_without_token_outside_a_pod(controlled) -> None:
    assert await _post(controlled.sidecar, MINE) == (204, None)
    assert await _post(controlled.sidecar, MINE) == (204, None), "again changes nothing"
    assert controlled.sidecar.parts.policy.terminates("llm.example.com")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"", 400, "BAD_REQUEST", id="no body"),
        pytest.param(b"{", 400, "BAD_REQUEST", id="no JSON"),
        pytest.param([], 400, "BAD_REQUEST", id="no object"),
        pytest.param({"name": "x"}, 400, "BAD_REQUEST", id="keys missing"),
        pytest.param({**MINE, "name": 1}, 400, "BAD_REQUEST", id="no text"),
        pytest.param({**MINE, "name": ""}, 400, "BAD_REQUEST", id="empty name"),
        pytest.param({**MINE, "path_patterns": "/a"}, 400, "BAD_REQUEST", id="no list"),
        pytest.param({**MINE, "base_url": "llm"}, 400, "BAD_REQUEST", id="no URL"),
        pytest.param({**MINE, "name": "openai"}, 409, "PROVIDER_CONFLICT", id="built-in name"),
        pytest.param(
            {**MINE, "base_url": "https://api.openai.com"}, 409, "PROVIDER_CONFLICT", id="host"
        ),
    ],
)
async def test_what_can_not_be_added_is_said_in_json(controlled, body, status, code) -> None:
    answered, said = await _post(controlled.sidecar, body)
    assert (answered, said["error"]["code"]) == (status, code)
    assert len(controlled.sidecar.parts.policy.added) == 0


async def test_a_key_in_the_url_is_not_told_back(controlled) -> None:
    body = {**MINE, "base_url": "https://u:sk-secret@llm.example.com"}
    _, said = await _post(controlled.sidecar, body)
    assert "sk-secret" not in json.dumps(said)


async def test_web_pages_add_nothing(controlled) -> None:
    status, _ = await _post(controlled.sidecar, MINE, {"Origin": "https://evil.example"})
    assert status == 403


async def test_the_owner_lists_the_providers(controlled) -> None:
    await _post(controlled.sidecar, MINE)
    assert (await controlled.call("GET", "/v1/providers"))[0] == 401
    status, listed = await controlled.call("GET", "/v1/providers", headers=controlled.admin)
    origins = {p["name"]: p["origin"] for p in listed["providers"]}
    assert status == 200
    assert origins["mine"] == "run_time"
    assert origins["openai"] == "built_in"


async def test_in_a_pod_only_the_owner_adds(tmp_path: Path) -> None:
    settings = SidecarSettings(
        listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
        status_listen=("127.0.0.1", 0), data_dir=tmp_path / "data", aggregator="none",
        pod_uid="u-1", drain_s=0.1,
    )  # fmt: skip
    async with running_sidecar(settings) as sidecar:
        assert (await _post(sidecar, MINE))[0] == 401
        token = {"Authorization": f"Bearer {sidecar.data.admin_token}"}
        assert (await _post(sidecar, MINE, token))[0] == 204


@pytest.fixture
async def added(tmp_path: Path):
    """A sidecar to whose providers `llm.example.com` was added, and the double behind it."""
    async with ProviderDouble(names=["llm.example.com"]) as double:
        ca = tmp_path / "provider-ca.pem"
        ca.write_text(double.ca_pem)
        host, port = double.address
        settings = SidecarSettings(
            listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
            status_listen=("127.0.0.1", 0), data_dir=tmp_path / "data", aggregator="none",
            upstream_ca=ca, connect_to=ConnectTo.parse(f"::{host}:{port}"), drain_s=1.0,
        )  # fmt: skip
        async with running_sidecar(settings) as sidecar:
            assert (await _post(sidecar, MINE))[0] == 204
            yield sidecar, double


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/my/generate/now"])
async def test_calls_to_an_added_host_are_read_at_once(added, path) -> None:
    sidecar, double = added
    double.script(json_answer(ANSWER))
    ca_pem = sidecar.authority.root_pem.decode()
    async with await RawAgent.through(sidecar.proxy, "llm.example.com", ca_pem=ca_pem) as agent:
        fields = [("Host", "llm.example.com"), ("Content-Type", "application/json")]
        assert (await agent.ask("POST", path, fields, ASKED)).status == 200
    record = await _record(sidecar)
    assert (record.provider, record.dialect) == ("mine", "openai-chat")
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (10, 5)
