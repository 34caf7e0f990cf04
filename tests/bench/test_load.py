"""The load client counts whole answers only, and says what went wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from bench import asking, load
from bench.connection import Connection, Route, UnexpectedAnswerError, trusting
from bench.provider import add_answers
from bench.relay import download_mb_per_s

from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, Fault, FaultKind


@pytest.fixture
async def double() -> AsyncIterator[ProviderDouble]:
    async with ProviderDouble() as running:
        add_answers(running)
        yield running


@pytest.fixture
def route(double, tmp_path) -> Route:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(double.ca_pem)
    return Route(double.address, tls=trusting(ca_file))


async def test_calls_are_counted_as_the_provider_counts_them(double, route):
    await asyncio.to_thread(load.make_calls, route, connections=3, count=20)
    assert len(double.requests) >= 20
    assert {request.connection for request in double.requests} == {1, 2, 3}


@pytest.mark.parametrize(
    "measure",
    [
        lambda route: load.call_ms(route, count=3),
        lambda route: load.first_content_ms(route, count=2),
        lambda route: load.calls_per_second(route, connections=2, seconds=0.05),
        lambda route: load.connections_per_second(route, clients=2, seconds=0.05),
        lambda route: download_mb_per_s(Route(route.address), 100_000),
    ],
    ids=["call", "first content", "calls", "connections", "download"],
)
async def test_every_way_of_asking_measures_something(route, measure):
    assert await asyncio.to_thread(measure, route) > 0


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Answer(500, body=b"no"), id="error"),
        pytest.param(Answer(body=b"hello", fault=Fault(FaultKind.CLOSE, 2)), id="cut"),
    ],
)
async def test_an_answer_that_does_not_count_is_an_error(double, route, bad):
    double.script(bad)
    with pytest.raises(UnexpectedAnswerError):
        await asyncio.to_thread(load.call_ms, route, count=1)


async def test_a_refused_tunnel_is_an_error(double):
    double.script(Answer(502))
    route = Route(double.address, tunnel="api.openai.com:443")
    with pytest.raises(UnexpectedAnswerError, match="no tunnel"):
        await asyncio.to_thread(Connection, route)


async def test_a_failing_client_thread_is_raised(double, route):
    double.script(Answer(500))
    with pytest.raises(UnexpectedAnswerError):
        await asyncio.to_thread(load.connections_per_second, route, clients=1, seconds=5)


def test_requests_name_their_host():
    assert asking.download("/bytes/1", "a.example").startswith(
        b"GET /bytes/1 HTTP/1.1\r\nHost: a.ex"
    )
