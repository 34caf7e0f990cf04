"""What holds for every client alike, each as a program uses it."""

import asyncio
import http.client
import json
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind
from remora.testing.streamed_answers import STREAMED_ANSWERS
from remora.tracker.active import active_session, within

ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
STREAMED = json.dumps({**json.loads(ASKED), "stream": True}).encode()
JSON = {"content-type": "application/json"}
TLS = "https://api.openai.com/v1/chat/completions"
PLAIN = "http://models.example.com/v1/chat/completions"
STREAM = STREAMED_ANSWERS["openai-chat"]


def by_httpx(url: str, body: bytes) -> bytes:
    with httpx.Client(timeout=30) as client:
        return client.post(url, content=body, headers=JSON).content


def by_httpx_async(url: str, body: bytes) -> bytes:
    async def call() -> bytes:
        async with httpx.AsyncClient(timeout=30) as client:
            return (await client.post(url, content=body, headers=JSON)).content

    return asyncio.run(call())


def by_httpx_with_http2(url: str, body: bytes) -> bytes:
    with httpx.Client(timeout=30, http2=True) as client:
        return client.post(url, content=body, headers=JSON).content


def by_httpx2(url: str, body: bytes) -> bytes:
    with httpx2.Client(timeout=30) as client:
        return client.post(url, content=body, headers=JSON).content


def by_httpx2_async(url: str, body: bytes) -> bytes:
    async def call() -> bytes:
        async with httpx2.AsyncClient(timeout=30) as client:
            return (await client.post(url, content=body, headers=JSON)).content

    return asyncio.run(call())


def by_requests(url: str, body: bytes) -> bytes:
    return requests.post(url, data=body, headers=JSON, timeout=30).content


def by_urllib3(url: str, body: bytes) -> bytes:
    with urllib3.PoolManager() as pools:
        return pools.request("POST", url, body=body, headers=JSON).data


def by_a_urllib3_pool(url: str, body: bytes) -> bytes:
    with urllib3.connection_from_url(url) as pool:
        return pool.request("POST", urlsplit(url).path, body=body, headers=JSON).data


def by_aiohttp(url: str, body: bytes) -> bytes:
    async def call() -> bytes:
        async with (
            aiohttp.ClientSession() as client,
            client.post(url, data=body, headers=JSON) as response,
        ):
            return await response.read()

    return asyncio.run(call())


def by_urllib_request(url: str, body: bytes) -> bytes:
    request = urllib.request.Request(url, body, JSON)  # noqa: S310 - a URL of the test's own
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return response.read()


def by_http_client(url: str, body: bytes) -> bytes:
    scheme, _, host, path = url.split("/", 3)
    kind = http.client.HTTPSConnection if scheme == "https:" else http.client.HTTPConnection
    connection = kind(host, timeout=30)
    try:
        connection.request("POST", f"/{path}", body, JSON)
        return connection.getresponse().read()
    finally:
        connection.close()


def field_names(request: Any) -> list[str]:
    return [name.decode().lower() for name, _ in request.head.headers]


CALLERS: list[Callable[[str, bytes], bytes]] = [
    by_httpx,
    by_httpx_async,
    by_httpx_with_http2,
    by_httpx2,
    by_httpx2_async,
    by_requests,
    by_urllib3,
    by_a_urllib3_pool,
    by_aiohttp,
    by_urllib_request,
    by_http_client,
]


@pytest.fixture(params=CALLERS, ids=lambda caller: caller.__name__)
def call(request: pytest.FixtureRequest) -> Callable[[str, bytes], bytes]:
    return request.param


@pytest.mark.parametrize("url", [TLS, PLAIN], ids=["TLS", "plain"])
def test_a_call_is_recorded_under_the_session_of_its_context(
    stage: Any, session: Any, call: Any, url: str
) -> None:
    with within(session):
        answer = call(url, ASKED)
    assert json.loads(answer)["choices"][0]["message"]["content"] == "Hello"
    (record,) = stage.records(session)
    assert (record.usage.input_tokens, record.usage.output_tokens) == (3, 2)
    assert stage.totals(session) == 1


def test_the_provider_gets_the_request_as_the_program_made_it(
    stage: Any, session: Any, call: Any
) -> None:
    with within(session):
        call(TLS, ASKED)
    request = stage.requests()[-1]
    assert request.body == ASKED
    names = field_names(request)
    assert names.count("host") == 1
    assert not [name for name in names if name.startswith(("remora", "proxy"))]


def test_threads_and_tasks_call_under_sessions_of_their_own(stage: Any, call: Any) -> None:
    sessions = [stage.open() for _ in range(8)]

    def work(session: Any) -> None:
        with within(session):
            call(TLS, ASKED)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, sessions))
    for session in sessions:
        stage.records(session)


def test_no_connection_is_left_and_nothing_is_warned_about(
    stage: Any, session: Any, call: Any, recwarn: pytest.WarningsRecorder
) -> None:
    before = threading.active_count()
    with within(session):
        call(TLS, ASKED)
    stage.records(session)
    stage.run(stage.double.until(lambda: True))
    assert [str(one.message) for one in recwarn] == []
    assert threading.active_count() <= before


# streams


def first_of_httpx(url: str, body: bytes) -> bytes:
    with httpx.Client(timeout=30) as client, client.stream("POST", url, content=body) as response:
        return next(response.iter_raw())


def first_of_httpx_async(url: str, body: bytes) -> bytes:
    async def call() -> bytes:
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("POST", url, content=body) as response,
        ):
            async for piece in response.aiter_raw():
                return piece
        return b""

    return asyncio.run(call())


def first_of_httpx2(url: str, body: bytes) -> bytes:
    with httpx2.Client(timeout=30) as client, client.stream("POST", url, content=body) as response:
        return next(response.iter_raw())


def first_of_requests(url: str, body: bytes) -> bytes:
    with requests.post(url, data=body, stream=True, timeout=30) as response:
        return next(response.iter_content(None))


def first_of_urllib3(url: str, body: bytes) -> bytes:
    with urllib3.PoolManager() as pools:
        response = pools.request("POST", url, body=body, preload_content=False)
        try:
            return next(response.stream())
        finally:
            response.close()


def first_of_aiohttp(url: str, body: bytes) -> bytes:
    async def call() -> bytes:
        async with aiohttp.ClientSession() as client, client.post(url, data=body) as response:
            end = response.connection.transport.get_extra_info("socket")
            piece = await response.content.readany()
        # TLS takes its leave of the peer in its own time, which aiohttp does not wait for.
        async with asyncio.timeout(30):
            while end.fileno() != -1:  # noqa: ASYNC110 - it signals nothing
                await asyncio.sleep(0.002)
        return piece

    return asyncio.run(call())


def first_of_urllib_request(url: str, body: bytes) -> bytes:
    request = urllib.request.Request(url, body)  # noqa: S310 - a URL of the test's own
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return response.read1()


STREAMERS = [
    first_of_httpx,
    first_of_httpx_async,
    first_of_httpx2,
    first_of_requests,
    first_of_urllib3,
    first_of_aiohttp,
    first_of_urllib_request,
]


@pytest.mark.parametrize("first", STREAMERS, ids=lambda first: first.__name__)
@pytest.mark.parametrize("url", [TLS, PLAIN], ids=["TLS", "plain"])
def test_a_piece_arrives_while_the_provider_is_silent_and_leaving_then_is_recorded(
    stage: Any, session: Any, answer_of: Any, first: Any, url: str
) -> None:
    stalled = Fault(FaultKind.STALL, len(STREAM.until_output))
    stage.script(replace(answer_of(STREAM), fault=stalled))
    with within(session):
        assert first(url, STREAMED)
    (record,) = stage.records(session)
    assert record.end_reason is EndReason.CLIENT_GONE


# in and out


def test_without_a_session_a_call_goes_where_it_always_went(stage: Any, call: Any) -> None:
    assert active_session.get() is None
    url = "http://{}:{}/v1/chat/completions".format(*stage.double.address)
    assert json.loads(call(url, ASKED))["model"] == "gpt-4o"
    assert "remora-session" not in field_names(stage.requests()[-1])


def test_other_hosts_are_called_past_the_sidecar(stage: Any, session: Any, call: Any) -> None:
    stage.script(Answer(body=b"elsewhere"))
    with within(session):
        url = "http://{}:{}/elsewhere".format(*stage.double.address)
        assert call(url, ASKED) == b"elsewhere"
    assert "remora-session" not in field_names(stage.requests()[-1])
    assert stage.totals(session) == 0
