"""Clients that are kept: made outside of a session, used in one, outside again, in another."""

import asyncio
import gc
import http.client
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from remora.tracker.active import ActiveSession, within

ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
Sessions = Sequence[ActiveSession | None]


def by_httpx(stage: Any, url: str, sessions: Sessions) -> None:
    with httpx.Client(verify=stage.provider_tls, timeout=30) as client:
        for session in sessions:
            with within(session):
                assert client.post(url, content=ASKED).status_code == 200


def by_httpx_async(stage: Any, url: str, sessions: Sessions) -> None:
    async def work() -> None:
        async with httpx.AsyncClient(verify=stage.provider_tls, timeout=30) as client:
            for session in sessions:
                with within(session):
                    assert (await client.post(url, content=ASKED)).status_code == 200

    asyncio.run(work())


def by_httpx2(stage: Any, url: str, sessions: Sessions) -> None:
    with httpx2.Client(verify=stage.provider_tls, timeout=30) as client:
        for session in sessions:
            with within(session):
                assert client.post(url, content=ASKED).status_code == 200


def by_httpx2_async(stage: Any, url: str, sessions: Sessions) -> None:
    async def work() -> None:
        async with httpx2.AsyncClient(verify=stage.provider_tls, timeout=30) as client:
            for session in sessions:
                with within(session):
                    assert (await client.post(url, content=ASKED)).status_code == 200

    asyncio.run(work())


def by_requests(stage: Any, url: str, sessions: Sessions) -> None:
    with requests.Session() as client:
        trusted = str(stage.folder / "provider-ca.pem")
        for session in sessions:
            with within(session):
                assert client.post(url, data=ASKED, verify=trusted, timeout=30).status_code == 200


def by_urllib3(stage: Any, url: str, sessions: Sessions) -> None:
    with urllib3.PoolManager(ssl_context=stage.provider_tls) as pools:
        for session in sessions:
            with within(session):
                assert pools.request("POST", url, body=ASKED).status == 200


def by_aiohttp(stage: Any, url: str, sessions: Sessions) -> None:
    async def work() -> None:
        connector = aiohttp.TCPConnector(ssl=stage.provider_tls)
        async with aiohttp.ClientSession(connector=connector) as client:
            for session in sessions:
                with within(session):
                    async with client.post(url, data=ASKED) as response:
                        assert response.status == 200

    asyncio.run(work())


def by_http_client(stage: Any, url: str, sessions: Sessions) -> None:
    host = urlsplit(url).netloc
    connection = http.client.HTTPSConnection(host, context=stage.provider_tls, timeout=30)
    for session in sessions:
        with within(session):
            connection.request("POST", urlsplit(url).path, ASKED)
            response = connection.getresponse()
            assert (response.status, len(response.read()) > 0) == (200, True)
    connection.close()


KEPT: list[Callable[[Any, str, Sessions], None]] = [
    by_httpx,
    by_httpx_async,
    by_httpx2,
    by_httpx2_async,
    by_requests,
    by_urllib3,
    by_aiohttp,
    by_http_client,
]


@pytest.fixture(params=KEPT, ids=lambda kept: kept.__name__)
def call_by_turns(request: pytest.FixtureRequest) -> Callable[[Any, str, Sessions], None]:
    return request.param


def test_a_client_changes_sides_with_the_context(stage: Any, call_by_turns: Any) -> None:
    first, second = stage.open(), stage.open()
    before, received = stage.count(), len(stage.requests())
    call_by_turns(stage, stage.local_url, [None, first, None, second, second, None])
    stage.records(first, 1)
    stage.records(second, 2)
    assert stage.count() - before == 3
    assert len(stage.requests()) - received == 6


def test_sessions_share_a_connection_that_calls_outside_of_them_never_use(
    stage: Any, call_by_turns: Any
) -> None:
    sessions = [stage.open() for _ in range(5)]
    before = stage.accepted
    call_by_turns(stage, stage.local_url, sessions)
    assert stage.accepted - before == 1
    for session in sessions:
        stage.records(session)


def test_a_client_that_is_closed_leaves_no_connection(stage: Any, call_by_turns: Any) -> None:
    before = stage.agents()
    call_by_turns(stage, stage.local_url, [None, stage.open()])
    gc.collect()
    stage.until(lambda: not stage.agents() - before)


def test_a_companion_is_collected_with_the_pool_that_it_belongs_to(stage: Any) -> None:
    """Requests and botocore let pools go that they never close."""
    before = stage.agents()
    with within(stage.open()):
        pool = urllib3.connection_from_url(stage.local_url)
        assert pool.request("POST", "/v1/chat/completions", body=ASKED).status == 200
    assert len(stage.agents() - before) == 1
    del pool
    gc.collect()
    stage.until(lambda: not stage.agents() - before)


def test_headers_of_the_caller_stay_as_they_are(stage: Any, session: Any) -> None:
    headers = {"x-own": "1"}
    with within(session), urllib3.PoolManager(headers=headers) as pools:
        pools.request("POST", stage.local_url, body=ASKED)
        pools.request("POST", stage.local_url, body=ASKED, headers=headers)
        request = httpx.Request("POST", stage.local_url, content=ASKED)
        with httpx.Client() as client:
            client.send(request)
    assert headers == {"x-own": "1"}
    assert "remora-session" not in request.headers
    stage.records(session, 3)
