"""Ten thousand changes of policy under one running sidecar leave nothing behind."""

import asyncio
import gc
import hashlib
import json
import logging

import psutil
import pytest

from remora.policy import effective_policy, load_documents
from remora.providers.hosts import HostPattern
from remora.testing.double_answer import json_answer
from remora_sidecar.policy.additions import provider_to_add

WARM_UP, RELOADS = 2_000, 10_000
API = {"apiVersion": "remora.dev/v1alpha1"}
ASKED = b'{"model":"m-1","messages":[],"temperature":0}'
HOST = "api.openai.com"


def _template() -> bytes:
    """A policy that a number makes another one of, provider and cache included."""
    policy = {
        **API, "kind": "LLMPolicy", "metadata": {"name": "p-12345"},
        "spec": {"capture": "full", "cache": {"mode": "readwrite", "ttl": "12345s"}},
    }  # fmt: skip
    provider = {
        **API, "kind": "LLMProvider", "metadata": {"name": "mine"},
        "spec": {"hosts": ["llm-12345.mine.example"], "dialects": ["openai-chat"]},
    }  # fmt: skip
    text = f"{json.dumps(policy)}\n---\n{json.dumps(provider)}"
    return effective_policy(load_documents({"p.yaml": text}), {}).canonical


async def _ask(carrying):
    carrying.double.script(json_answer(b'{"id":"c","model":"m-1","choices":[]}'))
    agent = await carrying.agent()
    await agent.ask("POST", "/v1/chat/completions", [("Host", HOST)], ASKED)
    agent.abort()


def _held():
    """What a leak would show in: objects, tasks, descriptors, and resident bytes."""
    gc.collect()
    process = psutil.Process()
    return {
        "objects": len(gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": process.num_fds(),
    }, process.memory_info().rss


async def _reload(carrying, numbers, template):
    sidecar = carrying.sidecar
    for number in numbers:
        document = template.replace(b"12345", str(number).encode())
        version = hashlib.sha256(document).hexdigest()
        await sidecar.live.take_document(document, version)
        snapshot = sidecar.parts.policy
        assert snapshot.terminates(f"llm-{number}.mine.example")
        assert not snapshot.terminates(f"llm-{number - 1}.mine.example")
        if number % 500 == 0:
            await _ask(carrying)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_ten_thousand_reloads_leak_nothing(carry, caplog):
    caplog.set_level(logging.ERROR, "remora_sidecar")  # else pytest keeps a record of each
    template = _template()
    async with carry() as carrying:
        parts = carrying.sidecar.parts
        added = provider_to_add("added", "https://llm.added.example/v1", [])
        parts.policy = parts.policy.with_added(added)
        await _reload(carrying, range(10_000, 10_000 + WARM_UP), template)
        before, resident_before = _held()
        await _reload(carrying, range(10_000 + WARM_UP, 10_000 + RELOADS), template)
        after, resident_after = _held()
        assert parts.policy.added == (added,)
        assert parts.policy.registry.get("mine").hosts == (
            HostPattern.parse(f"llm-{9_999 + RELOADS}.mine.example"),
        )
    assert after["tasks"] <= before["tasks"] + 2
    assert after["descriptors"] <= before["descriptors"] + 4
    assert after["objects"] <= before["objects"] * 1.02
    assert resident_after - resident_before < 32 * 1024 * 1024
