"""Whoever asks for `auto` gets the cheapest model that can do it, and is told which."""

import json
from decimal import Decimal

import pytest
from tests.sidecar.openai_api.conftest import CHAT, GROQ_CHAT, MESSAGES, failing, key_of

from remora.workflows.catalogue import Catalogue


def entry(model, provider):
    (found,) = Catalogue.builtin().find(model, provider)
    return found


def answered_by(reply):
    """The catalogue's entry of the model that answered."""
    ours = reply.json["remora"]
    return entry(ours["model"], ours["provider"])


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
@pytest.mark.parametrize("name", ["auto", "kr-auto"])
async def test_a_chat_for_auto_is_answered_by_a_fast_model(served, base, name):
    served.base = base
    reply = await served.chat(name)
    (record,) = await served.records(1)
    assert reply.status == 200
    assert reply.json["choices"][0]["message"]["content"]
    assert entry(record.sent_model, record.provider).tier == "fast"

    ours = reply.json["remora"]
    theirs = reply.json["x_kairosroute"]
    assert ours["call_id"] == record.call_id == reply.headers["remora-call-id"]
    assert (ours["model"], ours["provider"]) == (record.sent_model, record.provider)
    assert Decimal(ours["cost_usd"]) == record.cost.total_usd > 0
    assert (ours["tier"], ours["goal"]) == ("fast", record.attribution.goal)
    assert theirs["provider"] == record.provider
    assert theirs["cost_usd"] == pytest.approx(float(record.cost.total_usd))
    assert theirs["savings_usd"] > 0
    assert theirs["routed_from"] == name
    assert reply.headers["X-KairosRoute-Provider"] == record.provider
    assert Decimal(reply.headers["X-KairosRoute-Cost"]) == record.cost.total_usd
    assert Decimal(reply.headers["X-KairosRoute-Savings"]) > 0

    costs = [Decimal(one["est_cost_usd"]) for one in ours["candidates"] if one["est_cost_usd"]]
    assert (ours["candidates"][0]["model"], min(costs)) == (record.sent_model, costs[0])


async def test_the_key_of_the_policy_goes_to_the_provider_and_no_other(served):
    await served.chat(key="sk-unknown-owner")
    (record,) = await served.records(1)
    (asked,) = served.double.requests
    assert asked.head.header("authorization") == f"Bearer {key_of(record.provider)}"


async def test_all_of_a_request_but_the_model_stays_as_it_was(served):
    messages = b'"messages":[{"content":"Say hello.","role":"user"}]'
    body = b"{ " + messages + b',"x":1.50,"task_id":"t-1" ,\n "model":"auto"}'
    reply = await served.ask(CHAT, body)
    (record,) = await served.records(1)
    assert reply.status == 200
    (asked,) = served.double.requests
    sent = b'"%s"' % record.sent_model.encode()
    assert asked.body == b"{ " + messages + b',"x":1.50 ,\n "model":' + sent + b"}"
    assert record.attribution.task_id == "t-1"


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("more", "capability"),
    [
        ({"tools": [TOOL]}, "tool_use"),
        ({"response_format": SCHEMA}, "structured_output"),
        ({"response_format": {"type": "json_object"}}, "json_mode"),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, "vision"),
        ({"reasoning_effort": "low"}, "reasoning"),
        ({"messages": [{"role": "user", "content": "word " * 110_000}]}, "long_context"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_model_can_do_what_the_request_needs(served, more, capability):
    reply = await served.chat(**more)
    (record,) = await served.records(1)
    assert reply.status == 200
    assert capability in entry(record.sent_model, record.provider).capabilities


@pytest.mark.parametrize(
    ("more", "tier"),
    [
        ({}, "fast"),
        ({"tools": [TOOL]}, "balanced"),
        (
            {"messages": [{"role": "user", "content": "Write a Python function to add."}]},
            "balanced",
        ),
        ({"messages": [{"role": "user", "content": "word " * 12_000}]}, "balanced"),
        ({"reasoning_effort": "high"}, "high"),
        ({"remora_goal": "research"}, "high"),
    ],
    ids=["short", "tools", "code", "long", "effort", "goal"],
)
async def test_the_tier_follows_the_request(served, more, tier):
    reply = await served.chat(**more)
    assert reply.json["remora"]["tier"] == tier
    assert answered_by(reply).tier == tier


async def test_a_goal_that_is_said_is_the_records_goal(served):
    await served.chat(remora_goal="my-own-goal")
    (record,) = await served.records(1)
    assert record.attribution.goal == "my-own-goal"


async def test_where_policy_permits_no_model_of_the_tier_a_stronger_one_is_taken(serve):
    async with serve("openai", models={"allow": ["gpt-4o", "gpt-4.1"]}) as served:
        reply = await served.chat()
        assert reply.json["remora"]["model"] in ("gpt-4o", "gpt-4.1")
        assert reply.json["remora"]["tier"] == "fast"


async def test_a_field_that_a_model_is_known_to_refuse_leads_to_another(serve):
    async with serve("openai") as served:
        reply = await served.chat(max_tokens=10, temperature=0.2)
        assert "reasoning" not in answered_by(reply).capabilities


@pytest.mark.parametrize(
    "failure",
    [failing(500), failing(429), failing(404), failing(400, "unsupported_parameter")],
    ids=["broken", "busy", "gone", "refuses"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_model_that_fails_is_followed_by_the_next(serve, failure, stream):
    async with serve("openai") as served:
        served.double.script(failure)
        reply = await served.chat(stream=stream)
        first, second = await served.records(2)
    assert reply.status == 200
    assert first.status_code >= 400
    assert first.sent_model != second.sent_model
    block = (reply.events[-1] if stream else reply.json)["remora"]
    assert block["model"] == second.sent_model
    assert [one["model"] for one in block["candidates"]][:2] == [
        first.sent_model,
        second.sent_model,
    ]
    assert Decimal(block["cost_usd"]) == second.cost.total_usd


async def test_a_request_that_is_wrong_itself_is_tried_once(served):
    served.double.script(failing(400, "invalid_value"))
    reply = await served.chat()
    assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_value")
    assert len(served.double.requests) == 1


async def test_when_all_fail_the_last_failure_is_the_answer(serve):
    async with serve("openai") as served:
        served.double.route("POST", CHAT, failing(503))
        reply = await served.chat()
        assert reply.status == 503
        assert len(set(served.asked_models())) == 4


async def test_a_route_for_auto_decides_itself(serve):
    route = {
        "name": "own",
        "match": {"models": ["auto"]},
        "router": {"policy": "weighted", "candidates": [
            {"provider": "groq", "model": "local-model", "weight": 1},
        ]},
    }  # fmt: skip
    async with serve("openai", "groq", routes=[route]) as served:
        reply = await served.chat()
        (record,) = await served.records(1)
        assert served.asked_models() == ["local-model"]
    assert (record.provider, record.receipt.rule) == ("groq", "own")
    assert reply.json["remora"]["model"] == "local-model"
    assert reply.json["x_kairosroute"]["routed_from"] == "auto"


async def test_policys_route_applies_to_the_model_that_was_chosen(serve):
    route = {"name": "spare", "match": {"models": ["*-*"]}, "fallback": [
        {"provider": "groq", "model": "spare-model"},
    ]}  # fmt: skip
    async with serve(
        "openai", "groq", routes=[route], models={"allow": ["gpt-4o-mini", "spare-model"]}
    ) as served:
        served.double.script(failing(500))
        reply = await served.chat()
        (record,) = await served.records(1)
    assert [one.model for one in record.attempts] == ["gpt-4o-mini", "spare-model"]
    assert (reply.json["remora"]["provider"], reply.json["remora"]["model"]) == (
        "groq", "spare-model",
    )  # fmt: skip


async def test_without_a_key_no_model_is_available_and_it_is_said_why(serve):
    async with serve() as served:
        reply = await served.chat()
        assert served.double.requests == []
    assert reply.status == 400
    assert reply.json["error"]["code"] == "no_models_available"
    assert "no key" in reply.json["error"]["message"]
    dropped = reply.json["remora"]["dropped"]
    assert {"openai", "groq"} <= {one["provider"] for one in dropped}
    assert "no key" in {one["filtered_out_by"] for one in dropped}


@pytest.mark.parametrize(
    ("key", "goes_to"),
    [("gsk_0123456789", "groq"), ("sk-proj-0123456789", "openai")],
    ids=["groq", "openai"],
)
async def test_a_clients_own_key_goes_to_its_own_provider_only(serve, key, goes_to):
    async with serve() as served:
        reply = await served.chat(key=key)
        (asked,) = served.double.requests
    assert reply.json["remora"]["provider"] == goes_to
    assert asked.head.header("authorization") == f"Bearer {key}"
    assert asked.head.path == (GROQ_CHAT if goes_to == "groq" else CHAT)


async def test_models_that_keep_failing_are_left_alone_until_they_are_well(serve):
    async with serve("openai", breaker={"consecutiveFailures": 2}) as served:
        chosen = (await served.chat()).json["remora"]["model"]
        for _ in range(2):
            served.double.script(failing(500))
            assert (await served.chat()).status == 200
        asked = len(served.double.requests)
        reply = await served.chat()
        assert served.asked_models()[asked:] == [reply.json["remora"]["model"]]
    assert reply.json["remora"]["model"] != chosen


async def test_a_model_is_not_left_alone_for_what_a_request_asks(serve):
    async with serve("openai", breaker={"consecutiveFailures": 2}) as served:
        chosen = (await served.chat()).json["remora"]["model"]
        for _ in range(4):
            served.double.script(failing(400, "unsupported_value"))
            assert (await served.chat()).status == 200
        assert (await served.chat()).json["remora"]["model"] == chosen


async def test_who_is_known_to_be_slow_comes_last(served):
    reply = await served.chat()
    chosen = reply.json["remora"]
    now_s = served.sidecar.parts.clock.monotonic_s()
    for _ in range(50):
        served.sidecar.parts.steering.latencies.add(chosen["provider"], chosen["model"], 9.0, now_s)
    patient = await served.chat(preferred_max_latency=20_000)
    hasty = await served.chat(preferred_max_latency=1_000)
    assert patient.json["remora"]["model"] == chosen["model"]
    assert hasty.json["remora"]["model"] != chosen["model"]
    assert all(b"preferred" not in request.body for request in served.double.requests)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plugins", ["web-search"]),
        ("zdr", True),
        ("data_collection", "deny"),
        ("preferred_min_throughput", 30),
        ("preferred_max_latency", "soon"),
        ("task_id", 5),
        ("model", 5),
    ],
)
async def test_what_can_not_be_honoured_is_refused(served, field, value):
    reply = await served.ask(CHAT, {"model": "auto", "messages": MESSAGES, field: value})
    assert reply.status == 400
    assert field in reply.json["error"]["message"]
    assert served.double.requests == []


async def test_what_asks_for_nothing_is_taken_out(served):
    reply = await served.chat(plugins=[], zdr=False, data_collection="allow", task_id=None)
    (asked,) = served.double.requests
    assert reply.status == 200
    assert set(json.loads(asked.body)) == {"model", "messages"}


async def test_embeddings_go_to_a_model_that_embeds(served):
    from remora.testing.double_answer import json_answer

    body = {
        "object": "list", "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    }  # fmt: skip
    served.double.route("POST", "/v1/embeddings", json_answer(json.dumps(body).encode()))
    reply = await served.ask("/v1/embeddings", {"model": "kr-auto-embed", "input": ["a", "b"]})
    (record,) = await served.records(1)
    assert reply.json["data"] == body["data"]
    assert record.sent_model == "text-embedding-3-small"
    assert Decimal(reply.json["remora"]["cost_usd"]) == record.cost.total_usd
