"""A proxy of the program's own stays in force, and is told about; the sidecar's is recognized."""

import asyncio
import http.client
import json
import urllib.request
from collections.abc import Callable
from contextlib import closing
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from remora.testing.double_answer import Answer
from remora.tracker.active import UntrackedCallWarning, within

URL = "http://models.example.com/v1/chat/completions"
ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()


def by_httpx(proxy: str) -> int:
    with httpx.Client(proxy=proxy) as client:
        return client.post(URL, content=ASKED).status_code


def by_httpx_async(proxy: str) -> int:
    async def call() -> int:
        async with httpx.AsyncClient(proxy=proxy) as client:
            return (await client.post(URL, content=ASKED)).status_code

    return asyncio.run(call())


def by_httpx2(proxy: str) -> int:
    with httpx2.Client(proxy=proxy) as client:
        return client.post(URL, content=ASKED).status_code


def by_requests(proxy: str) -> int:
    return requests.post(URL, ASKED, proxies={"http": proxy}, timeout=30).status_code


def by_urllib3(proxy: str) -> int:
    with urllib3.ProxyManager(proxy) as pools:
        return pools.request("POST", URL, body=ASKED).status


def by_aiohttp(proxy: str) -> int:
    async def call() -> int:
        async with (
            aiohttp.ClientSession() as client,
            client.post(URL, data=ASKED, proxy=proxy) as response,
        ):
            return response.status

    return asyncio.run(call())


def by_urllib_request(proxy: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    with opener.open(URL, ASKED, timeout=30) as response:
        return int(response.status)


def by_http_client(proxy: str) -> int:
    with closing(http.client.HTTPConnection(proxy.removeprefix("http://"))) as connection:
        connection.request("POST", URL, ASKED)
        return connection.getresponse().status


PROXIED: list[Callable[[str], int]] = [
    by_httpx,
    by_httpx_async,
    by_httpx2,
    by_requests,
    by_urllib3,
    by_aiohttp,
    by_urllib_request,
    by_http_client,
]


@pytest.fixture(params=PROXIED, ids=lambda call: call.__name__)
def call(request: pytest.FixtureRequest) -> Callable[[str], int]:
    return request.param


@pytest.fixture
def own_proxy(stage: Any) -> str:
    """The double does for a proxy of plain requests."""
    stage.script(Answer(status=203))
    return "http://{}:{}".format(*stage.double.address)


def test_a_proxy_of_the_programs_own_stays_in_force_and_is_told_about(
    stage: Any, session: Any, call: Any, own_proxy: str
) -> None:
    with within(session), pytest.warns(UntrackedCallWarning, match="proxy of their own"):
        assert call(own_proxy) == 203
    request = stage.requests()[-1]
    assert request.head.target == URL
    assert request.head.header("remora-session") is None
    assert stage.totals(session) == 0


def test_it_is_told_about_once(stage: Any, session: Any, own_proxy: str, recwarn: Any) -> None:
    stage.script(Answer(status=203))
    with within(session), pytest.warns(UntrackedCallWarning):
        by_urllib3(own_proxy)
    with within(session):
        by_urllib3(own_proxy)
    assert len(recwarn) == 0


def test_a_proxy_that_is_the_sidecar_gets_the_session(stage: Any, session: Any, call: Any) -> None:
    with within(session):
        assert call(stage.access.proxy_url) == 200
    stage.records(session)


def test_a_proxy_of_the_environment_is_the_programs_own(
    stage: Any, session: Any, own_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", own_proxy)
    with (
        within(session),
        pytest.warns(UntrackedCallWarning, match=r"httpx .* proxy of their own"),
        httpx.Client() as client,
    ):
        assert client.post(URL, content=ASKED).status_code == 203
