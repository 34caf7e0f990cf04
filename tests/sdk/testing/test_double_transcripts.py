"""Recorded exchanges come back as recorded."""

import os
from pathlib import Path

import pytest

from remora.testing.double_answer import RandomCuts
from remora.testing.transcripts import Transcript, find_corpus, load_transcripts


def _transcript(**changed) -> Transcript:
    facts = {
        "id": "a", "dialect": "openai-chat", "provenance": "recorded", "method": "POST",
        "url": "https://api.openai.com/v1/x?a=1", "host": "api.openai.com", "path": "/v1/x",
        "query": "a=1", "request_headers": (), "request_body": b"{}", "status": 201,
        "response_headers": (("x-a", "1"), ("Transfer-Encoding", "chunked")),
        "response_body": b"hello", "stream": False, "expect": {}, "expect_extra": {},
    }  # fmt: skip
    return Transcript(**{**facts, **changed})


async def _asked(connect, transcript: Transcript):
    target = f"{transcript.path}?{transcript.query}" if transcript.query else transcript.path
    agent = await connect()
    headers = [("Host", transcript.host)]
    return await agent.ask(transcript.method, target, headers, transcript.request_body)


async def test_an_exchange_answers_as_recorded(double, connect):
    double.play([_transcript()])
    answer = await _asked(connect, _transcript())
    assert (answer.status, answer.body, answer.header("x-a")) == (201, b"hello", "1")
    assert answer.header("transfer-encoding") == "chunked"


async def test_equal_requests_get_their_answers_in_order_the_last_for_ever(double, connect):
    double.play([_transcript(), _transcript(response_body=b"again")])
    answers = [(await _asked(connect, _transcript())).body for _ in range(3)]
    assert answers == [b"hello", b"again", b"again"]


async def test_an_unrecorded_body_answers_any(double, connect):
    double.play([_transcript(request_body=b"")])
    assert (await _asked(connect, _transcript(request_body=b"[1]"))).body == b"hello"


@pytest.mark.parametrize(
    "changed",
    [{"request_body": b"[]"}, {"host": "other.example"}, {"query": ""}, {"method": "PUT"}],
    ids=lambda changed: next(iter(changed)),
)
async def test_another_request_is_not_found(double, connect, changed):
    double.play([_transcript()])
    assert (await _asked(connect, _transcript(**changed))).status == 404


async def test_every_recorded_dialect_is_replayed_under_any_cuts(double, connect):
    folder = find_corpus(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[3])
    if folder is None:
        pytest.skip("no recorded exchanges: set REMORA_CORPUS to their folder")
    for dialect in ("openai-embeddings", "anthropic-messages", "bedrock-converse"):
        transcripts = [t for t in load_transcripts(folder, dialect) if t.request_body][:20]
        assert transcripts
        double.play(transcripts, cuts=RandomCuts(seed=7))
        last = {(t.method, t.url, t.request_body): t for t in reversed(transcripts)}
        for transcript in last.values():
            answer = await _asked(connect, transcript)
            assert (answer.status, answer.body) == (transcript.status, transcript.response_body)
