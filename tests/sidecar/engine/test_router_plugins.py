"""Routers that others wrote: found by entry points, told of a call, and never a danger to it."""

import json
import sys
import textwrap

import pytest

CHAT = "/v1/chat/completions"
HEADERS = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
PLUGINS = """
    import json, os, sys

    def counted(name):
        made = getattr(sys, "_made_routers", None)
        if made is None:
            made = sys._made_routers = []
        made.append(name)

    class Mini:
        def __init__(self):
            counted("mini")
        def route(self, ctx):
            return "gpt-4o-mini"

    class Nothing:
        def route(self, ctx):
            return None

    class Stranger:
        def route(self, ctx):
            return "o1-pro"

    class Failing:
        def route(self, ctx):
            raise ValueError("sk-secret-in-a-message")

    class Number:
        def route(self, ctx):
            return 7

    class Empty:
        def route(self, ctx):
            return ""

    class Unmade:
        def __init__(self):
            raise RuntimeError("no database")

    class Meddling:
        def route(self, ctx):
            try:
                ctx.request_body["model"] = "o1"
            except TypeError:
                return "gpt-4o-mini"

    class Told:
        def route(self, ctx):
            sys._told = ctx
            return "gpt-4o-mini"

    class Learning:
        def route(self, ctx):
            tried = [record.sent_model for record in ctx.history]
            return next((m for m in ctx.candidates if m not in tried), ctx.candidates[0])
"""
NAMES = [
    "mini",
    "nothing",
    "stranger",
    "failing",
    "number",
    "empty",
    "unmade",
    "meddling",
    "told",
    "learning",
]


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Install a distribution with routers, as pip would."""
    site = tmp_path / "site"
    info = site / "routers_of_a_test-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "routers_of_a_test.py").write_text(textwrap.dedent(PLUGINS))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: routers-of-a-test\nVersion: 1.0\n")
    entries = "".join(f"{name} = routers_of_a_test:{name.capitalize()}\n" for name in NAMES)
    missing = "absent = routers_of_a_test:Absent\n"
    (info / "entry_points.txt").write_text(f"[remora.routers]\n{entries}{missing}")
    monkeypatch.syspath_prepend(site)
    yield
    for name in ("_told", "_made_routers"):
        if hasattr(sys, name):
            delattr(sys, name)
    sys.modules.pop("routers_of_a_test", None)


def routed(plugin, **route):
    candidates = [{"model": "gpt-4o-mini"}, {"model": "gpt-4.1-nano"}]
    router = {"policy": "plugin", "plugin": plugin, "candidates": candidates}
    return {"routes": [{"name": "r", "router": router, **route}]}


async def ask(carrying, *, user="", headers=(), body=BODY):
    agent = await carrying.agent(user=user)
    return await agent.ask("POST", CHAT, [*HEADERS, *headers], json.dumps(body).encode())


ANSWERS = {
    "a candidate": ("mini", "gpt-4o-mini", ""),
    "nothing": ("nothing", "gpt-4o", "the router left the call as it was"),
    "no candidate": ("stranger", "gpt-4o", "the router named no candidate"),
    "an exception": ("failing", "gpt-4o", "its router failed (ValueError): unrouted"),
    "a number": ("number", "gpt-4o", "router 'number' answered with int"),
    "an empty name": ("empty", "gpt-4o", "router 'empty' answered with str"),
    "a router that can't be made": ("unmade", "gpt-4o", "its router failed (RuntimeError)"),
    "a class that is not there": ("absent", "gpt-4o", "its router failed (AttributeError)"),
    "no such router": ("nobody", "gpt-4o", "no router 'nobody' is installed"),
    "a router that meddles": ("meddling", "gpt-4o-mini", ""),
}


@pytest.mark.parametrize(("plugin", "sent_model", "note"), ANSWERS.values(), ids=ANSWERS)
async def test_whatever_a_router_answers_the_call_goes_on(ruled, plugins, plugin, sent_model, note):
    async with ruled(routed(plugin)) as carrying:
        answer = await ask(carrying)
        (sent,) = carrying.double.requests
        record = await carrying.record()

    assert answer.status == 200
    assert json.loads(sent.body) == {**BODY, "model": sent_model}
    assert (record.sent_model, record.receipt.router) == (sent_model, "plugin")
    assert any(note in said for said in record.notes) if note else not record.notes
    assert "sk-secret" not in repr(record)
    assert [c.model for c in record.receipt.candidates] == ["gpt-4o-mini", "gpt-4.1-nano"]
    assert record.receipt.propensity is None


async def test_a_router_is_told_of_the_call_and_made_once(ruled, plugins):
    async with ruled(routed("told")) as carrying:
        session = carrying.sidecar.parts.sessions.open(
            0, data_id="d1", combo_id="c1", agent_id="a1"
        )
        await ask(carrying, user=session.session_id)
    told = sys._told

    assert dict(told.request_body) == BODY
    assert (told.provider, told.requested_model) == ("openai", "gpt-4o")
    whose = told.session
    assert whose.session_id == session.session_id
    assert (whose.data_id, whose.combo_id, whose.agent_id) == ("d1", "c1", "a1")
    assert told.candidates == ("gpt-4o-mini", "gpt-4.1-nano")
    assert told.history == ()


async def test_what_nobody_said_of_a_session_is_none(ruled, plugins):
    async with ruled(routed("told")) as carrying:
        await ask(carrying)
    assert (sys._told.session.data_id, sys._told.session.agent_id) == (None, None)


async def test_candidates_that_can_not_be_taken_are_not_told(ruled, plugins):
    async with ruled({**routed("told"), "models": {"deny": ["*nano"]}}) as carrying:
        await ask(carrying)
    assert sys._told.candidates == ("gpt-4o-mini",)


async def test_a_router_sees_the_sessions_calls_and_no_bodies(ruled, plugins):
    async with ruled({**routed("learning"), "capture": "full"}) as carrying:
        for _ in range(3):
            assert (await ask(carrying)).status == 200
        first, second, third = await carrying.records(3)
        history = list(carrying.sidecar.parts.sessions.default.history)

    assert [first.sent_model, second.sent_model] == ["gpt-4o-mini", "gpt-4.1-nano"]
    assert third.sent_model == "gpt-4o-mini"
    assert [one.call_id for one in history] == [first.call_id, second.call_id, third.call_id]
    assert first.request_body is not None
    assert all(one.request_body is None and one.response_body is None for one in history)


async def test_a_router_is_made_when_it_is_first_asked_and_kept(ruled, plugins):
    async with ruled(routed("mini")) as carrying:
        assert not hasattr(sys, "_made_routers")
        for _ in range(2):
            await ask(carrying)
    assert sys._made_routers == ["mini"]


async def test_where_a_router_leaves_a_denied_model_the_fallback_is_taken(ruled, plugins):
    spec = routed("nothing", fallback=[{"model": "gpt-4.1-mini"}])
    async with ruled({**spec, "models": {"deny": ["gpt-4o"]}}) as carrying:
        answer = await ask(carrying)
        record = await carrying.record()

    assert (answer.status, record.sent_model) == (200, "gpt-4.1-mini")
