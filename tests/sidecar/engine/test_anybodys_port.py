"""A port on which a vLLM listens as often as any other web server."""

import json

import pytest

from remora.testing.double_answer import json_answer
from remora.testing.raw_agent import RawAgent

ASKED = json.dumps({"model": "llama", "messages": []}).encode()
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
ANSWER = json.dumps({"id": "c1", "model": "llama", "choices": [], "usage": USAGE}).encode()
HEADERS = [("Host", "localhost:8000"), ("Content-Type", "application/json")]


async def _ask(carrying, method, path, body=b""):
    async with await RawAgent.connect(carrying.sidecar.proxy) as agent:
        return await agent.ask(method, f"http://localhost:8000{path}", HEADERS, body)


async def test_an_llm_call_there_is_the_vllms(carrying):
    carrying.double.script(json_answer(ANSWER))
    assert (await _ask(carrying, "POST", "/v1/chat/completions", ASKED)).status == 200
    record = await carrying.record()
    assert (record.provider, record.usage.input_tokens) == ("vllm", 7)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/login"), ("GET", "/v1/models")],
)
async def test_whatever_else_goes_there_passes_unrecorded(carrying, method, path):
    carrying.double.script(json_answer(b'{"page": 1}'))
    answer = await _ask(carrying, method, path)
    assert (answer.status, answer.body) == (200, b'{"page": 1}')
    carrying.double.script(json_answer(ANSWER))
    await _ask(carrying, "POST", "/v1/chat/completions", ASKED)
    record = await carrying.record()
    assert record.provider == "vllm"
