"""The connection by which another process routes a session's calls: whose it is, how it ends."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from remora.routing import RouteContext, RoutedSession
from remora.testing.raw_agent import RawAgent
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.control.router_connection import CLOSED_BY_US, connect_router
from remora_sidecar.engine.sessions import Session
from remora_sidecar.settings import format_address

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def opened(controlled):
    _, session = await controlled.call("POST", "/v1/sessions")
    return session["session_id"]


def path_of(session_id):
    return f"/v1/sessions/{session_id}/router"


def connection(controlled, session_id):
    address = format_address(controlled.sidecar.control)
    return controlled.client.ws_connect(f"ws://{address}{path_of(session_id)}", compress=0)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({**UPGRADE, "Origin": "http://evil.example"}, 403, "FORBIDDEN"),
        ({**UPGRADE, "Host": "evil.example"}, 403, "FORBIDDEN"),
        ({}, 426, "BAD_REQUEST"),
    ],
    ids=["a web page", "a foreign name", "no WebSocket"],
)
async def test_who_may_not_route_a_session_is_refused(controlled, headers, status, code):
    path = path_of(await opened(controlled))
    found = await controlled.call("GET", path, headers=headers)

    assert (found[0], found[1]["error"]["code"]) == (status, code)


async def test_an_unknown_session_has_no_router(controlled):
    status, answer = await controlled.call("GET", path_of("sess_unknown"), headers=UPGRADE)

    assert (status, answer["error"]["code"]) == (404, "UNKNOWN_SESSION")


async def test_calls_of_no_session_have_no_router(controlled):
    status, answer = await controlled.call("GET", path_of("default"), headers=UPGRADE)

    assert status == 403
    assert "open a session" in answer["error"]["message"]


async def test_a_session_has_its_router_for_as_long_as_the_connection_stands(controlled):
    session = controlled.sidecar.parts.sessions.get(await opened(controlled))
    async with connection(controlled, session.session_id):
        assert session.router is not None
        router = session.router
    while session.router is not None:
        await controlled.call("GET", "/v1/status")

    assert router.closed_because == "left before it answered"


async def test_the_newest_connection_is_the_router_and_the_older_is_told(controlled):
    session_id = await opened(controlled)
    session = controlled.sidecar.parts.sessions.get(session_id)
    async with (
        connection(controlled, session_id) as older,
        connection(controlled, session_id) as newer,
    ):
        message = await older.receive(5)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == CLOSED_BY_US
        assert message.extra == "the session's router was replaced by another connection"
        assert not newer.closed
        assert session.router is not None
        assert session.router.closed_because == ""


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no JSON", CLOSED_BY_US),
        ("[1]", CLOSED_BY_US),
        ('{"model": "a"}', CLOSED_BY_US),
        ('{"ask": true, "model": "a"}', CLOSED_BY_US),
        (b"\xff\xfe", CLOSED_BY_US),
        (json.dumps({"ask": 1, "model": "x" * 5000}), aiohttp.WSCloseCode.MESSAGE_TOO_BIG),
    ],
    ids=["no JSON", "no object", "no ask", "no number", "no text", "too large"],
)
async def test_what_is_no_answer_ends_the_connection(controlled, message, code):
    session = controlled.sidecar.parts.sessions.get(await opened(controlled))
    async with connection(controlled, session.session_id) as router:
        if isinstance(message, bytes):
            await router.send_bytes(message)
        else:
            await router.send_str(message)
        closed = await router.receive(5)

    assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, code)


def test_a_router_that_reads_nothing_is_let_go():
    """In virtual time: the asks fill the connection, then one can't be sent for ten seconds."""
    session = Session("sess_1", 0)
    context = RouteContext({"text": "x" * 1_000_000}, "openai", "a", RoutedSession("sess_1"))

    async def main():
        async def handle(request):
            return await connect_router(request, session)

        app = web.Application()
        app.router.add_get("/", handle)
        async with (
            TestServer(app) as server,
            await RawAgent.connect(("127.0.0.1", server.port)) as a,
        ):
            await a.send("GET", "/", [("Host", "127.0.0.1"), *UPGRADE.items()])
            assert (await a.head()).status == 101
            router = session.router
            while not router.closed_because:
                await router.ask(context)
            return router.closed_because, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        why, took_s = runner.run(main())
    assert why == "read nothing"
    assert 10 <= took_s < 20
    assert session.router is None


async def test_an_answer_to_nothing_is_ignored(controlled):
    session = controlled.sidecar.parts.sessions.get(await opened(controlled))
    async with connection(controlled, session.session_id) as router:
        await router.send_str('{"ask": 7, "model": "a"}')
        await router.ping()
        await controlled.call("GET", "/v1/status")

        assert session.router.closed_because == ""
        assert not router.closed
