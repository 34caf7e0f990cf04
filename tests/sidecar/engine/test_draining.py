"""What a sidecar that stops waits for: calls in flight, and nothing else."""

import asyncio

import pytest

from remora.testing.raw_agent import RawAgent

HOST = "api.openai.com"
ASKED = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'


@pytest.mark.parametrize("calls", [0, 1])
async def test_a_connection_without_a_call_holds_up_no_stop(carry, calls):
    async with asyncio.timeout(60):  # the sidecar would wait for ten minutes
        async with carry(drain_s=600.0) as carrying:
            agent = await RawAgent.through(carrying.sidecar.proxy, HOST, ca_pem=carrying.ca_pem)
            for _ in range(calls):
                answer = await agent.ask("POST", "/v1/chat/completions", [("Host", HOST)], ASKED)
                assert answer.status == 200
    agent.abort()
