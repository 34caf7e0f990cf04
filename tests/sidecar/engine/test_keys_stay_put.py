"""A key of policy goes to its provider and nowhere else: all that is left behind is searched."""

import json
import logging

import aiohttp
import pytest

from remora.testing.double_answer import Answer, Fault, FaultKind
from remora.testing.planted_secrets import PlantedSecrets, contents_of

KEYS = {"openai": "sk-planted-openai-0001", "groq": "gsk-planted-groq-0002"}
HEADERS = [
    ("Host", "api.openai.com"),
    ("Content-Type", "application/json"),
    ("Authorization", "Bearer sk-agents-own-dummy-0003"),
]
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
SPEC = {
    "capture": "full",
    "cache": {"mode": "readwrite", "sampling": True},
    "routes": [
        {
            "name": "r",
            "retry": {"attempts": 2, "initial": "1ms", "max": "2ms"},
            "fallback": [{"provider": "groq", "model": "llama"}],
        }
    ],
    "credentials": [
        {"provider": name, "secretRef": {"name": name, "key": "api-key"}} for name in KEYS
    ],
}
ECHO = b'{"error":{"message":"bad key","type":"invalid_request_error"}}'


@pytest.mark.parametrize(
    "script",
    [
        (),
        (Answer(status=401, body=ECHO), Answer(status=500), Answer(status=500)),
        (Answer(fault=Fault(FaultKind.RESET)),) * 4,
        (Answer(status=400, body=ECHO),),
    ],
    ids=["answered", "refused and failed", "nobody there", "the request's fault"],
)
async def test_keys_are_in_nothing_that_is_left_behind(ruled, tmp_path, caplog, script):
    caplog.set_level(logging.DEBUG)
    async with ruled(SPEC, keys=KEYS) as carrying:
        carrying.double.script(*script)
        agent = await carrying.agent()
        answer = await agent.ask("POST", "/v1/chat/completions", HEADERS, BODY)
        record = await carrying.record()
        sent = [request.head.raw for request in carrying.double.requests]
        shown = await _shown(carrying)

    planted = PlantedSecrets({**KEYS, "agents": "sk-agents-own-dummy-0003"})
    left_behind = {
        "answer": answer.body + repr(answer.headers).encode(),
        "record": repr(record),
        "log": caplog.text,
        **shown,
        **contents_of(tmp_path / "data"),
    }
    assert planted.found_in(left_behind) == []
    for head in sent:
        to_groq = b"api.groq.com" in head
        assert (KEYS["openai"].encode() in head) is not to_groq
        assert (KEYS["groq"].encode() in head) is to_groq
        assert b"sk-agents-own" not in head


async def _shown(carrying):
    """Ask the control and status listeners for all they tell."""
    control, status = carrying.sidecar.control, carrying.sidecar.status
    token = {"Authorization": f"Bearer {carrying.sidecar.data.admin_token}"}
    found = {}
    async with aiohttp.ClientSession() as client:
        for (host, port), path in (
            (control, "/v1/policy"),
            (control, "/v1/sessions"),
            (control, "/health"),
            (status, "/readyz"),
            (status, "/metrics"),
        ):
            async with client.get(f"http://{host}:{port}{path}", headers=token) as answer:
                found[path] = await answer.read()
    assert json.loads(found["/readyz"])["ready"]
    return found
