"""LLM calls in plain HTTP to hosts that nobody named as a provider's."""

import json

import pytest

from remora.records import EndReason
from remora.testing.double_answer import json_answer
from remora.testing.raw_agent import RawAgent
from remora_sidecar.engine.target import Target
from remora_sidecar.engine.unnamed_provider import unnamed_provider
from remora_sidecar.gateway import Gateway

ASKED = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})

ANSWERED = json.dumps(
    {"id": "c", "model": "gpt-4o-mini", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
).encode()


@pytest.mark.parametrize(
    ("method", "url", "dialect_claims"),
    [
        pytest.param("POST", ("http", "127.0.0.1", 8123, "/v1/chat/completions"), True, id="chat"),
        pytest.param("POST", ("http", "gpu-7", 80, "/v1/messages"), True, id="a bare name"),
        pytest.param("POST", ("http", "::1", 80, "/v1/embeddings"), True, id="IPv6"),
        pytest.param("GET", ("http", "gpu-7", 80, "/v1/chat/completions"), False, id="a GET"),
        pytest.param("POST", ("http", "gpu-7", 80, "/upload"), False, id="another path"),
        pytest.param("POST", ("https", "gpu-7", 443, "/v1/messages"), False, id="over TLS"),
    ],
)
def test_a_post_with_an_llms_path_is_a_call(method, url, dialect_claims):
    provider = unnamed_provider(Target(*url), method, ())

    assert (provider is not None) == dialect_claims
    if provider is not None:
        assert provider.name == Target(*url).authority
        assert provider.run_time  # no key of policy's is ever sent there


@pytest.mark.parametrize("is_gateway", [True, False], ids=["a gateway", "any other sidecar"])
async def test_only_a_gateway_records_such_calls_and_both_carry_them(carry, is_gateway):
    gateway = Gateway(takes_any_host=True) if is_gateway else None
    async with carry(gateway=gateway) as carrying:
        host, port = carrying.double.address
        carrying.double.script(json_answer(ANSWERED))
        url = f"http://{host}:{port}/v1/chat/completions"
        fields = [("Host", f"{host}:{port}"), ("Content-Type", "application/json")]
        async with await RawAgent.connect(carrying.sidecar.proxy) as agent:
            answer = await agent.ask("POST", url, fields, ASKED.encode())
            assert answer.status == 200
            other = await agent.ask("POST", f"http://{host}:{port}/upload", fields, b"{}")
            assert other.status > 0
        if not is_gateway:
            assert carrying.sidecar.spool.depth == 0
            return
        record = await carrying.record()

    assert (record.provider, record.dialect) == (f"{host}:{port}", "openai-chat")
    assert (record.usage.input_tokens, record.usage.output_tokens) == (10, 5)
    assert record.end_reason is EndReason.COMPLETED
