"""Streams that are asked for their usage on the agent's behalf."""

import gzip
import json

import brotli
import pytest

from remora.testing.double_answer import Answer, Fault, FaultKind

CHAT = "/v1/chat/completions"
ASKED = b'{"model": "gpt-4o-mini",  "stream":true, "messages":[]}'
SENT = ASKED[:-1] + b',"stream_options":{"include_usage":true}}'

_HEAD = b'data: {"id":"c-1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"Hi"}}]'
_STOP = b'data: {"id":"c-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'
_USAGE = b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
_DONE = b"data: [DONE]\n\n"
GIVEN = _HEAD + b',"usage":null}\n\n' + _STOP + b',"usage":null}\n\n' + _USAGE + _DONE
SEEN = _HEAD + b"}\n\n" + _STOP + b"}\n\n" + _DONE

STREAM = (("Content-Type", "text/event-stream"),)
REFUSAL = b'{"error":{"message":"Unknown parameter: \'stream_options\'","type":"invalid"}}'


async def _ask(carrying, body=ASKED, *, host="api.openai.com"):
    agent = await carrying.agent(host=host)
    return await agent.ask("POST", CHAT, [("Host", host)], body)


async def test_a_stream_is_asked_for_usage_and_the_agent_does_not_notice(carrying):
    carrying.double.script(Answer(headers=STREAM, body=GIVEN))
    answer = await _ask(carrying)
    record = await carrying.record()
    assert carrying.double.requests[-1].body == SENT
    assert answer.body == SEEN
    assert (record.usage.input_tokens, record.usage.output_tokens) == (7, 2)
    assert not record.usage.estimated
    assert record.cost is not None


@pytest.mark.parametrize(
    ("encoding", "encode", "decode"),
    [("gzip", gzip.compress, gzip.decompress), ("br", brotli.compress, brotli.decompress)],
)
async def test_a_compressed_stream_stays_compressed(carrying, encoding, encode, decode):
    headers = (*STREAM, ("Content-Encoding", encoding))
    carrying.double.script(Answer(headers=headers, body=encode(GIVEN)))
    answer = await _ask(carrying)
    assert answer.header("content-encoding") == encoding
    assert decode(answer.body) == SEEN
    assert (await carrying.record()).usage.input_tokens == 7


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
        b'{"model":"m","messages":[]}',
        b"no json",
    ],
    ids=["asks itself", "no stream", "unreadable"],
)
async def test_other_requests_go_out_as_they_came(carrying, body):
    carrying.double.script(Answer(headers=STREAM, body=GIVEN))
    answer = await _ask(carrying, body)
    assert carrying.double.requests[-1].body == body
    assert answer.body == GIVEN


@pytest.mark.parametrize(
    "field",
    [("X-Amz-Content-Sha256", "0" * 64), ("Content-Encoding", "gzip")],
    ids=["signed", "compressed"],
)
async def test_a_body_that_can_not_be_changed_goes_out_as_it_came(carrying, field):
    carrying.double.script(Answer(headers=STREAM, body=SEEN))
    agent = await carrying.agent()
    body = gzip.compress(ASKED) if field[1] == "gzip" else ASKED
    await agent.ask("POST", CHAT, [("Host", "api.openai.com"), field], body)
    assert carrying.double.requests[-1].body == body


async def test_a_provider_that_does_not_take_the_option_is_not_asked(carry):
    async with carry(double={"names": ["api.perplexity.ai"]}) as carrying:
        carrying.double.script(Answer(headers=STREAM, body=SEEN))
        answer = await _ask(carrying, host="api.perplexity.ai")
        assert carrying.double.requests[-1].body == ASKED
        assert answer.body == SEEN


async def test_policy_can_forbid_it(carry, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "{apiVersion: remora.dev/v1alpha1, kind: LLMPolicy, metadata: {name: p}, "
        "spec: {includeUsage: never}}"
    )
    async with carry(policy=policy) as carrying:
        carrying.double.script(Answer(headers=STREAM, body=SEEN))
        answer = await _ask(carrying)
        record = await carrying.record()
        assert carrying.double.requests[-1].body == ASKED
        assert answer.body == SEEN
        assert record.usage.estimated
        assert record.error is None


@pytest.mark.parametrize("status", [400, 422])
async def test_a_refusal_is_retried_without_the_option_and_remembered(carrying, status):
    refused = Answer(status=status, body=REFUSAL)
    carrying.double.script(refused)
    for _ in range(2):
        carrying.double.script(Answer(headers=STREAM, body=SEEN))
    first = await _ask(carrying)
    second = await _ask(carrying)
    assert (first.status, first.body, second.body) == (200, SEEN, SEEN)
    assert [request.body for request in carrying.double.requests] == [SENT, ASKED, ASKED]
    records = await carrying.records(2)
    assert [attempt.status_code for attempt in records[0].attempts] == [status, 200]
    assert records[0].attempts[0].error.type == "stream_options_refused"
    assert len(records[1].attempts) == 1


async def test_another_error_reaches_the_agent_as_it_is(carrying):
    body = json.dumps({"error": {"message": "x" * 200_000}}).encode()
    carrying.double.script(Answer(status=400, body=body))
    answer = await _ask(carrying)
    assert (answer.status, answer.body) == (400, body)
    assert len(carrying.double.requests) == 1


async def test_what_was_held_back_reaches_the_agent_when_the_provider_cuts(carrying):
    begun = GIVEN[: GIVEN.index(_USAGE) - 20]
    carrying.double.script(
        Answer(headers=STREAM, body=GIVEN, fault=Fault(FaultKind.CLOSE, len(begun)))
    )
    answer = await _ask(carrying)
    assert answer.cut
    assert answer.body.startswith(_HEAD + b"}\n\n")
    record = await carrying.record()
    assert record.usage.estimated
