"""What the load client asks for is what the double answers, each in its own dialect."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from bench import asking, load
from bench.asking import AT_ONCE, Ask, numbered
from bench.connection import Route, UnexpectedAnswerError, trusting
from bench.provider import add_answers
from bench.samples import CHAT_JSON, EVENTS

from remora.testing.double import ProviderDouble
from remora_sidecar.dialects.base import Completeness
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.model.exchange import AnswerHead, RequestHead


@pytest.fixture
async def double() -> AsyncIterator[ProviderDouble]:
    async with ProviderDouble(names=asking.HOSTS) as running:
        add_answers(running)
        yield running


@pytest.fixture
def route(double, tmp_path) -> Route:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(double.ca_pem)
    return Route(double.address, tls=trusting(ca_file))


_ASKS = {
    "chat": asking.chat(numbered("")),
    "chat stream": asking.chat(numbered(AT_ONCE), stream=True),
    "responses": asking.responses(numbered(AT_ONCE)),
    "messages": asking.messages(numbered(AT_ONCE)),
    "gemini": asking.gemini(numbered(AT_ONCE)),
    "gemini, spoken": asking.gemini(numbered("")),
}


@pytest.mark.parametrize("ask", _ASKS.values(), ids=_ASKS)
async def test_every_ask_gets_the_answer_it_expects(double, route, ask):
    await asyncio.to_thread(load.make_calls, route, ask, connections=2, count=4)
    bodies = [request.body for request in double.requests]
    assert len(bodies) == len(set(bodies)) >= 4


async def test_an_ask_without_a_number_is_the_same_each_time(double, route):
    ask = asking.chat("Always the same?")
    await asyncio.to_thread(load.make_calls, route, ask, connections=1, count=3)
    assert len({request.body for request in double.requests}) == 1


async def test_asks_take_turns(double, route):
    asks = [asking.chat(str(number)) for number in range(3)]
    await asyncio.to_thread(load.make_calls, route, *asks, connections=1, count=6)
    bodies = [request.body for request in double.requests[:6]]
    assert bodies[:3] == bodies[3:]
    assert len(set(bodies)) == 3


async def test_an_answer_without_what_is_expected_is_an_error(double, route):
    ask: Ask = replace(asking.chat("?"), expected=b"remora-cache: hit")
    with pytest.raises(UnexpectedAnswerError):
        await asyncio.to_thread(load.make_calls, route, ask, connections=1, count=1)


@pytest.mark.parametrize("dialect", EVENTS)
def test_the_samples_are_whole_streams_with_usage(dialect):
    body = b'{"stream":true,"stream_options":{"include_usage":true}}'
    path = asking.GEMINI_PATH if dialect == "gemini-generate" else asking.CHAT_PATH
    request = DIALECTS[dialect].read_request(RequestHead("POST", "a", path, "alt=sse", ()), body)
    head = AnswerHead(200, ((b"content-type", b"text/event-stream"),))
    reader = DIALECTS[dialect].answer_reader(head, request)
    for event in EVENTS[dialect]:
        reader.feed(event)
    facts = reader.finish()
    assert facts.completeness is Completeness.WHOLE
    assert facts.usage is not None
    assert facts.usage.input_tokens == 412


def test_the_sample_of_a_whole_answer_states_usage():
    assert b'"total_tokens": 530' in CHAT_JSON
