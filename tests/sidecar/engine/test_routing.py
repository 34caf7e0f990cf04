"""Where policy sends calls: over real sockets, with what the provider then gets."""

import json

import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer

CHAT = "/v1/chat/completions"
HEADERS = [
    ("Host", "api.openai.com"),
    ("Authorization", "Bearer sk-agent-dummy"),
    ("Content-Type", "application/json"),
    ("OpenAI-Organization", "org-agent"),
]
BODY = b'{"temperature":1, "model" : "gpt-4o","messages":[{"role":"user","content":"hi"}] }'


def routed(router, **route):
    return {"routes": [{"name": "chat", "router": router, **route}]}


async def ask(carrying, body=BODY, path=CHAT, headers=HEADERS):
    agent = await carrying.agent()
    return await agent.ask("POST", path, headers, body)


async def test_a_routed_call_differs_in_its_model_alone(ruled):
    router = {"policy": "random", "candidates": [{"model": "gpt-4o-mini"}]}
    async with ruled(routed(router)) as carrying:
        answer = await ask(carrying)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert answer.status == 200
    assert sent.body == BODY.replace(b'"gpt-4o"', b'"gpt-4o-mini"')
    fields = [f for f in sent.head.headers if f[0].lower() != b"content-length"]
    assert fields == [(name.encode(), value.encode()) for name, value in HEADERS]
    assert (record.requested_model, record.sent_model) == ("gpt-4o", "gpt-4o-mini")
    assert record.cost is not None
    receipt = record.receipt
    assert (receipt.policy, receipt.rule, receipt.router) == ("test", "chat", "random")
    assert receipt.propensity == 1.0
    assert [c.model for c in receipt.candidates] == ["gpt-4o-mini"]
    assert receipt.candidates[0].est_cost_usd > 0


async def test_a_call_that_no_route_takes_goes_as_it_is(ruled):
    router = {"policy": "random", "candidates": [{"model": "gpt-4o-mini"}]}
    spec = routed(router, match={"models": ["claude-*"]})
    async with ruled(spec) as carrying:
        await ask(carrying)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert sent.body == BODY
    assert record.receipt.rule == ""


async def test_a_candidate_elsewhere_gets_its_own_host_path_and_key(ruled):
    router = {"policy": "random", "candidates": [{"provider": "groq", "model": "llama-3.3-70b"}]}
    credentials = [{"provider": "groq", "secretRef": {"name": "groq", "key": "api-key"}}]
    spec = {**routed(router), "credentials": credentials}
    async with ruled(spec, keys={"groq": "gsk-policy\n"}) as carrying:
        answer = await ask(carrying)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert answer.status in (200, 404)  # the double knows OpenAI's path only
    assert sent.head.target == "/openai/v1/chat/completions"
    assert sent.head.host == "api.groq.com"
    assert sent.sni == "api.groq.com"
    assert sent.head.header("authorization") == "Bearer gsk-policy"
    assert sent.head.header("openai-organization") is None
    assert b"sk-agent-dummy" not in sent.head.raw
    assert json.loads(sent.body)["model"] == "llama-3.3-70b"
    assert record.provider == "groq"
    assert "gsk-policy" not in repr(record)


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        ({"provider": "groq", "model": "m"}, "credential"),
        ({"provider": "anthropic-aws", "model": "m"}, "dialect"),
        ({"model": "o1-pro"}, "model_denied"),
    ],
    ids=["without a key of its own", "of another dialect", "of a denied model"],
)
async def test_a_candidate_that_can_not_be_taken_is_dropped_with_its_reason(ruled, candidate, why):
    router = {"policy": "random", "candidates": [candidate, {"model": "gpt-4o-mini"}]}
    async with ruled({**routed(router), "models": {"deny": ["o1*"]}}) as carrying:
        await ask(carrying)
        record = await carrying.record()

    found = {c.model: c.filtered_out_by for c in record.receipt.candidates}
    assert found == {candidate["model"]: why, "gpt-4o-mini": ""}
    assert record.sent_model == "gpt-4o-mini"


async def test_where_no_candidate_is_left_the_call_is_refused(ruled):
    router = {"policy": "random", "candidates": [{"provider": "groq", "model": "m"}]}
    async with ruled(routed(router)) as carrying:
        answer = await ask(carrying)
        record = await carrying.record()
        assert carrying.double.requests == []

    assert answer.status == 503
    error = json.loads(answer.body)
    assert error["error"]["code"] == "NO_CANDIDATE"
    assert "groq/m (credential)" in error["remora"]["why"]
    assert answer.header("x-should-retry") == "false"
    assert record.receipt.refused_by == "NO_CANDIDATE"


@pytest.mark.parametrize(
    ("models", "model", "status"),
    [
        ({"allow": ["gpt-4o*"]}, "gpt-4o", 200),
        ({"allow": ["gpt-4o*"]}, "GPT-4O-mini", 200),
        ({"allow": ["gpt-4o*"]}, "o1", 403),
        ({"deny": ["gpt-4o"]}, "gpt-4o", 403),
        ({"allow": ["*"], "deny": ["gpt-4o"]}, "gpt-4O", 403),
        ({"deny": ["o1"]}, "gpt-4o", 200),
    ],
)
async def test_only_permitted_models_are_asked(ruled, models, model, status):
    async with ruled({"models": models}) as carrying:
        answer = await ask(carrying, BODY.replace(b"gpt-4o", model.encode()))
        sent = len(carrying.double.requests)

    assert answer.status == status
    assert sent == (status == 200)


async def test_a_body_that_hides_its_model_is_refused_where_models_are_restricted(ruled):
    async with ruled({"models": {"deny": ["o1"]}}) as carrying:
        answer = await ask(carrying, b'{"model": "o1", ')
        assert carrying.double.requests == []

    assert answer.status == 403


async def test_conditions_choose_the_route(ruled):
    def to(model):
        return {"policy": "random", "candidates": [{"model": model}]}

    spec = {
        "routes": [
            {
                "name": "short",
                "match": {"condition": "request.messages.size() < 3"},
                "router": to("small"),
            },
            {"name": "long", "router": to("large")},
        ]
    }
    long = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": str(i)} for i in range(4)]}
    ).encode()
    async with ruled(spec) as carrying:
        await ask(carrying)
        await ask(carrying, long)
        short_record, long_record = await carrying.records(2)

    assert (short_record.receipt.rule, short_record.sent_model) == ("short", "small")
    assert (long_record.receipt.rule, long_record.sent_model) == ("long", "large")


async def test_a_condition_that_fails_is_false_counted_and_named(ruled):
    route = {"name": "odd", "match": {"condition": 'request.headers["x-none"] == "1"'}}
    async with ruled({"routes": [route]}) as carrying:
        await ask(carrying)
        record = await carrying.record()
        metrics = carrying.sidecar.parts.metrics.registry.get_sample_value(
            "remora_policy_conditions_failed_total"
        )

    assert record.receipt.rule == ""
    assert any("route 'odd'" in note for note in record.notes)
    assert metrics == 1


async def test_the_agents_key_is_replaced_by_policys(ruled):
    credentials = [{"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}]
    async with ruled({"credentials": credentials}, keys={"openai": "sk-policy"}) as carrying:
        await ask(carrying)
        (sent,) = carrying.double.requests

    assert sent.head.header("authorization") == "Bearer sk-policy"
    assert sent.body == BODY


@pytest.mark.parametrize(
    "cache", [{}, {"cache": {"mode": "readwrite", "sampling": True}}], ids=["", "with a cache"]
)
async def test_a_missing_key_refuses_the_call_and_says_which(ruled, cache):
    credentials = [{"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}]
    async with ruled({"credentials": credentials, **cache}) as carrying:
        answer = await ask(carrying)
        record = await carrying.record()
        assert carrying.double.requests == []

    assert (record.end_reason, record.error.type) == (EndReason.REFUSED, "CREDENTIAL_MISSING")
    assert record.receipt.refused_by == "CREDENTIAL_MISSING"
    assert answer.status == 503
    assert json.loads(answer.body)["error"]["code"] == "CREDENTIAL_MISSING"
    assert "openai" in json.loads(answer.body)["error"]["message"]


async def test_keys_from_policy_only_strip_the_agents(ruled):
    async with ruled({"credentials": [{"provider": "*", "onlyFrom": "policy"}]}) as carrying:
        await ask(carrying)
        (sent,) = carrying.double.requests

    assert b"sk-agent-dummy" not in sent.head.raw


@pytest.mark.parametrize(
    ("spec", "status", "code"),
    [
        ({"requireTask": True}, 403, "TASK_REQUIRED"),
        ({"maxRequestBody": "16"}, 413, "BODY_TOO_LARGE"),
    ],
    ids=["without a task", "with a large body"],
)
async def test_calls_that_policy_does_not_take_are_refused(ruled, spec, status, code):
    async with ruled(spec) as carrying:
        answer = await ask(carrying)
        assert carrying.double.requests == []

    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)


async def test_a_task_named_by_header_is_enough(ruled):
    async with ruled({"requireTask": True}) as carrying:
        answer = await ask(carrying, headers=[*HEADERS, ("remora-task", "t1")])

    assert answer.status == 200


async def test_a_signed_request_is_left_as_it_is_and_said_so(ruled):
    router = {"policy": "random", "candidates": [{"model": "gpt-4o-mini"}]}
    headers = [*HEADERS[:1], ("Authorization", "AWS4-HMAC-SHA256 Credential=x"), *HEADERS[2:]]
    async with ruled(routed(router)) as carrying:
        await ask(carrying, headers=headers)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert sent.body == BODY
    assert any("it is signed" in note for note in record.notes)


async def test_routes_leave_embeddings_alone_unless_they_name_them(ruled):
    router = {"policy": "random", "candidates": [{"model": "text-embedding-3-large"}]}
    spec = {
        "routes": [
            {"name": "prompts", "router": router},
            {"name": "vectors", "match": {"operations": ["embeddings"]}, "router": router},
        ]
    }
    body = b'{"model":"text-embedding-3-small","input":"hi"}'
    async with ruled(spec) as carrying:
        carrying.double.route("POST", "/v1/embeddings", Answer(body=b"{}"))
        await ask(carrying, body, path="/v1/embeddings")
        record = await carrying.record()

    assert record.receipt.rule == "vectors"
    assert record.sent_model == "text-embedding-3-large"


async def test_a_cached_answer_belongs_to_the_model_that_was_sent(ruled):
    router = {"policy": "random", "candidates": [{"model": "gpt-4o-mini"}]}
    spec = {**routed(router), "cache": {"mode": "readwrite"}}
    body = BODY.replace(b'"temperature":1', b'"temperature":0')
    async with ruled(spec) as carrying:
        await ask(carrying, body)
        await carrying.records(1)
        again = await ask(carrying, body.replace(b'"gpt-4o"', b'"auto"'))
        records = await carrying.records(2)
        sent = len(carrying.double.requests)

    assert again.header("remora-cache").startswith("hit")
    assert sent == 1
    assert [r.sent_model for r in records] == ["gpt-4o-mini"] * 2
    assert records[1].requested_model == "auto"
