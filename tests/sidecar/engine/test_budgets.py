"""Budgets and rates as agents meet them, over real sockets; their arithmetic is tested apart."""

import asyncio
import json
import ssl
from decimal import Decimal

import openai
import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind

CHAT = "/v1/chat/completions"
HEADERS = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
JSON_HEAD = (("Content-Type", "application/json"),)


def body(model="gpt-4o", **more):
    asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
    return json.dumps({**asked, **more}).encode()


def answer(entered=10, written=100):
    usage = {"prompt_tokens": entered, "completion_tokens": written}
    content = {"model": "gpt-4o", "choices": [{"index": 0, "message": {"content": "x"}}]}
    return Answer(headers=JSON_HEAD, body=json.dumps({**content, "usage": usage}).encode())


async def ask(carrying, content=None, headers=()):
    agent = await carrying.agent()
    return await agent.ask("POST", CHAT, [*HEADERS, *headers], content or body())


def budget(**fields):
    return {"name": "b", "per": "pod", **fields}


async def test_a_call_that_does_not_fit_is_refused_before_it_is_sent(ruled):
    spec = {"budgets": [budget(maxTokens=300, window="1d")]}
    async with ruled(spec) as carrying:
        carrying.double.script(answer(), answer())
        statuses = [(await ask(carrying)).status for _ in range(2)]
        refused = await ask(carrying)
        *_, record = await carrying.records(3)
        assert len(carrying.double.requests) == 2

    assert statuses == [200, 200]
    assert refused.status == 429
    assert refused.header("x-should-retry") == "false"
    said = json.loads(refused.body)
    assert said["error"]["code"] == "BUDGET_EXCEEDED"
    assert (said["remora"]["budget"], said["remora"]["limit"]) == ("b", "300 tokens")
    assert said["remora"]["resets_at"].endswith("T00:00:00+00:00")
    assert record.end_reason is EndReason.REFUSED
    (receipt,) = record.receipt.budgets
    assert (receipt.result, receipt.spent_tokens, receipt.limit_tokens) == ("block", 220, 300)


async def test_what_a_call_used_is_charged_not_what_was_reserved(ruled):
    async with ruled({"budgets": [budget(maxTokens=150)]}) as carrying:
        carrying.double.script(*(answer(1, 1) for _ in range(10)))
        statuses = [(await ask(carrying)).status for _ in range(10)]

    assert statuses == [200] * 10


async def test_a_call_that_failed_is_given_back(ruled):
    async with ruled({"budgets": [budget(maxTokens=150)]}) as carrying:
        carrying.double.script(Answer(status=500), answer())
        assert (await ask(carrying)).status == 500
        assert (await ask(carrying)).status == 200


async def test_calls_in_flight_hold_their_estimates(ruled):
    async with ruled({"budgets": [budget(maxTokens=250)]}) as carrying:
        carrying.double.script(Answer(before_head_s=30), Answer(before_head_s=30))
        waiting = [await carrying.agent() for _ in range(2)]
        for agent in waiting:
            framing = [("Content-Length", str(len(body())))]
            await agent.send("POST", CHAT, [*HEADERS, *framing], body())
        await carrying.until(lambda: carrying.double.scripts_left == 0)
        refused = await ask(carrying)
        for agent in waiting:
            agent.abort()
        await carrying.records(3)
        carrying.double.script(answer())
        admitted = await ask(carrying)

    assert refused.status == 429
    assert admitted.status == 200


async def test_a_cut_stream_is_settled_by_what_was_seen(ruled):
    begun = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"word " * 40 + b'"}}]}\n\n'
    async with ruled({"budgets": [budget(maxTokens=1000)]}) as carrying:
        carrying.double.script(
            Answer(
                headers=(("Content-Type", "text/event-stream"),),
                body=begun * 2,
                fault=Fault(FaultKind.RESET, len(begun)),
            )
        )
        await ask(carrying, body(stream=True))
        record = await carrying.record()
        ledger = carrying.sidecar.parts.steering.budgeting.ledger
        (row,) = ledger.rows()

    assert record.usage.estimated
    assert row.spent_tokens == record.usage.input_tokens + record.usage.output_tokens


async def test_money_is_counted_by_the_price_of_the_model(ruled):
    async with ruled({"budgets": [budget(maxCostUSD="1")]}) as carrying:
        carrying.double.script(answer(1000, 100))
        await ask(carrying)
        record = await carrying.record()
        (row,) = carrying.sidecar.parts.steering.budgeting.ledger.rows()

    assert Decimal(row.spent_picousd).scaleb(-12) == record.cost.total_usd
    (receipt,) = record.receipt.budgets
    assert (receipt.result, receipt.limit_usd) == ("ok", Decimal(1))


async def test_a_cap_per_call_is_told_as_402(ruled):
    async with ruled({"budgets": [budget(per="call", maxCostUSD="0.0001")]}) as carrying:
        refused = await ask(carrying)
        assert carrying.double.requests == []

    assert refused.status == 402
    assert json.loads(refused.body)["error"]["code"] == "BUDGET_EXCEEDED"


@pytest.mark.parametrize(
    ("more", "route", "sent"),
    [
        ({"downgradeTo": "gpt-4o-mini"}, None, "gpt-4o-mini"),
        (
            {},
            {
                "name": "r",
                "router": {
                    "policy": "conditional",
                    "candidates": [{"model": "gpt-4o"}, {"model": "gpt-4o-mini"}],
                },
            },
            "gpt-4o-mini",
        ),
        ({}, {"name": "r", "fallback": [{"model": "gpt-4.1-nano"}]}, "gpt-4.1-nano"),
    ],
    ids=["to the named model", "to a cheaper candidate", "to a cheaper fallback"],
)
async def test_a_call_that_costs_too_much_is_downgraded(ruled, more, route, sent):
    spec = {"budgets": [budget(per="call", maxCostUSD="0.0003", onExceed="downgrade", **more)]}
    async with ruled({**spec, "routes": [route] if route else []}) as carrying:
        carrying.double.script(answer())
        found = await ask(carrying)
        record = await carrying.record()

    assert found.status == 200
    assert record.sent_model == sent
    assert any("sent the call to" in note for note in record.notes)


async def test_where_nothing_is_cheaper_a_downgrade_is_a_refusal(ruled):
    spec = {"budgets": [budget(per="call", maxCostUSD="0.0003", onExceed="downgrade")]}
    async with ruled(spec) as carrying:
        assert (await ask(carrying)).status == 402


async def test_a_warning_lets_the_call_go(ruled):
    spec = {"budgets": [budget(maxTokens=1, onExceed="warn")]}
    async with ruled(spec) as carrying:
        carrying.double.script(answer())
        assert (await ask(carrying)).status == 200
        record = await carrying.record()

    assert record.receipt.budgets[0].result == "warn"


async def test_a_strict_budget_wants_to_know_how_long_an_answer_may_be(ruled):
    spec = {"budgets": [budget(maxTokens=10_000, strict=True)]}
    asked = json.dumps({"model": "nobody-knows-it", "messages": []}).encode()
    async with ruled(spec) as carrying:
        refused = await ask(carrying, asked)

    assert refused.status == 400
    assert json.loads(refused.body)["error"]["code"] == "MAX_TOKENS_REQUIRED"


async def test_a_strict_budget_holds_what_the_dearest_fallback_may_cost(ruled):
    """The dearer model's longest answer does not fit, though the cheaper one's would."""
    route = {
        "name": "r",
        "router": {"policy": "conditional", "candidates": [{"model": "gpt-4o-mini"}]},
        "fallback": [{"model": "gpt-4o"}],
    }
    spec = {"budgets": [budget(maxCostUSD="0.0005", strict=True)], "routes": [route]}
    async with ruled(spec) as carrying:
        refused = await ask(carrying)
        assert carrying.double.requests == []
    async with ruled({**spec, "routes": [{**route, "fallback": []}]}) as carrying:
        carrying.double.script(answer())
        admitted = await ask(carrying)

    assert refused.status == 429
    assert admitted.status == 200


@pytest.mark.parametrize(
    ("limit", "asked"), [(250, 1), (10_000, 2)], ids=["no room for both", "room for both"]
)
async def test_a_strict_budget_counts_tries_that_failed_and_were_billed(ruled, limit, asked):
    route = {"name": "r", "retry": {"attempts": 2, "initial": "1ms"}}
    spec = {"budgets": [budget(maxTokens=limit, strict=True)], "routes": [route]}
    usage = {"prompt_tokens": 10, "completion_tokens": 100}
    billed = {"error": {"message": "oh", "type": "server_error"}, "usage": usage}
    failed = Answer(status=500, headers=JSON_HEAD, body=json.dumps(billed).encode())
    async with ruled(spec) as carrying:
        carrying.double.script(failed, answer())
        got = await ask(carrying)
        record = await carrying.record()
        assert len(carrying.double.requests) == asked

    assert got.status == (500 if asked == 1 else 200)
    assert any("no room for another try" in note for note in record.notes) == (asked == 1)


async def test_each_task_has_its_own_budget(ruled):
    async with ruled({"budgets": [budget(per="task", maxTokens=250)]}) as carrying:
        carrying.double.script(*(answer() for _ in range(4)))
        tasks = ["one", "one", "one", "two"]
        statuses = [(await ask(carrying, headers=[("remora-task", task)])).status for task in tasks]

    assert statuses == [200, 200, 429, 200]


async def test_a_cached_answer_is_free(ruled):
    spec = {"budgets": [budget(maxTokens=250)], "cache": {"mode": "readwrite"}}
    async with ruled(spec) as carrying:
        carrying.double.script(answer())
        for _ in range(5):
            assert (await ask(carrying, body(temperature=0))).status == 200
        (row,) = carrying.sidecar.parts.steering.budgeting.ledger.rows()

    assert row.spent_tokens == 110


async def test_a_rate_says_when_there_is_room_again(ruled):
    spec = {"rates": [{"name": "slow", "requestsPerMinute": 1}]}
    async with ruled(spec) as carrying:
        carrying.double.script(answer())
        assert (await ask(carrying)).status == 200
        refused = await ask(carrying)
        other = await ask(carrying, body("gpt-4o-mini"))

    assert refused.status == 429
    assert json.loads(refused.body)["error"]["code"] == "RATE_LIMITED"
    assert 0 < int(refused.header("retry-after")) <= 60
    assert refused.header("x-should-retry") == "false"
    assert other.status == 200


async def test_a_changed_policy_forgets_no_money(ruled, tmp_path):
    async with ruled({"budgets": [budget(maxTokens=250)]}) as carrying:
        carrying.double.script(answer(), answer(), answer())
        await ask(carrying)
        file = tmp_path / "policy.yaml"
        document = json.loads(file.read_text())
        document["spec"]["budgets"] = [budget(maxTokens=120)]
        version = carrying.sidecar.parts.policy.version
        file.write_text(json.dumps(document))
        await carrying.until(lambda: carrying.sidecar.parts.policy.version != version)
        refused = await ask(carrying)

    assert refused.status == 429


async def test_a_restart_forgets_no_money(ruled):
    for expected in (200, 429):
        async with ruled({"budgets": [budget(maxTokens=150, window="1d")]}) as carrying:
            carrying.double.script(answer())
            assert (await ask(carrying)).status == expected


async def test_openais_sdk_raises_its_own_errors(ruled):
    spec = {
        "models": {"deny": ["o1"]},
        "budgets": [budget(per="call", maxCostUSD="0.5"), budget(name="all", maxTokens=0)],
    }
    async with ruled(spec) as carrying:
        proxy = f"http://{carrying.sidecar.proxy[0]}:{carrying.sidecar.proxy[1]}"
        found = await asyncio.to_thread(_errors_of_openai, proxy, carrying.ca_pem)

    assert found == {"o1": (403, "MODEL_DENIED"), "gpt-4o": (429, "BUDGET_EXCEEDED")}


def _errors_of_openai(proxy, ca_pem):
    context = ssl.create_default_context(cadata=ca_pem)
    http = openai.DefaultHttpxClient(proxy=proxy, verify=context)
    with openai.OpenAI(api_key="sk-x", http_client=http) as client:
        return {model: _error_of(client, model) for model in ("o1", "gpt-4o")}


def _error_of(client, model):
    with pytest.raises((openai.PermissionDeniedError, openai.RateLimitError)) as caught:
        client.chat.completions.create(model=model, messages=[], max_tokens=5)
    return caught.value.status_code, caught.value.code
