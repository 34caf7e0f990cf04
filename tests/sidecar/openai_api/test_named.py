"""A model that a client names goes to the provider that has it, and to no other."""

import asyncio
import json

import pytest
from tests.sidecar.openai_api.conftest import CHAT, GROQ_CHAT, MESSAGES, failing, key_of

LOCAL = {
    "apiVersion": "remora.dev/v1alpha1",
    "kind": "LLMProvider",
    "metadata": {"name": "internal-vllm"},
    "spec": {
        "hosts": ["vllm.ml.svc.cluster.local"],
        "dialects": ["openai-chat"],
        "prices": [
            {"model": "house-model", "inputPerMillionUSD": "1", "outputPerMillionUSD": "2"},
        ],
    },
}


@pytest.mark.parametrize(
    ("name", "provider", "sent"),
    [
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("gpt-3.5-turbo-0125", "openai", "gpt-3.5-turbo-0125"),
        ("openai/brand-new-model", "openai", "brand-new-model"),
        ("groq/brand-new-model", "groq", "brand-new-model"),
        ("openai/gpt-oss-20b", "groq", "openai/gpt-oss-20b"),
        ("groq/openai/gpt-oss-20b", "groq", "openai/gpt-oss-20b"),
    ],
)
async def test_a_named_model_goes_to_who_has_it(served, name, provider, sent):
    reply = await served.chat(name)
    (record,) = await served.records(1)
    (asked,) = served.double.requests
    assert reply.status == 200, reply.text
    assert (record.provider, record.sent_model) == (provider, sent)
    assert asked.head.path == (GROQ_CHAT if provider == "groq" else CHAT)
    assert asked.head.header("authorization") == f"Bearer {key_of(provider)}"
    assert reply.json["x_kairosroute"]["routed_from"] is None or provider == "groq" or "/" in name


async def test_models_of_providers_of_ones_own_are_listed_by_their_prices(serve):
    async with serve("openai", documents=[LOCAL]) as served:
        reply = await served.ask("/v1/models")
        assert "house-model" in [one["id"] for one in reply.json["data"]]


@pytest.mark.parametrize("name", ["house-model", "internal-vllm/house-model"])
async def test_a_provider_of_ones_own_needs_no_key(serve, name):
    async with serve("openai", documents=[LOCAL], intercept=["openai", "internal-vllm"]) as served:
        reply = await served.chat(name, key="sk-proj-0123456789")
        (record,) = await served.records(1)
        (asked,) = served.double.requests
    assert reply.status == 200, reply.text
    assert (record.provider, record.sent_model) == ("internal-vllm", "house-model")
    assert asked.head.header("authorization") is None
    assert reply.json["x_kairosroute"]["cost_usd"] > 0


async def test_a_model_that_nobody_has_is_refused(served):
    reply = await served.chat("no-such-model-anywhere")
    assert (reply.status, reply.json["error"]["code"]) == (400, "no_models_available")
    assert served.double.requests == []


async def test_a_model_that_no_list_knows_goes_to_the_only_provider_there_is(serve):
    async with serve("openai") as served:
        reply = await served.chat("ft-something-of-ours")
        assert reply.status == 200
        assert served.asked_models() == ["ft-something-of-ours"]


async def test_a_named_model_that_fails_is_not_replaced(served):
    served.double.script(failing(500))
    reply = await served.chat("gpt-4o-mini")
    assert (reply.status, len(served.double.requests)) == (500, 1)


async def test_a_model_that_policy_denies_is_refused(serve):
    async with serve("openai", models={"deny": ["gpt-4o*"]}) as served:
        reply = await served.chat("gpt-4o-mini")
        assert (reply.status, reply.json["error"]["code"]) == (400, "no_models_available")
        assert "model_denied" in reply.json["error"]["message"]


async def test_a_clients_key_goes_to_the_model_that_it_named(serve):
    async with serve() as served:
        reply = await served.chat("gpt-4o-mini", key="some-key-of-a-gateway")
        (asked,) = served.double.requests
    assert reply.status == 200
    assert asked.head.header("authorization") == "Bearer some-key-of-a-gateway"


async def test_a_clients_key_of_another_provider_goes_nowhere(serve):
    async with serve() as served:
        reply = await served.chat("gpt-4o-mini", key="sk-ant-0123456789")
        assert (reply.status, served.double.requests) == (400, [])


async def test_what_policy_strips_is_not_replaced_by_a_clients_key(serve):
    async with serve(credentials=[{"provider": "*", "onlyFrom": "policy"}]) as served:
        reply = await served.chat("gpt-4o-mini", key="sk-proj-0123456789")
        assert (reply.status, served.double.requests) == (400, [])


async def open_session(served, **fields):
    reply = await served.ask("/v1/sessions", fields)
    return reply.json["session_id"]


async def test_a_sessions_id_as_key_names_the_session_and_is_sent_to_nobody(served):
    session = await open_session(served, agent_id="planner", task_id="t-1", goal="mood")
    reply = await served.chat(key=session)
    (record,) = await served.records(1)
    assert record.attribution.session_id == session
    assert (record.attribution.agent_id, record.attribution.task_id) == ("planner", "t-1")
    assert record.attribution.goal == reply.json["remora"]["goal"] == "mood"
    (asked,) = served.double.requests
    assert session not in repr(asked.head)
    assert session.encode() not in asked.body


@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings", "/models"])
@pytest.mark.parametrize("state", ["ended", "unknown"])
async def test_the_id_of_no_open_session_is_refused(served, path, state):
    session = "sess_0000000000000000000000"
    if state == "ended":
        session = await open_session(served)
        url = f"{served.root}/v1/sessions/{session}"
        async with served.client.delete(url) as answer:
            assert answer.status == 200
    body = None if path == "/models" else {"model": "auto", "messages": MESSAGES, "input": "x"}
    reply = await served.ask(f"/v1{path}", body, key=session)
    assert (reply.status, reply.json["error"]["code"]) == (401, "UNKNOWN_SESSION")
    assert served.double.requests == []


async def test_any_other_key_means_the_default_session(served):
    await served.chat(key="x")
    (record,) = await served.records(1)
    assert record.attribution.session_id == "default"


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}], ids=["page", "name"]
)
@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
async def test_web_pages_are_refused(served, headers, base):
    reply = await served.ask(
        f"{base}/chat/completions", {"model": "auto", "messages": MESSAGES}, **headers
    )
    assert (reply.status, served.double.requests) == (403, [])


async def test_a_tasks_budget_holds_by_its_id_in_the_body(serve):
    budget = {"name": "per-task", "per": "task", "maxCostUSD": "0.0001", "onExceed": "block"}
    async with serve("openai", budgets=[budget]) as served:
        spent = 0
        while (reply := await served.chat("gpt-4o", task_id="t-1", max_tokens=5)).status == 200:
            spent += 1
            assert spent < 50
        other = await served.chat("gpt-4o", task_id="t-2", max_tokens=5)
    assert (reply.status, reply.json["error"]["code"]) == (429, "BUDGET_EXCEEDED")
    assert reply.headers["x-should-retry"] == "false"
    assert spent > 0
    assert other.status == 200


async def test_a_budget_of_each_call_is_kept_before_it_is_sent(serve):
    budget = {"name": "cap", "per": "call", "maxCostUSD": "0.0000001", "onExceed": "block"}
    async with serve("openai", budgets=[budget]) as served:
        reply = await served.chat("gpt-4o")
        assert (reply.status, served.double.requests) == (402, [])
        assert reply.json["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"messages": []}', b'{"model": ""}', b'{"model": "a\\nb"}'],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/chat/completions", "/completions", "/embeddings"])
async def test_what_is_no_request_is_refused(served, path, body):
    reply = await served.ask(f"/v1{path}", body)
    assert (reply.status, served.double.requests) == (400, [])
    assert reply.json["error"]["message"]


async def test_a_body_larger_than_calls_may_have_is_refused(serve):
    async with serve("openai", settings={"held_body_bytes": 100_000}) as served:
        fits = await served.chat("gpt-4o-mini", padding="x" * 90_000)
        too_large = await served.chat("gpt-4o-mini", padding="x" * 110_000)
    assert (fits.status, too_large.status) == (200, 413)


async def test_a_cached_answer_costs_nothing_and_says_what_it_saved(serve):
    async with serve("openai", cache={"mode": "readwrite"}) as served:
        first = await served.chat("gpt-4o-mini", temperature=0)
        again = await served.chat("gpt-4o-mini", temperature=0)
        assert len(served.double.requests) == 1
    assert first.json["x_kairosroute"]["cost_usd"] > 0
    assert again.headers["remora-cache"].startswith("hit")
    assert again.json["x_kairosroute"]["cost_usd"] == 0
    assert again.json["x_kairosroute"]["savings_usd"] == first.json["x_kairosroute"]["cost_usd"]


async def test_an_error_that_openais_clients_can_not_read_is_put_into_their_shape(served):
    from remora.testing.double_answer import Answer

    html = (("content-type", "text/html"), ("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT"))
    served.double.script(Answer(status=429, headers=html, body=b"<h1>busy</h1>"))
    reply = await served.chat("gpt-4o-mini")
    assert reply.status == 429
    assert reply.json["error"]["message"]
    assert float(reply.headers["Retry-After"]) > 0


async def test_a_completion_goes_to_the_older_endpoint(served):
    from remora.testing.double_answer import json_answer

    body = {
        "id": "cmpl-1", "object": "text_completion", "created": 1,
        "model": "gpt-3.5-turbo-instruct",
        "choices": [{"index": 0, "text": "there", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }  # fmt: skip
    served.double.route("POST", "/v1/completions", json_answer(json.dumps(body).encode()))
    asked = {"model": "gpt-3.5-turbo-instruct", "prompt": "hello"}
    reply = await served.ask("/v1/completions", asked)
    assert reply.json["choices"] == body["choices"]
    assert reply.json["remora"]["provider"] == "openai"


async def test_fields_that_are_no_text_harm_nothing(served):
    from remora.testing.double_answer import json_answer

    odd = json_answer(b'{"choices": []}', headers=(("x-odd", "caf\u00e9"),))
    served.double.script(odd)
    host, port = served.sidecar.control
    reader, writer = await asyncio.open_connection(host, port)
    body = json.dumps({"model": "gpt-4o-mini", "messages": MESSAGES}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"X-Odd: caf\u00e9\r\nX-Even: fine\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode("latin-1") + body)
    answer = await reader.read()
    writer.close()
    (asked,) = served.double.requests
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x_kairosroute" in answer
    assert asked.head.header("x-even") == "fine"


async def test_cookies_and_other_keys_of_a_client_stay_here(served):
    await served.chat("gpt-4o-mini")
    asked = {"model": "gpt-4o-mini", "messages": MESSAGES}
    await served.ask(CHAT, asked, Cookie="a=b", x_api_key="sk-ant-x", remora_agent_id="scout")
    records = await served.records(2)
    last = served.double.requests[-1].head
    assert last.header("cookie") is None
    assert last.header("x-api-key") is None
    assert last.header("remora-agent-id") is None
    assert records[-1].attribution.agent_id == "scout"
