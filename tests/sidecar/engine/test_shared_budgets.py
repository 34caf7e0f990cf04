"""Two sidecars on one budget: together they spend no more than it gives."""

import asyncio
import contextlib
import json

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer
from remora.testing.raw_agent import RawAgent
from remora_aggregator.testing_tasks import temporary_tasks
from remora_sidecar.assembly import running_sidecar

CALLS = 20
TOKENS = 110
USAGE = {"prompt_tokens": 10, "completion_tokens": 100}
HEADERS = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
).encode()
POLICY = {
    "apiVersion": "remora.dev/v1alpha1",
    "kind": "LLMPolicy",
    "metadata": {"name": "test"},
    "spec": {
        "budgets": [
            {"name": "all", "per": "namespace", "maxTokens": 1000, "onUnreachable": "block"}
        ]
    },
}


async def test_two_pods_never_spend_more_than_a_shared_budget_gives(local_settings_of, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps(POLICY))
    usage = {"model": "gpt-4o", "choices": [], "usage": USAGE}
    good = Answer(headers=(("Content-Type", "application/json"),), body=json.dumps(usage).encode())
    async with contextlib.AsyncExitStack() as stack:
        aggregator = (await stack.enter_async_context(temporary_tasks())).address
        double = await stack.enter_async_context(ProviderDouble())
        double.route("POST", "/v1/chat/completions", good)
        pods = [
            await stack.enter_async_context(
                running_sidecar(
                    local_settings_of(double, name, aggregator=aggregator, policy=policy)
                )
            )
            for name in ("one", "two")
        ]
        statuses = await asyncio.gather(*(_calls(pod) for pod in pods))

    admitted = [status for each in statuses for status in each].count(200)
    refused = [status for each in statuses for status in each].count(429)
    assert admitted + refused == 2 * CALLS
    assert 1 <= admitted <= 1000 // TOKENS


async def _calls(sidecar):
    ca_pem = sidecar.authority.root_pem.decode()
    statuses = []
    for _ in range(CALLS):
        agent = await RawAgent.through(sidecar.proxy, "api.openai.com", ca_pem=ca_pem)
        async with agent:
            answer = await agent.ask("POST", "/v1/chat/completions", HEADERS, BODY)
        statuses.append(answer.status)
    return statuses
