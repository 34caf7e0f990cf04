"""Streamed answers leave event by event; what they came to stands in the last one."""

import asyncio
import json
from decimal import Decimal
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sidecar.openai_api.conftest import MESSAGES

from remora.testing.double_answer import Answer, Fault, FaultKind, Framing
from remora_sidecar.openai_api.stream_end import Events, StreamEnd

SSE = (("content-type", "text/event-stream"),)


def event(fields):
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def chunk(delta, finish_reason=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event({"id": "c-1", "model": "gpt-4o-mini", "choices": [choice], **more})


ROLE = chunk({"role": "assistant", "content": ""})
FAILED = event({"error": {"message": "overloaded", "code": "overloaded"}})
DONE = b"data: [DONE]\n\n"


def stream(*events, fault=None, **more):
    return Answer(headers=SSE, body=b"".join(events), framing=Framing.CHUNKED, fault=fault, **more)


async def test_a_stream_ends_with_what_it_came_to(served):
    reply = await served.chat(stream=True)
    (record,) = await served.records(1)
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.headers["remora-call-id"] == record.call_id
    assert reply.headers["X-KairosRoute-Provider"] == record.provider
    assert "X-KairosRoute-Cost" not in reply.headers
    *before, last = reply.events
    assert all("remora" not in one for one in before)
    assert last["remora"]["call_id"] == record.call_id
    assert Decimal(last["remora"]["cost_usd"]) == record.cost.total_usd
    assert last["x_kairosroute"]["routed_from"] == "auto"
    assert record.stream


async def test_the_bytes_of_a_stream_stay_but_for_the_block(served):
    body = b": ping\n\n" + ROLE + chunk({"content": "h\u00e9"}) + chunk({}, "stop") + DONE
    served.double.script(stream(body))
    reply = await served.chat("gpt-4o-mini", stream=True)
    front, _, back = body.decode().partition(json.dumps({}) + ', "finish_reason": "stop"}]')
    assert reply.text.startswith(front)
    assert reply.text.endswith(back.partition("}")[2])
    assert json.loads(reply.text.splitlines()[-4][6:])["remora"]["model"] == "gpt-4o-mini"


async def test_output_leaves_before_the_stream_ends(serve):
    """The double sends no more until the client has read the first word."""
    async with serve("openai") as served:
        held = stream(
            ROLE, chunk({"content": "one"}),
            fault=Fault(FaultKind.STALL, after_body_bytes=len(ROLE + chunk({"content": "one"}))),
        )  # fmt: skip
        served.double.script(held)
        asked = {"model": "auto", "messages": MESSAGES, "stream": True}
        async with served.client.post(f"{served.url}/chat/completions", json=asked) as answer:
            seen = b""
            async with asyncio.timeout(20):
                while b"one" not in seen:
                    seen += await answer.content.readany()
        (record,) = await served.records(1)
        assert record.status_code == 200


@pytest.mark.parametrize(
    "first",
    [stream(ROLE, FAILED), stream(ROLE, fault=Fault(FaultKind.DROP, after_body_bytes=len(ROLE)))],
    ids=["error event", "cut"],
)
async def test_a_stream_that_fails_before_its_first_output_is_begun_anew(serve, first):
    async with serve("openai") as served:
        served.double.script(first)
        reply = await served.chat(stream=True)
        records = await served.records(2)
    assert [record.status_code for record in records] == [200, 200]
    assert "overloaded" not in reply.text
    assert reply.events[-1]["remora"]["model"] == records[1].sent_model


async def test_a_stream_that_is_cut_after_its_first_output_is_cut(serve):
    async with serve("openai") as served:
        body = ROLE + chunk({"content": "one"})
        served.double.script(stream(body, fault=Fault(FaultKind.DROP, after_body_bytes=len(body))))
        asked = {"model": "auto", "messages": MESSAGES, "stream": True}
        async with served.client.post(f"{served.url}/chat/completions", json=asked) as answer:
            assert await answer.content.readexactly(len(body)) == body
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()
        assert len(served.double.requests) == 1


async def test_a_client_that_leaves_ends_its_call(serve):
    async with serve("openai") as served:
        asked = {"model": "auto", "stream": True}
        asked["messages"] = [{"role": "user", "content": "[[endless]]"}]
        async with served.client.post(f"{served.url}/chat/completions", json=asked) as answer:
            await answer.content.readany()
            answer.close()
        (record,) = await served.records(1)
        assert record.end_reason.name == "CLIENT_GONE"


async def test_a_whole_answer_that_is_cut_is_an_error(served):
    body = b'{"id": "x", "choices": []}'
    served.double.script(
        Answer(headers=(("content-type", "application/json"),), body=body,
               framing=Framing.LENGTH, fault=Fault(FaultKind.DROP, after_body_bytes=5))
    )  # fmt: skip
    reply = await served.chat("gpt-4o-mini")
    assert (reply.status, reply.json["error"]["code"]) == (502, "UPSTREAM_FAILED")


EVENTS = st.lists(
    st.one_of(
        st.sampled_from([ROLE, DONE, b": ping\n\n", b"data: {\r\n\r\n", FAILED]),
        st.text(max_size=20).map(lambda text: chunk({"content": text})),
        st.sampled_from([chunk({}, "stop"), event({"choices": [], "usage": {}})]),
    ),
    max_size=12,
)


@given(EVENTS, st.lists(st.integers(0, 2000), max_size=20), st.binary(max_size=5))
def test_events_joined_are_the_stream_wherever_it_was_cut(events, cuts, tail):
    body = b"".join(events) + tail
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    reader, end = Events(), StreamEnd()
    found = []
    for start, stop in pairwise(places):
        found += reader.feed(body[start:stop])
    found += reader.rest()
    whole = Events()
    assert found == [*whole.feed(body), *whole.rest()]
    assert b"".join(one.raw for one in found) == body
    assert b"".join(map(end.take, found)) + end.finish(None) == body


@given(EVENTS)
def test_what_has_output_never_waits_for_the_end(events):
    end = StreamEnd()
    for one in Events().feed(b"".join(events)):
        left = end.take(one)
        if one.has_output:
            assert left.endswith(one.raw)
