import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallError
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.registry import DIALECTS, UNKNOWN, dialect_for
from remora_sidecar.dialects.unknown import operation_of
from remora_sidecar.model.exchange import AnswerHead, RequestHead

JSON = [(b"content-type", b"application/json")]


def _head(path: str, method: str = "POST", headers: Any = JSON) -> RequestHead:
    return RequestHead(method, "api.example.com", path, "", headers)


def _answer(body: object, *, status: int = 200, headers: Any = JSON) -> AnswerFacts:
    reader = UNKNOWN.answer_reader(AnswerHead(status, headers), CallRequest("other"))
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert not reader.ended
    return reader.finish()


@pytest.mark.parametrize(
    ("names", "path", "name"),
    [
        (["openai-chat"], "/v1/chat/completions", "openai-chat"),
        (["made-later", "openai-chat"], "/v1/chat/completions", "openai-chat"),
        (["openai-chat"], "/v1/embeddings", "unknown"),
        (["anthropic-messages"], "/v1/chat/completions", "unknown"),
        ([], "/v1/chat/completions", "unknown"),
    ],
)
def test_the_providers_first_dialect_that_claims_a_call_has_it(
    names: list[str], path: str, name: str
) -> None:
    assert dialect_for(names, _head(path)).name == name


def test_dialects_are_listed_by_their_own_names() -> None:
    assert all(name == dialect.name for name, dialect in DIALECTS.items())
    assert UNKNOWN.name not in DIALECTS


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v2/chat", "chat"),
        ("/v1/responses", "chat"),
        ("/v1/messages", "chat"),
        ("/v1/messages/count_tokens", "count_tokens"),
        ("/v1/messages/batches", "batches"),
        ("/model/anthropic.claude/converse-stream", "chat"),
        ("/v1beta/models/gemini:streamGenerateContent", "generate_content"),
        ("/v1beta/models/gemini:countTokens", "count_tokens"),
        ("/v1/completions", "text_completion"),
        ("/v1/embeddings/", "embeddings"),
        ("/v1beta/models/e:batchEmbedContents", "embeddings"),
        ("/v1/images/generations", "image_generation"),
        ("/v1/audio/speech", "speech"),
        ("/v1/audio/transcriptions", "transcription"),
        ("/v1/moderations", "moderation"),
        ("/v1/models", "models"),
        ("/v1/models/gpt-4o", "models"),
        ("/v1/files/file-1/content", "files"),
        ("/v1beta/fileSearchStores/s1", "files"),
        ("/v1beta/cachedContents/c1", "cached_contents"),
        ("/v1/realtime", "realtime"),
        ("/", "other"),
        ("", "other"),
    ],
)
def test_well_known_paths_tell_the_operation(path: str, operation: str) -> None:
    assert operation_of(path) == operation


@pytest.mark.parametrize(
    ("path", "body", "model", "stream"),
    [
        ("/v1/embeddings", b'{"model": "e"}', "e", False),
        ("/v1/messages", b'{"model": "c", "stream": true}', "c", True),
        ("/v1beta/models/gemini-2:generateContent", b"{}", "gemini-2", False),
        ("/v1beta/models/gemini-2:streamGenerateContent", b"{}", "gemini-2", True),
        ("/model/us.anthropic.claude%3A0/converse-stream", b"{}", "us.anthropic.claude:0", True),
        ("/openai/deployments/ada/embeddings", b'{"model": "x"}', "ada", False),
        ("/v1/models/gpt-4o", b"", "", False),
        ("/v1/audio/transcriptions", b"--boundary", "", False),
        ("/v1/embeddings", b"[1]", "", False),
        ("/v1/embeddings", b"{", "", False),
    ],
)
def test_an_unknown_calls_model_is_read_from_path_or_body(
    path: str, body: bytes, model: str, stream: bool
) -> None:
    request = UNKNOWN.read_request(_head(path), body)
    assert (request.model, request.stream, request.states_usage) == (model, stream, False)
    assert request.problem == ""


def test_an_unknown_json_answer_states_model_id_and_error() -> None:
    answered = {"id": "1", "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    assert _answer(answered) == AnswerFacts(
        model="m", response_id="1", completeness=Completeness.WHOLE
    )
    refused = {"type": "error", "error": {"type": "overloaded_error", "message": "later"}}
    assert _answer(refused, status=529).error == CallError("overloaded_error", "later")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"data: {}\n\n", [(b"content-type", b"text/event-stream")]),
        (b"\x00\x01", [(b"content-type", b"audio/mpeg")]),
        (b'{"a": 1}\n{"b": 2}\n', [(b"content-type", b"application/x-ndjson")]),
        (b'{"a": 1}\n{"b": 2}\n', JSON),
        (b"[" + b" " * 600_000 + b"]", JSON),
        (b"", JSON),
    ],
    ids=["SSE", "audio", "lines of JSON", "called JSON", "large", "empty"],
)
def test_other_unknown_answers_state_nothing_and_are_not_judged(body: bytes, headers: Any) -> None:
    facts = _answer(body, headers=headers)
    assert (facts.model, facts.usage, facts.error) == ("", None, None)
    assert facts.completeness is Completeness.UNKNOWN


def test_any_byte_of_a_successful_unknown_answer_is_output() -> None:
    reader = UNKNOWN.answer_reader(AnswerHead(200, []), CallRequest("other"))
    assert not reader.feed(b"")
    assert reader.feed(b"x")
    assert not UNKNOWN.answer_reader(AnswerHead(500, []), CallRequest("other")).feed(b"x")


@given(st.text(), st.binary(), st.binary())
def test_any_unknown_call_is_taken(path: str, body: bytes, answer: bytes) -> None:
    assert UNKNOWN.claims(_head(path))
    UNKNOWN.read_request(_head(path), body)
    UNKNOWN.read_request(_head(path, headers=[]), b"{" + body)
    _answer(answer, status=400)
