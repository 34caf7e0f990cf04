"""Learned routing from an aggregator's scores to what a provider gets, over real sockets."""

import asyncio
import contextlib
import json
from collections import Counter

import grpc
import pytest

from remora.learning import Arm, ArmScore, Beta, GoalScores
from remora.testing.double_answer import Answer
from remora.testing.score_server import ScoreServer
from remora_proto.v1 import scores_pb2_grpc as pb_grpc

CHAT = "/v1/chat/completions"
HEADERS = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
BODY = b'{"temperature":1, "model" : "gpt-4o","messages":[{"role":"user","content":"hi"}] }'
WITHIN_S = 2.0
A, B = "gpt-4o", "gpt-4o-mini"


def learned(*candidates, **more):
    router = {"policy": "learned", "candidates": candidates or [{"model": A}, {"model": B}], **more}
    return {"routes": [{"name": "r", "router": router}]}


def scores(goal="g", **means):
    arms = tuple(
        ArmScore(Arm("openai", model), Beta(mean * 10_000, (1 - mean) * 10_000), 10_000)
        for model, mean in means.items()
    )
    return GoalScores(goal, arms)


@contextlib.asynccontextmanager
async def serving(server):
    """Run an aggregator that has nothing but scores; gives its address."""
    running = grpc.aio.server()
    pb_grpc.add_ScoreServiceServicer_to_server(server, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await running.stop(0)


async def until(condition, within_s=20.0):
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.002)


def is_watched(carrying):
    return lambda: carrying.sidecar.health().figures["scores_watched"]


async def ask(carrying, *, headers=(), body=BODY, user=""):
    agent = await carrying.agent(user=user)
    return await agent.ask("POST", CHAT, [*HEADERS, *headers], body)


async def sent_models(carrying, count):
    """The models of so many calls."""
    before = len(carrying.double.requests)
    for _ in range(count):
        await ask(carrying)
    return Counter(json.loads(one.body)["model"] for one in carrying.double.requests[before:])


async def test_calls_follow_the_scores_within_two_seconds(ruled):
    server = ScoreServer()
    digest = await server.put(scores(**{A: 0.9, B: 0.2}))
    spec = learned(goal="g", explorationRate=0)
    async with serving(server) as address, ruled(spec, aggregator=address) as carrying:
        await until(is_watched(carrying))
        assert await sent_models(carrying, 8) == {A: 8}
        receipt = (await carrying.records(8))[0].receipt
        assert (receipt.router, receipt.scores, receipt.propensity) == ("learned", digest, 1.0)

        await server.put(scores(**{A: 0.2, B: 0.9}))
        async with asyncio.timeout(WITHIN_S):
            while await sent_models(carrying, 1) != {B: 1}:  # noqa: ASYNC110 - asks
                await asyncio.sleep(0.01)
        assert await sent_models(carrying, 8) == {B: 8}


async def test_decisions_outlive_the_aggregator_and_a_restart(ruled):
    server = ScoreServer()
    digest = await server.put(scores(**{A: 0.1, B: 0.9}))
    spec = learned(goal="g", explorationRate=0)
    async with serving(server) as address, ruled(spec, aggregator=address) as carrying:
        await until(is_watched(carrying))
        assert await sent_models(carrying, 2) == {B: 2}
        known = carrying.sidecar.parts.steering.routers.learned.book.snapshots()
    async with ruled(spec, aggregator=address) as carrying:  # nobody is there any more
        assert await sent_models(carrying, 6) == {B: 6}
        last = (await carrying.records(8))[-1].receipt  # those of before still wait
        assert last.scores == digest
        again = carrying.sidecar.parts.steering.routers.learned.book.snapshots()
        assert [(one.scores, one.digest) for one in again] == [
            (one.scores, one.digest) for one in known
        ]
        await until(lambda: any("scores" in p for p in carrying.sidecar.health().problems))
        assert carrying.sidecar.health().ready


async def test_an_aggregator_that_dies_changes_nothing(ruled):
    server = ScoreServer()
    await server.put(scores(**{A: 0.1, B: 0.9}))
    async with contextlib.AsyncExitStack() as stack:
        stopping = await stack.enter_async_context(contextlib.AsyncExitStack())
        address = await stopping.enter_async_context(serving(server))
        spec = learned(goal="g", explorationRate=0)
        carrying = await stack.enter_async_context(ruled(spec, aggregator=address))
        await until(is_watched(carrying))
        await stopping.aclose()
        await until(lambda: not is_watched(carrying)())
        assert await sent_models(carrying, 6) == {B: 6}


async def test_without_an_aggregator_all_candidates_are_tried_alike(ruled):
    async with ruled(learned(goal="g")) as carrying:
        await ask(carrying)
        record = await carrying.record()
    assert [c.propensity for c in record.receipt.candidates] == [0.5, 0.5]
    assert record.receipt.scores == ""
    assert record.attribution.goal == "g"


async def test_parameters_reach_the_provider_and_no_other_byte_changes(ruled):
    cold = {"model": A, "parameters": {"temperature": 0, "metadata.tier": "x"}}
    async with ruled(learned(cold)) as carrying:
        await ask(carrying)
        (sent,) = carrying.double.requests
        record = await carrying.record()
    expected = BODY.replace(b'"temperature":1', b'"temperature":0')
    assert sent.body == expected[:-1] + b',"metadata":{"tier":"x"}}'
    text = '{"metadata.tier":"x","temperature":0}'
    assert [one.parameters for one in record.attempts] == [text]
    assert [one.parameters for one in record.receipt.candidates] == [text]


async def test_candidates_of_every_router_may_set_parameters(ruled):
    router = {
        "policy": "round-robin",
        "candidates": [{"model": A}, {"model": A, "parameters": {"temperature": 0}}],
    }
    async with ruled({"routes": [{"name": "r", "router": router}]}) as carrying:
        for _ in range(2):
            await ask(carrying)
        bodies = [one.body for one in carrying.double.requests]
        first, second = await carrying.records(2)
    assert bodies == [BODY, BODY.replace(b'"temperature":1', b'"temperature":0')]
    assert [r.attempts[0].parameters for r in (first, second)] == ["", '{"temperature":0}']


async def test_a_cached_answer_is_that_of_the_same_parameters(ruled):
    router = {
        "policy": "round-robin",
        "candidates": [{"model": A, "parameters": {"temperature": 0, "seed": n}} for n in (1, 2)],
    }
    spec = {
        "routes": [{"name": "r", "router": router}],
        "cache": {"mode": "readwrite"},
    }
    good = {"model": A, "choices": [{"index": 0, "message": {"content": "x"},
                                     "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}}  # fmt: skip
    answer = Answer(headers=(("Content-Type", "application/json"),), body=json.dumps(good).encode())
    async with ruled(spec) as carrying:
        carrying.double.route("POST", CHAT, answer)
        for _ in range(4):
            await ask(carrying)
        records = await carrying.records(4)
        asked = len(carrying.double.requests)
    assert asked == 2
    assert [record.cached for record in records] == [False, False, True, True]


async def test_a_failed_try_is_recorded_with_its_parameters(ruled):
    spec = learned({"model": A, "parameters": {"temperature": 0}})
    spec["routes"][0]["fallback"] = [{"model": B}]
    failing = Answer(status=503, headers=(("Content-Type", "application/json"),), body=b"{}")
    good = Answer(headers=(("Content-Type", "application/json"),), body=b'{"choices": []}')
    async with ruled(spec) as carrying:
        carrying.double.script(failing, good)
        await ask(carrying)
        record = await carrying.record()
    assert [(a.model, a.parameters) for a in record.attempts] == [
        (A, '{"temperature":0}'),
        (B, ""),
    ]


SAID = {
    "nobody": ({}, "", "", "general"),
    "the session": ({}, "of the session", "", "of the session"),
    "the call": ({}, "of the session", "of the call", "of the call"),
    "policy": ({"goal": "of policy"}, "of the session", "of the call", "of policy"),
}


@pytest.mark.parametrize(("router", "session", "header", "goal"), SAID.values(), ids=SAID)
async def test_who_says_what_a_call_is_for(ruled, router, session, header, goal):
    async with ruled(learned(**router)) as carrying:
        opened = carrying.sidecar.parts.sessions.open(1, goal=session)
        headers = [("remora-goal", header)] if header else []
        await ask(carrying, headers=headers, user=opened.session_id)
        (sent,) = carrying.double.requests
        record = await carrying.record()
    assert record.attribution.goal == goal
    assert not any(name.lower().startswith(b"remora-") for name, _ in sent.head.headers)


async def test_a_call_on_no_learned_route_keeps_the_goal_that_it_says(ruled):
    async with ruled({}) as carrying:
        await ask(carrying, headers=[("remora-goal", "support")])
        await ask(carrying, headers=[("remora-goal", "g" * 129)])
        first, second = await carrying.records(2)
    assert first.attribution.goal == "support"
    assert second.attribution.goal == ""
    assert any("remora-goal was ignored" in note for note in second.notes)


async def test_a_changed_policy_is_learned_by_at_once(ruled, tmp_path):
    server = ScoreServer()
    await server.put(scores("g", **{A: 0.9, B: 0.1}))
    await server.put(scores("h", **{A: 0.1, B: 0.9}))
    spec = learned(goal="g", explorationRate=0)
    async with serving(server) as address, ruled(spec, aggregator=address) as carrying:
        await until(is_watched(carrying))
        assert await sent_models(carrying, 3) == {A: 3}
        file = tmp_path / "policy.yaml"
        policy = json.loads(file.read_text())
        policy["spec"] = learned(goal="h", explorationRate=0)
        file.write_text(json.dumps(policy))
        book = carrying.sidecar.parts.steering.routers.learned.book
        await until(lambda: book.get("h") is not None)
        assert await sent_models(carrying, 3) == {B: 3}


async def test_a_cluster_lets_namespaces_learn_from_each_other(ruled):
    server = ScoreServer()
    cluster = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "ClusterLLMPolicy",
        "metadata": {"name": "all"},
        "spec": {"learning": {"acrossNamespaces": True}},
    }
    async with (
        serving(server) as address,
        ruled(learned(), documents=[cluster], aggregator=address, workload="web") as carrying,
    ):
        await until(is_watched(carrying))
    (request,) = server.requests[:1]
    assert (request.across_namespaces, request.workload) == (True, "web")
