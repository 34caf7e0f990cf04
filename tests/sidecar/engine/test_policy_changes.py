"""Policy files edited under a running sidecar."""

import json

import pytest

from remora.testing.double_answer import Answer
from remora_sidecar import policy_files

ASKED = b'{"model":"m-1","messages":[],"temperature":0}'
JSON = (("Content-Type", "application/json"),)
WHOLE = Answer(
    headers=JSON,
    body=json.dumps(
        {
            "id": "c-1",
            "model": "m-1",
            "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2},
        }
    ).encode(),
)


def _policy(**spec):
    metadata = {"name": "p"}
    kind = {"apiVersion": "remora.dev/v1alpha1", "kind": "LLMPolicy"}
    return json.dumps({**kind, "metadata": metadata, "spec": spec}) + "\n"


PROVIDER = """\
---
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {name: mine}
spec: {hosts: [llm.mine.example], dialects: [openai-chat]}
"""


def _put(file, text):
    """Write a file as careful editors do: at no moment is it there in part."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


@pytest.fixture
def policy(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_files, "LOOK_EVERY_S", 0.01)
    file = tmp_path / "policy.yaml"
    file.write_text(_policy())
    return file


async def _ask(carrying, host):
    agent = await carrying.agent(host=host)
    return await agent.ask("POST", "/v1/chat/completions", [("Host", host)], ASKED)


async def test_a_provider_in_a_changed_file_is_intercepted_without_restart(carry, policy):
    async with carry(policy=policy, double={"names": ["llm.mine.example"]}) as carrying:
        parts = carrying.sidecar.parts
        assert not parts.policy.terminates("llm.mine.example")
        _put(policy, _policy() + PROVIDER)
        await carrying.until(lambda: parts.policy.terminates("llm.mine.example"))
        carrying.double.script(WHOLE)
        await _ask(carrying, "llm.mine.example")
        record = await carrying.record()
    assert (record.provider, record.usage.input_tokens) == ("mine", 7)


async def test_a_changed_file_switches_the_cache_on_and_off(carry, policy):
    async with carry(policy=policy) as carrying:
        parts = carrying.sidecar.parts
        verdicts = []
        for mode in ("readwrite", "readwrite", "disabled"):
            _put(policy, _policy(cache={"mode": mode}))
            wanted = mode != "disabled"
            await carrying.until(lambda wanted=wanted: (parts.policy.cache is not None) is wanted)
            carrying.double.script(WHOLE)
            answer = await _ask(carrying, "api.openai.com")
            verdicts.append(answer.header("remora-cache"))
            await carrying.until(lambda: parts.tasks.idle)
    assert verdicts == ["miss", "hit; age=0", None]


async def test_a_cache_that_is_to_be_shared_and_can_not_be_is_told_at_the_change(
    carry, policy, caplog
):
    async with carry(policy=policy) as carrying:
        assert "REMORA_CACHE_URL" not in caplog.text
        _put(policy, _policy(cache={"mode": "readwrite", "scope": "namespace"}))
        await carrying.until(lambda: "needs REMORA_CACHE_URL" in caplog.text)


async def test_a_file_that_can_not_be_used_changes_nothing_and_health_says_so(carry, policy):
    async with carry(policy=policy) as carrying:
        before = carrying.sidecar.parts.policy
        _put(policy, _policy(capture="everything"))
        await carrying.until(lambda: carrying.sidecar.health().problems)
        assert carrying.sidecar.parts.policy is before
        assert "spec.capture" in carrying.sidecar.health().problems[0]
        _put(policy, _policy())
        await carrying.until(lambda: not carrying.sidecar.health().problems)
