"""Calls that a router in another process decides about: real sockets, through the whole sidecar."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from remora.records import EndReason
from remora.routing import RouteContext
from remora.routing_client import serve_router
from remora.testing.double_answer import Answer
from remora_sidecar.engine.advising import MAX_TOLD_BODY_BYTES
from remora_sidecar.settings import format_address

CHAT = "/v1/chat/completions"
HEADERS = [
    ("Host", "api.openai.com"),
    ("Authorization", "Bearer sk-agent-dummy"),
    ("Content-Type", "application/json"),
]
BODY = b'{"temperature":1, "model" : "gpt-4o","messages":[{"role":"user","content":"hi"}] }'
SMALL = BODY.replace(b'"gpt-4o"', b'"gpt-4o-mini"')


@dataclass
class Scripted:
    """A router that does what a test says, and keeps what it was told."""

    choose: Callable[[RouteContext], Any]
    told: list[RouteContext] = field(default_factory=list)

    def route(self, ctx):
        self.told.append(ctx)
        return self.choose(ctx)


def named(model):
    return Scripted(lambda ctx: model)


def opened(carrying, **fields):
    parts = carrying.sidecar.parts
    return parts.sessions.open(parts.clock.now_unix_ns(), **fields)


def served(carrying, session, router):
    return serve_router(format_address(carrying.sidecar.control), session.session_id, router)


async def ask(carrying, session, body=BODY, path=CHAT, headers=HEADERS):
    agent = await carrying.agent(user=session.session_id)
    return await agent.ask("POST", path, headers, body)


@asynccontextmanager
async def by_hand(carrying, session):
    """A router's connection that the test itself reads and writes."""
    address = format_address(carrying.sidecar.control)
    url = f"ws://{address}/v1/sessions/{session.session_id}/router"
    async with aiohttp.ClientSession() as client, client.ws_connect(url, compress=0) as socket:
        yield socket


async def test_a_session_s_router_names_the_model(ruled):
    router = named("gpt-4o-mini")
    async with ruled({}) as carrying:
        session = opened(carrying, data_id="d1", agent_id="planner")
        async with served(carrying, session, router):
            answer = await ask(carrying, session)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert answer.status == 200
    assert sent.body == SMALL
    assert (record.requested_model, record.sent_model) == ("gpt-4o", "gpt-4o-mini")
    assert (record.receipt.rule, record.receipt.router) == ("", "session")
    (candidate,) = record.receipt.candidates
    assert (candidate.provider, candidate.model) == ("openai", "gpt-4o-mini")
    assert candidate.est_cost_usd > 0
    assert record.notes == ()
    (told,) = router.told
    assert told.request_body == json.loads(BODY)
    assert (told.provider, told.requested_model) == ("openai", "gpt-4o")
    assert told.session.session_id == session.session_id
    assert (told.session.data_id, told.session.combo_id) == ("d1", None)
    assert told.session.agent_id == "planner"
    assert (len(told.history), told.candidates) == (0, ())


async def test_it_needs_no_policy(carry):
    async with carry() as carrying:
        session = opened(carrying)
        async with served(carrying, session, named("gpt-4o-mini")):
            await ask(carrying, session)
        (sent,) = carrying.double.requests

    assert sent.body == SMALL


async def test_the_router_is_told_the_session_s_earlier_calls_without_their_bodies(ruled):
    router = Scripted(lambda ctx: None if ctx.history else "gpt-4o-mini")
    async with ruled({"capture": "full"}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, router):
            await ask(carrying, session)
            (first,) = await carrying.records(1)
            await ask(carrying, session)
        await carrying.records(2)

    (earlier,) = router.told[1].history
    assert first.request_body is not None
    assert earlier.request_body is None
    assert earlier.response_body is None
    assert (earlier.call_id, earlier.sent_model) == (first.call_id, "gpt-4o-mini")
    assert earlier.cost == first.cost


def fails(ctx):
    raise LookupError("sk-secret: the prompt was hi")


@pytest.mark.parametrize(
    ("choose", "note"),
    [
        (lambda ctx: None, "the session's router left the call as it was"),
        (fails, "the session's router failed (LookupError): unrouted"),
        (lambda ctx: 7, "the session's router failed (TypeError): unrouted"),
        (lambda ctx: "m" * 300, "the session's router failed (ValueError): unrouted"),
        (lambda ctx: "", "the session's router answered with what is no model: unrouted"),
        (
            lambda ctx: "o1-pro",
            "the session's router named 'o1-pro', which policy does not permit: unrouted",
        ),
    ],
    ids=["None", "an exception", "a number", "a long name", "no name", "a denied model"],
)
async def test_without_a_model_to_take_the_call_goes_on_as_it_was(ruled, choose, note):
    async with ruled({"models": {"deny": ["o1*"]}}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, Scripted(choose)):
            answer = await ask(carrying, session)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert (answer.status, sent.body) == (200, BODY)
    assert record.notes == (note,)
    assert record.receipt.router == "session"
    assert record.sent_model == "gpt-4o"


async def test_a_model_that_the_address_can_not_name_leaves_the_call_as_it_was(ruled):
    path = "/v1beta/tunedModels/mine:generateContent"
    body = b'{"contents": [{"parts": [{"text": "hi"}]}]}'
    async with ruled({}, double={"names": ("generativelanguage.googleapis.com",)}) as carrying:
        session = opened(carrying)
        host = "generativelanguage.googleapis.com"
        async with served(carrying, session, named("gemini-2.5-flash")):
            agent = await carrying.agent(user=session.session_id, host=host)
            await agent.ask("POST", path, [("Host", host), HEADERS[2]], body)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert (sent.head.target, sent.body) == (path, body)
    assert record.notes == (
        "the session's router named 'gemini-2.5-flash', which the request can't be made to ask "
        "for: unrouted",
    )
    assert [c.filtered_out_by for c in record.receipt.candidates] == ["request"]


async def test_a_denied_model_is_named_with_why_it_was_not_taken(ruled):
    async with ruled({"models": {"deny": ["o1*"]}}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, named("o1-pro")):
            await ask(carrying, session)
        record = await carrying.record()

    (candidate,) = record.receipt.candidates
    assert (candidate.model, candidate.filtered_out_by) == ("o1-pro", "model_denied")


async def test_a_router_may_name_a_permitted_model_for_one_that_is_not(ruled):
    async with ruled({"models": {"allow": ["gpt-4o-*"]}}) as carrying:
        session = opened(carrying)
        refused = await ask(carrying, session)
        async with served(carrying, session, named("gpt-4o-mini")):
            routed = await ask(carrying, session)

    assert (refused.status, routed.status) == (403, 200)


async def test_a_router_that_does_not_answer_delays_a_call_a_quarter_of_a_second(ruled):
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with by_hand(carrying, session) as router:
            answer = await ask(carrying, session)
            late = await router.receive_json()
            await router.send_json({"ask": late["ask"], "model": "gpt-4o-mini"})
            again = asyncio.ensure_future(ask(carrying, session))
            in_time = await router.receive_json()
            await router.send_json({"ask": in_time["ask"], "model": "gpt-4.1"})
            await again
        first, second = await carrying.records(2)

    assert answer.status == 200
    assert first.notes == ("the session's router did not answer within 250 ms: unrouted",)
    assert first.sent_model == "gpt-4o"
    assert first.latency_s >= 0.25
    assert first.overhead_s < 0.25, "the wait for the router is none of Remora's own time"
    assert second.sent_model == "gpt-4.1"


async def test_a_router_that_hangs_harms_no_later_call(ruled):
    go_on = threading.Event()

    def choose(ctx):
        if ctx.requested_model == "gpt-4o":
            go_on.wait(10)
        return "gpt-4.1"

    async with ruled({}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, Scripted(choose)):
            await ask(carrying, session)
            go_on.set()
            await ask(carrying, session, BODY.replace(b"gpt-4o", b"gpt-4o-mini"))
        first, second = await carrying.records(2)

    assert (first.sent_model, second.sent_model) == ("gpt-4o", "gpt-4.1")


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (lambda socket: socket.close(), "left before it answered"),
        (lambda socket: socket.send_str("{"), "sent what is no answer"),
    ],
    ids=["by leaving", "by speaking nonsense"],
)
async def test_a_connection_that_ends_lets_its_calls_go_at_once(ruled, say, why):
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with by_hand(carrying, session) as router:
            call = asyncio.ensure_future(ask(carrying, session))
            await router.receive_json()
            await say(router)
            answer = await call
        record = await carrying.record()

    assert answer.status == 200
    assert record.notes == (f"the session's router {why}: unrouted",)
    assert record.latency_s < 0.25


async def test_an_agent_that_leaves_while_the_router_is_asked_leaves_a_record(ruled):
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with by_hand(carrying, session) as router:
            agent = await carrying.agent(user=session.session_id)
            framing = ("Content-Length", str(len(BODY)))
            await agent.send("POST", CHAT, [*HEADERS, framing], BODY)
            await router.receive_json()
            agent.abort()
            record = await carrying.record()
        assert carrying.double.requests == []

    assert record.end_reason is EndReason.CLIENT_GONE


async def test_after_the_router_has_gone_calls_are_not_asked_about(ruled):
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, named("gpt-4o-mini")):
            await ask(carrying, session)
        await carrying.until(lambda: session.router is None)
        await ask(carrying, session)
        _, after = await carrying.records(2)

    assert (after.sent_model, after.notes, after.receipt.router) == ("gpt-4o", (), "")


async def test_calls_at_once_get_each_their_own_answer(ruled):
    router = Scripted(lambda ctx: ctx.request_body["messages"][0]["content"])
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, router):
            bodies = [BODY.replace(b'"hi"', b'"model-%d"' % number) for number in range(20)]
            await asyncio.gather(*(ask(carrying, session, body) for body in bodies))
        sent = [json.loads(request.body) for request in carrying.double.requests]

    assert len(sent) == 20
    assert all(body["model"] == body["messages"][0]["content"] for body in sent)


async def test_sessions_are_never_mixed(ruled):
    async with ruled({}) as carrying:
        one, two, none = opened(carrying), opened(carrying), opened(carrying)
        async with (
            served(carrying, one, named("gpt-4o-mini")),
            served(carrying, two, named("gpt-4.1")),
        ):
            await asyncio.gather(*(ask(carrying, whose) for whose in (one, two, none) * 5))
        records = await carrying.records(15)

    model = {one.session_id: "gpt-4o-mini", two.session_id: "gpt-4.1", none.session_id: "gpt-4o"}
    assert all(record.sent_model == model[record.attribution.session_id] for record in records)


async def test_a_route_of_the_policy_decides_before_the_router(ruled):
    route = {
        "name": "chat",
        "match": {"models": ["gpt-4o"], "condition": "request.messages.size() < 3"},
        "router": {"policy": "random", "candidates": [{"model": "gpt-4.1"}]},
    }
    router = named("gpt-4o-mini")
    async with ruled({"routes": [route]}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, router):
            await ask(carrying, session)
        record = await carrying.record()

    assert router.told == []
    assert (record.receipt.rule, record.sent_model) == ("chat", "gpt-4.1")


async def test_a_condition_that_fails_is_said_once(ruled):
    route = {"name": "odd", "match": {"condition": 'request.headers["x-none"] == "1"'}}
    async with ruled({"routes": [route]}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, named("gpt-4o-mini")):
            await ask(carrying, session)
        record = await carrying.record()

    assert len(record.notes) == 1
    assert record.sent_model == "gpt-4o-mini"


async def test_a_call_that_is_not_admitted_is_not_asked_about(ruled):
    router = named("gpt-4o-mini")
    async with ruled({"requireTask": True}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, router):
            answer = await ask(carrying, session)

    assert answer.status == 403
    assert router.told == []


async def test_embeddings_are_not_asked_about(ruled):
    router = named("text-embedding-3-large")
    body = b'{"model":"text-embedding-3-small","input":"hi"}'
    async with ruled({}) as carrying:
        carrying.double.route("POST", "/v1/embeddings", Answer(body=b"{}"))
        session = opened(carrying)
        async with served(carrying, session, router):
            await ask(carrying, session, body, path="/v1/embeddings")
        (sent,) = carrying.double.requests

    assert (router.told, sent.body) == ([], body)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([("Authorization", "AWS4-HMAC-SHA256 Credential=x")], "it is signed"),
        ([("Content-Encoding", "identity")], "its body is encoded"),
    ],
    ids=["signed", "encoded"],
)
async def test_a_request_that_may_not_change_is_not_asked_about(ruled, fields, why):
    router = named("gpt-4o-mini")
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, router):
            await ask(carrying, session, headers=[HEADERS[0], *fields, HEADERS[2]])
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert (router.told, sent.body) == ([], BODY)
    assert record.notes == (f"the session's router was not asked: {why}",)
    assert record.receipt.router == ""


async def test_a_large_body_is_routed_but_not_told(ruled):
    router = named("gpt-4o-mini")
    body = BODY.replace(b'"hi"', b'"' + b"x" * MAX_TOLD_BODY_BYTES + b'"')
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, router):
            await ask(carrying, session, body)
        record = await carrying.record()

    assert [told.request_body for told in router.told] == [{}]
    assert record.sent_model == "gpt-4o-mini"
    assert record.notes == (
        "the session's router was asked without the request's body, which is larger than "
        "1048576 bytes",
    )


async def test_the_largest_body_that_is_told_reaches_the_router_whole(ruled):
    router = named("gpt-4o-mini")
    room = MAX_TOLD_BODY_BYTES - len(BODY) + len(b"hi")
    body = BODY.replace(b'"hi"', '"{}"'.format("ü" * (room // 2)).encode())
    async with ruled({}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, router):
            await ask(carrying, session, body)

    (told,) = router.told
    assert told.request_body == json.loads(body)


async def test_a_cached_answer_belongs_to_the_model_that_the_router_named(ruled):
    body = BODY.replace(b'"temperature":1', b'"temperature":0')
    async with ruled({"cache": {"mode": "readwrite"}}) as carrying:
        session = opened(carrying)
        await ask(carrying, session, body)
        await carrying.records(1)
        async with served(carrying, session, named("gpt-4o-mini")):
            routed = await ask(carrying, session, body)
            await carrying.records(2)
            again = await ask(carrying, session, body.replace(b'"gpt-4o"', b'"auto"'))
        records = await carrying.records(3)
        sent = len(carrying.double.requests)

    assert routed.header("remora-cache").startswith("miss")
    assert again.header("remora-cache").startswith("hit")
    assert sent == 2
    assert [r.sent_model for r in records] == ["gpt-4o", "gpt-4o-mini", "gpt-4o-mini"]


async def test_a_rate_counts_the_model_that_the_router_named(ruled):
    rates = [{"name": "mini", "models": ["gpt-4o-mini"], "requestsPerMinute": 1}]
    async with ruled({"rates": rates}) as carrying:
        session = opened(carrying)
        async with served(carrying, session, named("gpt-4o-mini")):
            statuses = [(await ask(carrying, session)).status for _ in range(2)]
        unrouted = await ask(carrying, session)

    assert statuses == [200, 429]
    assert unrouted.status == 200


async def test_a_budget_counts_the_model_that_the_router_named(ruled):
    cap = {"name": "cap", "per": "call", "maxCostUSD": "0.001"}
    async with ruled({"budgets": [cap]}) as carrying:
        session = opened(carrying)
        unrouted = await ask(carrying, session)
        async with served(carrying, session, named("gpt-4o-mini")):
            routed = await ask(carrying, session)

    assert (unrouted.status, routed.status) == (402, 200)


async def test_a_sidecar_stops_although_a_router_is_connected(ruled):
    async with ruled({}) as carrying:
        session = opened(carrying)
        service = served(carrying, session, named("gpt-4o-mini"))
        await service.__aenter__()
        router = session.router

    await service.__aexit__(None, None, None)
    assert router.closed_because == "was let go as the sidecar stopped"
