"""Capture with redaction over the whole path: no planted secret is anywhere but on the wire."""

import gzip
import json
import logging
import ssl
import threading
from itertools import pairwise

import aiohttp
import pytest

from remora.testing.double_answer import Answer, RandomCuts, TalkingWebSocket, json_answer
from remora_sidecar.policy.redaction import Redactor
from remora_sidecar.settings import format_address

HOST = ("Host", "api.openai.com")
CHAT = "/v1/chat/completions"
MAIL = "jane.roe@example.com"
KEY = "sk-proj-Qx7Zk2Lm9Vb4Nc8Rt1Wp5Yd3Hf6Js0Ga"
CARD = "4111 1111 1111 1111"
ADDRESS = "203.0.113.99"
SECRETS = (MAIL, KEY, CARD, ADDRESS)
QUESTION = f"I am {MAIL}, my key is {KEY}, my card {CARD}, I call from {ADDRESS}."
ASKED = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}
).encode()
REDACTED = (
    "I am [redacted:email], my key is [redacted:provider-key], my card [redacted:credit-card], "
    "I call from [redacted:ip-address]."
)


@pytest.fixture
def with_capture(carry, tmp_path):
    def start(capture="redacted", more="", **changed):
        policy = tmp_path / "policy.yaml"
        policy.write_text(
            "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {name: kept}\n"
            f"spec:\n  capture: {capture}\n{more}"
        )
        return carry(policy=policy, **changed)

    return start


async def test_a_long_prompt_is_redacted_on_a_thread_while_its_provider_is_asked(
    with_capture, monkeypatch
):
    threads, redacted = [], Redactor.redacted

    def seen(self, body, encoding=None):
        threads.append((threading.current_thread().name.partition("_")[0], len(body.content)))
        return redacted(self, body, encoding)

    monkeypatch.setattr(Redactor, "redacted", seen)
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION * 50}]}
    long = json.dumps(asked).encode()
    async with with_capture() as carrying:
        carrying.double.script(*[json_answer(b'{"id":"c","model":"m","choices":[]}')] * 2)
        agent = await carrying.agent()
        for body in (long, ASKED):
            await agent.ask("POST", CHAT, [HOST, ("Content-Type", "application/json")], body)
        first, second = await carrying.records(2)

    assert ("redaction", len(long)) in threads
    assert ("MainThread", len(ASKED)) in threads
    assert json.loads(first.request_body.content)["messages"][0]["content"] == REDACTED * 50
    assert json.loads(second.request_body.content)["messages"][0]["content"] == REDACTED


def _events(text, cuts):
    places = sorted({0, len(text), *cuts})
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    for start, end in pairwise(places):
        yield {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "delta": {"content": text[start:end]}}],
        }
    yield {"id": "chatcmpl-1", "model": "gpt-4o-mini", "choices": [], "usage": usage}


def _stream(text, cuts):
    lines = (f"data: {json.dumps(event)}\n\n" for event in _events(text, cuts))
    body = ("".join(lines) + "data: [DONE]\n\n").encode()
    return Answer(
        headers=(("content-type", "text/event-stream"),), body=body, cuts=RandomCuts(3, 90)
    )


async def _metrics(carrying):
    url = f"http://{format_address(carrying.sidecar.status)}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return await answer.text()


async def _everything_kept(carrying, record, caplog):
    """All that a call may have left behind: files, metrics, log, the record."""
    files = (path for path in carrying.sidecar.data.path.rglob("*") if path.is_file())
    kept = b"".join(path.read_bytes() for path in files)
    said = await _metrics(carrying) + caplog.text + repr(record)
    return kept + said.encode()


def _said(body):
    lines = (line for line in body.decode().split("\n") if line.startswith("data: {"))
    events = (json.loads(line[6:]) for line in lines)
    return "".join(c["delta"]["content"] for event in events for c in event["choices"])


async def test_nothing_planted_in_question_or_stream_is_left_anywhere(with_capture, caplog):
    caplog.set_level(logging.DEBUG)
    async with with_capture() as carrying:
        answer = _stream(QUESTION, range(0, len(QUESTION), 5))
        carrying.double.script(answer)
        agent = await carrying.agent()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        asked = json.dumps({**json.loads(ASKED), **options}).encode()
        got = await agent.ask("POST", CHAT, [HOST, ("Authorization", f"Bearer {KEY}")], asked)
        record = await carrying.record()
        kept = await _everything_kept(carrying, record, caplog)
    assert got.body == answer.body
    assert [secret for secret in SECRETS if secret.encode() in kept] == []
    assert b"Qx7Zk2Lm9Vb4" not in kept
    assert record.capture == "redacted"
    assert json.loads(record.request_body.content)["messages"][0]["content"] == REDACTED
    assert _said(record.response_body.content) == REDACTED
    assert record.response_body.original_bytes == len(answer.body)
    assert record.error is None
    assert record.usage.output_tokens == 9


async def test_bodies_on_the_wire_are_encoded_and_those_kept_are_not(with_capture):
    async with with_capture() as carrying:
        content = json.dumps({"id": "x", "choices": [], "note": MAIL}).encode()
        fields = (("content-type", "application/json"), ("content-encoding", "gzip"))
        carrying.double.script(Answer(headers=fields, body=gzip.compress(content)))
        agent = await carrying.agent()
        sent = [HOST, ("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
        await agent.ask("POST", CHAT, sent, gzip.compress(ASKED))
        record = await carrying.record()
    assert json.loads(record.request_body.content)["messages"][0]["content"] == REDACTED
    assert json.loads(record.response_body.content)["note"] == "[redacted:email]"


@pytest.mark.parametrize("capture", ["metadata", "redacted", "full"])
async def test_a_key_that_a_provider_repeats_in_its_error_is_never_kept(with_capture, capture):
    async with with_capture(capture) as carrying:
        message = f"Incorrect API key provided: {KEY}. You can find yours at example.com."
        error = {"error": {"message": message, "type": "invalid_request_error"}}
        carrying.double.script(json_answer(json.dumps(error).encode(), status=401))
        agent = await carrying.agent()
        await agent.ask("POST", CHAT, [HOST], b'{"model": "gpt-4o-mini", "messages": []}')
        record = await carrying.record()
    assert record.error.message.startswith("Incorrect API key provided: [redacted:provider-key]")
    assert all(KEY not in repr(attempt) for attempt in record.attempts)


async def test_a_key_in_a_path_is_not_kept(with_capture):
    async with with_capture("metadata") as carrying:
        agent = await carrying.agent()
        await agent.ask("GET", f"/v1/models/{KEY}?x={KEY}", [HOST])
        record = await carrying.record()
    assert record.url.endswith("/v1/models/[redacted:provider-key]?x=[redacted:provider-key]")


async def test_full_capture_keeps_what_was_said(with_capture):
    async with with_capture("full") as carrying:
        agent = await carrying.agent()
        await agent.ask("POST", CHAT, [HOST], ASKED)
        record = await carrying.record()
    assert record.request_body.content == ASKED


async def test_what_policy_says_of_redaction_is_done(with_capture):
    more = (
        "  redaction:\n    mode: digest\n    skip: [ip-address]\n"
        "    patterns: [{name: order, regex: 'ORD-[0-9]{4}'}]\n"
    )
    asked = json.dumps({"model": "m", "messages": [], "a": [MAIL, MAIL, ADDRESS, "ORD-1234"]})
    async with with_capture(more=more) as carrying:
        agent = await carrying.agent()
        await agent.ask("POST", CHAT, [HOST], asked.encode())
        record = await carrying.record()
        salt = (carrying.sidecar.data.path / "redaction-salt").stat()
    first, second, address, order = json.loads(record.request_body.content)["a"]
    assert first == second
    assert first.startswith("[redacted:email:")
    assert address == ADDRESS
    assert order.startswith("[redacted:order:")
    assert salt.st_mode & 0o777 == 0o600


async def test_bodies_are_kept_up_to_the_size_that_policy_says(with_capture):
    async with with_capture(more="  redaction: {maxBody: 100}\n") as carrying:
        agent = await carrying.agent()
        await agent.ask("POST", CHAT, [HOST], ASKED)
        record = await carrying.record()
    assert len(record.request_body.content) <= 100
    assert record.request_body.truncated
    assert record.request_body.original_bytes == len(ASKED)
    assert b"jane" not in record.request_body.content


async def test_an_answer_from_the_cache_is_redacted_as_well(with_capture, caplog):
    more = "  cache: {mode: readwrite, sampling: true}\n"
    async with with_capture(more=more) as carrying:
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "message": {"role": "assistant", "content": QUESTION},
                  "finish_reason": "stop"}  # fmt: skip
        whole = {"id": "x", "model": "gpt-4o-mini", "choices": [choice], "usage": usage}
        carrying.double.script(json_answer(json.dumps(whole).encode()))
        agent = await carrying.agent()
        for _ in range(2):
            await agent.ask("POST", CHAT, [HOST], ASKED)
        records = await carrying.records(2)
    assert [record.cached for record in records] == [False, True]
    for record in records:
        message = json.loads(record.response_body.content)["choices"][0]["message"]
        assert message["content"] == REDACTED


async def test_messages_of_a_conversation_are_redacted(with_capture):
    done = {"type": "response.done", "response": {
        "id": "resp_1", "object": "realtime.response", "status": "completed",
        "output": [{"type": "message", "content": [{"transcript": QUESTION}]}],
        "usage": {"total_tokens": 2, "input_tokens": 1, "output_tokens": 1}}}  # fmt: skip
    created = {"type": "response.created", "response": {"id": "resp_1"}}
    answers = [json.dumps({"event_id": "e", **event}) for event in (created, done)]
    async with with_capture() as carrying:
        carrying.double.script(TalkingWebSocket(lambda message: answers))
        trust = ssl.create_default_context(cadata=carrying.ca_pem)
        proxy = f"http://{format_address(carrying.sidecar.proxy)}"
        url = "wss://api.openai.com/v1/realtime?model=gpt-realtime"
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, proxy=proxy, ssl=trust) as socket,
        ):
            await socket.send_str(
                json.dumps({"type": "response.create", "response": {"instructions": QUESTION}})
            )
            for _ in answers:
                await socket.receive_str()
            record = await carrying.record()
    assert json.loads(record.request_body.content)["response"]["instructions"] == REDACTED
    assert REDACTED in record.response_body.content.decode()
    assert not any(secret in repr(record) for secret in SECRETS)
