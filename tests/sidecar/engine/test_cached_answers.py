"""Answers out of the cache, and answers that calls share, through the whole sidecar."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind, Framing

CHAT = "/v1/chat/completions"
KEY = ("Authorization", "Bearer sk-one")
HOST = ("Host", "api.openai.com")
ASKED = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}],"temperature":0}'
STREAMED = ASKED[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}
WHOLE = json.dumps(
    {
        "id": "c-1",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()
EVENTS = [
    b'data: {"id":"c-2","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"H"}}]}\n\n',
    b'data: {"id":"c-2","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"c-2","choices":[],"usage":%b}\n\n' % json.dumps(USAGE).encode(),
    b"data: [DONE]\n\n",
]
JSON = Answer(headers=(("Content-Type", "application/json"), ("X-Request-Id", "r")), body=WHOLE)
STREAM = Answer(
    headers=(("Content-Type", "text/event-stream"),),
    body=b"".join(EVENTS),
    framing=Framing.CHUNKED,
    cuts=(len(EVENTS[0]), len(EVENTS[0] + EVENTS[1])),
)


@pytest.fixture
def caching(carry, tmp_path):
    """Give what starts a sidecar whose policy switches the cache on."""

    def start(**changed):
        rules = {"mode": "readwrite", **changed}
        policy = tmp_path / "policy.yaml"
        document = {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": "p"},
            "spec": {"cache": rules},
        }
        policy.write_text(json.dumps(document))
        return carry(policy=policy)

    return start


async def _ask(carrying, body=ASKED, *fields, key=KEY):
    agent = await carrying.agent()
    return await agent.ask("POST", CHAT, [HOST, key, *fields], body)


async def _kept(carrying):
    """Wait until an answer can be found."""
    stats = carrying.sidecar.parts.caching.levels.stats
    await carrying.until(lambda: stats()["memory"].entries)


def _verdict(answer):
    return answer.header("remora-cache").partition(";")[0]


@pytest.mark.parametrize(
    ("body", "given"), [(ASKED, JSON), (STREAMED, STREAM)], ids=["whole", "stream"]
)
async def test_the_same_call_is_answered_from_the_cache(caching, body, given):
    async with caching() as carrying:
        carrying.double.script(given)
        first = await _ask(carrying, body)
        await carrying.until(
            lambda: carrying.sidecar.parts.caching.levels.stats()["memory"].entries
        )
        second = await _ask(carrying, body)
        miss, hit = await carrying.records(2)
        assert len(carrying.double.requests) == 1
    assert (_verdict(first), _verdict(second)) == ("miss", "hit")
    assert second.body == first.body
    assert (miss.cached, miss.cache.result, hit.cached, hit.cache.result) == (
        False, "miss", True, "hit",
    )  # fmt: skip
    assert hit.usage == miss.usage
    assert miss.cost.total_usd > 0
    assert (hit.cost.total_usd, hit.cache.saved_usd) == (Decimal(0), miss.cost.total_usd)
    assert hit.cache.original_latency_s == pytest.approx(miss.latency_s, abs=1e-5)
    assert (hit.response_id, hit.finish_reason) == (miss.response_id, "stop")
    assert hit.attempts == ()


async def test_answers_outlive_the_sidecar(caching):
    async with caching() as carrying:
        carrying.double.script(JSON)
        await _ask(carrying)
        await carrying.sidecar.parts.caching.levels.flush()
        await carrying.records(1)
    async with caching() as carrying:
        answer = await _ask(carrying)
        assert answer.body == WHOLE
        assert _verdict(answer) == "hit"


@pytest.mark.parametrize(
    ("body", "fields", "key"),
    [
        (ASKED, (), ("Authorization", "Bearer sk-two")),
        (STREAMED, (), KEY),
        (ASKED.replace(b"Hi", b"Ho"), (), KEY),
        (ASKED, (("OpenAI-Organization", "org-2"),), KEY),
        (ASKED, (("Cache-Control", "no-cache"),), KEY),
        (ASKED, (("Cache-Control", "no-store"),), KEY),
        (ASKED, (("Cache-Control", "max-age=0"),), KEY),
        (ASKED.replace(b":0}", b":1}"), (), KEY),
    ],
    ids=["credential", "stream", "body", "organization", "no-cache", "no-store", "max-age",
         "sampling"],
)  # fmt: skip
async def test_another_call_is_asked_for_itself(caching, body, fields, key):
    async with caching() as carrying:
        carrying.double.script(JSON, JSON if body != STREAMED else STREAM)
        await _ask(carrying)
        await carrying.until(
            lambda: carrying.sidecar.parts.caching.levels.stats()["memory"].entries
        )
        answer = await _ask(carrying, body, *fields, key=key)
        assert _verdict(answer) in ("miss", "bypass")
        assert len(carrying.double.requests) == 2


async def test_sampling_calls_are_cached_where_policy_says_so(caching):
    body = ASKED.replace(b":0}", b":1}")
    async with caching(sampling=True) as carrying:
        carrying.double.script(JSON)
        await _ask(carrying, body)
        await carrying.until(
            lambda: carrying.sidecar.parts.caching.levels.stats()["memory"].entries
        )
        assert _verdict(await _ask(carrying, body)) == "hit"


@pytest.mark.parametrize(
    "given",
    [
        Answer(status=500, body=b'{"error":{"message":"no"}}'),
        Answer(status=429, body=b'{"error":{"message":"no"}}'),
        Answer(status=201, body=WHOLE),
        Answer(body=b'{"error":{"message":"no"}}'),
        Answer(body=WHOLE[:-5]),
        Answer(body=WHOLE, framing=Framing.CHUNKED, fault=Fault(FaultKind.CLOSE, len(WHOLE) - 5)),
    ],
    ids=["500", "429", "201", "error in 200", "no JSON", "cut"],
)
async def test_what_is_no_whole_success_is_never_served(caching, given):
    async with caching() as carrying:
        carrying.double.script(given, JSON)
        await _ask(carrying)
        await carrying.until(lambda: carrying.sidecar.parts.tasks.idle)
        answer = await _ask(carrying)
        assert (answer.status, answer.body, _verdict(answer)) == (200, WHOLE, "miss")


async def test_only_if_cached_asks_nobody(caching):
    async with caching() as carrying:
        answer = await _ask(carrying, ASKED, ("Cache-Control", "only-if-cached"))
        assert answer.status == 504
        assert json.loads(answer.body)["error"]["code"] == "NOT_CACHED"
        assert carrying.double.requests == []
        assert (await carrying.record()).end_reason is EndReason.REFUSED


@pytest.mark.parametrize(
    ("body", "given"), [(ASKED, JSON), (STREAMED, STREAM)], ids=["whole", "stream"]
)
async def test_identical_calls_at_once_ask_the_provider_once(caching, body, given):
    async with caching() as carrying:
        carrying.double.script(replace(given, before_head_s=0.05, between_chunks_s=0.02))
        answers = await asyncio.gather(*(_ask(carrying, body) for _ in range(8)))
        records = await carrying.records(8)
        assert len(carrying.double.requests) == 1
    assert {answer.body for answer in answers} == {given.body}
    assert sorted(map(_verdict, answers)) == ["hit"] * 7 + ["miss"]
    assert [record.cached for record in records].count(False) == 1
    assert {record.usage.input_tokens for record in records} == {7}
    assert sum(record.cost.total_usd for record in records) == max(
        record.cost.total_usd for record in records
    )


async def test_those_who_joined_go_on_when_the_first_leaves(caching):
    async with caching() as carrying:
        carrying.double.script(replace(STREAM, before_head_s=0.05, between_chunks_s=0.05))
        first = await carrying.agent()
        asking = asyncio.create_task(first.ask("POST", CHAT, [HOST, KEY], STREAMED))
        await carrying.until(lambda: carrying.double.requests)
        joined = asyncio.create_task(_ask(carrying, STREAMED))
        await carrying.until(lambda: carrying.sidecar.parts.caching.waiting == 2)
        first.abort()
        asking.cancel()
        answer = await joined
        records = await carrying.records(2)
        assert answer.body == STREAM.body
        assert len(carrying.double.requests) == 1
    asked = next(record for record in records if not record.cached)
    assert asked.usage.input_tokens == 7


async def test_the_provider_is_let_go_when_everybody_left(caching):
    async with caching() as carrying:
        carrying.double.script(replace(STREAM, before_head_s=30.0))
        agents = [await carrying.agent() for _ in range(3)]
        asking = [
            asyncio.create_task(agent.ask("POST", CHAT, [HOST, KEY], STREAMED)) for agent in agents
        ]
        await carrying.until(lambda: carrying.sidecar.parts.caching.waiting == 3)
        await carrying.until(lambda: carrying.double.requests)
        for agent, task in zip(agents, asking, strict=True):
            agent.abort()
            task.cancel()
        records = await carrying.records(3)
        assert {record.end_reason for record in records} == {EndReason.CLIENT_GONE}
        await carrying.until(lambda: carrying.double.connections == 0)


async def test_a_shared_failure_sends_each_its_own_way(caching):
    async with caching() as carrying:
        refused = Answer(status=429, body=b'{"error":{"message":"slow down"}}', before_head_s=0.05)
        carrying.double.script(refused, JSON, JSON)
        answers = await asyncio.gather(*(_ask(carrying) for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [200, 200, 429]


async def test_a_stream_can_be_played_as_it_came(caching):
    async with caching(replay="paced") as carrying:
        carrying.double.script(replace(STREAM, between_chunks_s=0.05))
        await _ask(carrying, STREAMED)
        await carrying.until(
            lambda: carrying.sidecar.parts.caching.levels.stats()["memory"].entries
        )
        answer = await _ask(carrying, STREAMED)
        _, hit = await carrying.records(2)
        assert answer.body == STREAM.body
        assert _verdict(answer) == "hit"
        assert hit.latency_s >= 0.1


async def test_what_the_agent_saw_is_what_is_kept(caching):
    asked = ASKED[:-1] + b',"stream":true}'
    async with caching() as carrying:
        carrying.double.script(STREAM)
        first = await _ask(carrying, asked)
        await carrying.until(
            lambda: carrying.sidecar.parts.caching.levels.stats()["memory"].entries
        )
        second = await _ask(carrying, asked)
        assert EVENTS[2] not in first.body
        assert second.body == first.body
        assert (await carrying.records(2))[1].usage.input_tokens == 7


async def test_policy_may_read_without_writing(caching):
    async with caching(mode="read") as carrying:
        carrying.double.script(JSON, JSON)
        assert [_verdict(await _ask(carrying)) for _ in range(2)] == ["miss", "miss"]


async def test_usage_that_was_estimated_is_kept_with_the_answer(caching):
    asked = b'{"model":"gpt-3.5-turbo-instruct","prompt":"Hi","temperature":0,"stream":true}'
    chunk = b'data: {"choices":[{"index":0,"text":"Hello you","finish_reason":"stop"}]}\n\n'
    async with caching() as carrying:
        carrying.double.script(replace(STREAM, body=chunk + EVENTS[3], cuts=()))
        agent = await carrying.agent()
        for _ in range(2):
            await agent.ask("POST", "/v1/completions", [HOST, KEY], asked)
            await carrying.until(lambda: carrying.sidecar.parts.tasks.idle)
        live, again = await carrying.records(2)
    assert live.usage.estimated
    assert (again.cached, again.usage) == (True, live.usage)
