import json
import tracemalloc
from typing import Any

import pytest

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import HELD_ANSWER_LIMIT_BYTES, CallRequest, Completeness
from remora_sidecar.dialects.openai.embeddings import EmbeddingsReader, OpenAIEmbeddings
from remora_sidecar.model.exchange import AnswerHead, RequestHead

EMBEDDINGS = OpenAIEmbeddings()
JSON = [(b"content-type", b"application/json")]


def _head(path: str = "/v1/embeddings", method: str = "POST") -> RequestHead:
    return RequestHead(method, "api.openai.com", path, "", [])


def _reader(status: int = 200) -> EmbeddingsReader:
    request = EMBEDDINGS.read_request(_head(), b'{"model": "e", "input": "x"}')
    return EMBEDDINGS.answer_reader(AnswerHead(status, JSON), request)


def _usage(usage: Any) -> Usage | None:
    reader = _reader()
    reader.feed(json.dumps({"data": [], "model": "e", "usage": usage}).encode())
    return reader.finish().usage


@pytest.mark.parametrize(
    ("method", "path", "claimed"),
    [
        ("POST", "/v1/embeddings", True),
        ("POST", "/openai/deployments/d/embeddings", True),
        ("POST", "/v1/multimodalembeddings", True),
        ("POST", "/v1/contextualizedembeddings/", True),
        ("GET", "/v1/embeddings", False),
        ("POST", "/v1/embeddings/1", False),
        ("POST", "/v1/embed", False),
        ("POST", "/v1/rerank", False),
    ],
)
def test_embeddings_are_claimed_under_any_prefix(method: str, path: str, claimed: bool) -> None:
    assert EMBEDDINGS.claims(_head(path, method)) is claimed


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/embeddings", b'{"model":"e"}', CallRequest("embeddings", "e", samples=False)),
        (
            "/openai/deployments/d/embeddings",
            b'{"model":"e"}',
            CallRequest("embeddings", "d", samples=False),
        ),
        (
            "/v1/embeddings",
            b"",
            CallRequest("embeddings", problem="request has no body", samples=False),
        ),
    ],
    ids=["OpenAI", "Azure", "nothing"],
)
def test_requests_are_read(path: str, body: bytes, expected: CallRequest) -> None:
    assert EMBEDDINGS.read_request(_head(path), body) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"prompt_tokens": 7, "total_tokens": 7}, Usage(7), id="OpenAI"),
        pytest.param({"total_tokens": 7}, Usage(7), id="Voyage"),
        pytest.param({"total_tokens": 0}, Usage(0), id="a small input at Voyage"),
        pytest.param(
            {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}, Usage(7, 0), id="vLLM"
        ),
        pytest.param({"total_tokens": "7"}, None, id="no number"),
        pytest.param({"tokens": 7}, None, id="other words"),
    ],
)
def test_usage_is_read_in_every_providers_words(usage: Any, expected: Usage | None) -> None:
    assert _usage(usage) == expected


def test_missing_usage_names_the_keys_searched_and_found() -> None:
    reader = _reader()
    reader.feed(b'{"object": "list", "usage": {"tokens": 1}}')
    assert reader.finish().usage_problem == (
        "searched usage for prompt_tokens, input_tokens, total_tokens; "
        "found object, usage; in usage: tokens"
    )


@pytest.mark.parametrize("usage_first", [True, False], ids=["usage first", "usage last"])
@pytest.mark.parametrize("base64", [True, False], ids=["base64", "digits"])
def test_an_answer_of_any_size_is_read_in_little_memory(base64: bool, usage_first: bool) -> None:
    stated = b'"model":"e","usage":{"prompt_tokens":9}'
    numbers = b'"' + b"AAAA" * 16384 + b'"' if base64 else b"[" + b"0.015625," * 8192 + b"1]"
    item = b'{"object":"embedding","embedding":' + numbers + b"}"
    count = HELD_ANSWER_LIMIT_BYTES // len(item) + 20
    reader = _reader()
    tracemalloc.start()
    reader.feed(b"{" + (stated + b"," if usage_first else b"") + b'"data":[')
    for number in range(count):
        reader.feed((b"," if number else b"") + item)
    reader.feed(b"]" + (b"" if usage_first else b"," + stated) + b"}")
    facts = reader.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (facts.model, facts.usage) == ("e", Usage(9))
    assert facts.completeness is Completeness.WHOLE
    assert peak < 1_000_000


def test_an_answer_that_was_cut_in_its_numbers_is_cut() -> None:
    reader = _reader()
    reader.feed(b'{"model":"e","usage":{"prompt_tokens":9},"data":[{"embedding":[0.1,')
    facts = reader.finish()
    assert facts.completeness is Completeness.CUT
    assert facts.usage_problem == "answer was cut before it stated usage"


def test_a_refused_call_states_its_error_however_long() -> None:
    reader = _reader(400)
    assert not reader.feed(json.dumps({"detail": "no such model " * 1000}).encode())
    error = reader.finish().error
    assert isinstance(error, CallError)
    assert error.message.startswith("no such model")
