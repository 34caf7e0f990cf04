"""What `remora policy show` and `remora policy explain` learn of a running sidecar."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from remora.cli.main import cli
from remora.errors import Unavailable
from remora_sidecar.commands.running_policy import running_policy
from remora_sidecar.settings import format_address


@pytest.fixture
def pointed(controlled, monkeypatch):
    """Settings that lead to a running sidecar."""
    monkeypatch.setenv("REMORA_DATA_DIR", str(controlled.sidecar.data.path))
    monkeypatch.setenv("REMORA_CONTROL_LISTEN", format_address(controlled.sidecar.control))
    return controlled


async def test_the_policy_in_force_is_shown_as_its_owner_sees_it(pointed):
    shown = await asyncio.to_thread(running_policy)
    _, seen = await pointed.call("GET", "/v1/policy", headers=pointed.admin)
    assert shown == seen
    assert shown["name"] == "default"
    assert shown["policy"]["kind"] == "LLMPolicy"


async def test_a_sidecar_that_refuses_is_said_to(pointed, monkeypatch, tmp_path):
    token = tmp_path / "another-token"
    token.write_text("not-the-token-of-this-sidecar")
    monkeypatch.setenv("REMORA_ADMIN_TOKEN_FILE", str(token))
    with pytest.raises(Unavailable, match="REMORA_ADMIN_TOKEN_FILE"):
        await asyncio.to_thread(running_policy)


async def test_a_request_is_explained_by_the_policy_in_force(pointed):
    asked = json.dumps({"model": "gpt-4o", "messages": []})
    command = ["policy", "explain", "--json", "--request", "-"]
    ended = await asyncio.to_thread(CliRunner().invoke, cli, command, input=asked)
    shown = json.loads(ended.stdout)
    policy = pointed.sidecar.parts.policy
    assert (shown["policy"], shown["policy_version"]) == (policy.name, policy.version)
    assert shown["decision"]["model_id"] == "gpt-4o"
