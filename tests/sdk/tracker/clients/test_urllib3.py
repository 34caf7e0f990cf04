"""What urllib3 does besides: retries and redirects, which call it anew, and bodies in pieces."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3

from remora.testing.double_answer import Answer
from remora.tracker.active import within

HOSTS = ["https://api.openai.com", "http://models.example.com"]
PATH = "/v1/chat/completions"
ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.fixture(params=HOSTS, ids=["TLS", "plain"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_retries_go_by_the_sidecar(stage: Any, session: Any, host: str) -> None:
    stage.script(Answer(status=503), Answer(status=503))
    retries = urllib3.Retry(3, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    with within(session), urllib3.PoolManager(retries=retries) as pools:
        assert pools.request("POST", host + PATH, body=ASKED).status == 200
    assert {one.status_code for one in stage.records(session, 3)} == {503, 200}


@pytest.mark.parametrize("location", [PATH, "absolute"])
def test_redirects_go_by_the_sidecar(stage: Any, session: Any, host: str, location: str) -> None:
    where = host + PATH if location == "absolute" else location
    stage.script(Answer(status=307, headers=(("location", where),)))
    with within(session), urllib3.PoolManager() as pools:
        assert pools.request("POST", host + PATH, body=ASKED).status == 200
    stage.records(session, 2)


@pytest.mark.parametrize("location", [PATH, "absolute"])
def test_redirects_of_a_pool_go_by_the_sidecar(
    stage: Any, session: Any, host: str, location: str
) -> None:
    where = host + PATH if location == "absolute" else location
    stage.script(Answer(status=307, headers=(("location", where),)))
    with within(session), urllib3.connection_from_url(host) as pool:
        assert pool.request("POST", "/v1/responses", body=ASKED).status == 200
    stage.records(session, 2)


def test_a_redirect_to_another_host_leaves_the_sidecar(stage: Any, session: Any, host: str) -> None:
    where = "http://{}:{}/elsewhere".format(*stage.double.address)
    stage.script(Answer(status=303, headers=(("location", where),)), Answer(body=b"elsewhere"))
    with within(session):
        assert requests.post(host + PATH, ASKED, timeout=30).content == b"elsewhere"
    assert stage.requests()[-1].head.header("remora-session") is None
    stage.records(session, 1)


def test_a_body_in_pieces_is_sent(stage: Any, session: Any, host: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield ASKED[:10]
        yield ASKED[10:]

    with within(session):
        assert requests.post(host + PATH, pieces(), timeout=30).status_code == 200
    stage.records(session)
    assert stage.requests()[-1].body == ASKED


def test_connections_are_used_again(stage: Any, session: Any, host: str) -> None:
    before = stage.accepted
    with within(session), requests.Session() as client:
        for _ in range(3):
            with client.post(host + PATH, ASKED, stream=True, timeout=30) as response:
                assert b"".join(response.iter_content(7))
    assert stage.accepted - before == 1
    stage.records(session, 3)


def test_a_pool_keeps_its_limit(stage: Any, session: Any, host: str) -> None:
    with (
        within(session),
        urllib3.connection_from_url(host, maxsize=1, block=True) as pool,
    ):
        held = pool.request("POST", PATH, body=ASKED, preload_content=False)
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            pool.urlopen("POST", PATH, body=ASKED, pool_timeout=0.01)
        held.read()
        held.release_conn()
    stage.records(session)


def test_a_closed_pool_stays_closed(session: Any, host: str) -> None:
    pool = urllib3.connection_from_url(host)
    with within(session):
        pool.close()
        with pytest.raises(urllib3.exceptions.ClosedPoolError):
            pool.request("POST", PATH, body=ASKED)
