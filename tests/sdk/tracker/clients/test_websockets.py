"""WebSockets: the websockets package in both its kinds, aiohttp, OpenAI's Realtime API."""

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest
import websockets.asyncio.client
import websockets.sync.client
from websockets.sync.client import connect as connect_by_name

from remora.testing.double_answer import EchoWebSocket, TalkingWebSocket
from remora.tracker.active import UntrackedCallWarning, within

URL = "wss://api.openai.com/v1/realtime?model=gpt-realtime"
RESPONSE = {"id": "resp_1", "object": "realtime.response", "output": []}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
EVENTS = [
    json.dumps({"type": kind, "event_id": kind, "response": {**RESPONSE, **more}})
    for kind, more in (
        ("response.created", {"status": "in_progress"}),
        ("response.done", {"status": "completed", "usage": USAGE}),
    )
]


def by_websockets(url: str, headers: Any) -> str:
    with websockets.sync.client.connect(url, additional_headers=headers) as socket:
        socket.send("hello")
        return str(socket.recv())


def by_websockets_imported_by_name(url: str, headers: Any) -> str:
    with connect_by_name(url, additional_headers=headers) as socket:
        socket.send("hello")
        return str(socket.recv())


def by_websockets_async(url: str, headers: Any) -> str:
    async def talk() -> str:
        async with websockets.asyncio.client.connect(url, additional_headers=headers) as socket:
            await socket.send("hello")
            return str(await socket.recv())

    return asyncio.run(talk())


def by_aiohttp(url: str, headers: Any) -> str:
    async def talk() -> str:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(url, headers=headers) as socket,
        ):
            end = socket.get_extra_info("socket")
            await socket.send_str("hello")
            heard = await socket.receive_str()
        # TLS takes its leave of the peer in its own time, which aiohttp does not wait for.
        async with asyncio.timeout(30):
            while end.fileno() != -1:  # noqa: ASYNC110 - it signals nothing
                await asyncio.sleep(0.002)
        return heard

    return asyncio.run(talk())


TALKERS = [by_websockets, by_websockets_imported_by_name, by_websockets_async, by_aiohttp]


@pytest.mark.parametrize("talk", TALKERS, ids=lambda talk: talk.__name__)
def test_a_conversation_is_recorded_under_its_session(stage: Any, session: Any, talk: Any) -> None:
    stage.script(EchoWebSocket())
    headers = {"authorization": "Bearer sk-test"}
    with within(session):
        assert talk(URL, headers) == "hello"
    stage.records(session)
    assert headers == {"authorization": "Bearer sk-test"}


@pytest.mark.parametrize("talk", TALKERS, ids=lambda talk: talk.__name__)
def test_other_hosts_are_talked_to_past_the_sidecar(stage: Any, session: Any, talk: Any) -> None:
    stage.script(EchoWebSocket())
    with within(session):
        assert talk("ws://{}:{}/chat".format(*stage.double.address), {}) == "hello"
    head = stage.requests()[-1].head
    assert head.header("remora-session") is None
    assert stage.totals(session) == 0


def test_each_response_of_a_realtime_conversation_is_a_call(stage: Any, session: Any) -> None:
    stage.script(TalkingWebSocket(lambda _: EVENTS))
    with (
        within(session),
        openai.OpenAI(api_key="sk-test") as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        connection.response.create()
        assert connection.recv().type == "response.created"
        assert connection.recv().type == "response.done"
    (record,) = stage.records(session)
    assert (record.usage.input_tokens, record.usage.output_tokens) == (3, 2)


def test_each_response_of_an_async_realtime_conversation_is_a_call(
    stage: Any, session: Any
) -> None:
    stage.script(TalkingWebSocket(lambda _: EVENTS))

    async def talk() -> str:
        async with (
            openai.AsyncOpenAI(api_key="sk-test") as client,
            client.realtime.connect(model="gpt-realtime") as connection,
        ):
            await connection.response.create()
            await connection.recv()
            return str((await connection.recv()).type)

    with within(session):
        assert asyncio.run(talk()) == "response.done"
    stage.records(session)


def test_a_proxy_of_the_programs_own_stays_in_force(
    stage: Any, session: Any, unused_port: int
) -> None:
    own = f"http://127.0.0.1:{unused_port}"
    with (
        within(session),
        pytest.warns(UntrackedCallWarning, match="proxy of their own"),
        pytest.raises(OSError, match=r"refused|[Cc]onnect"),
    ):
        websockets.sync.client.connect(URL, proxy=own)
    assert stage.totals(session) == 0
