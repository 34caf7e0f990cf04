"""Whatever bytes come: no exception, and the same facts wherever they are cut."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Dialect
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.model.exchange import AnswerHead, RequestHead

PATHS = {
    "cohere-chat": ["/v1/chat", "/v2/chat", "/v2/embed", "/v1/rerank"],
    "ollama-chat": ["/api/chat", "/api/generate", "/api/embed"],
    "openai-audio": ["/v1/audio/speech", "/v1/audio/transcriptions"],
    "openai-chat": ["/v1/chat/completions"],
    "openai-completions": ["/v1/completions"],
    "openai-embeddings": ["/v1/embeddings"],
    "openai-images": ["/v1/images/generations"],
    "openai-moderations": ["/v1/moderations"],
}
CALLS = [(DIALECTS[name], path) for name, paths in PATHS.items() for path in paths]

names = st.sampled_from(
    [
        "b64_json", "billed_units", "choices", "content", "delta", "done", "done_reason", "error",
        "eval_count", "event_type", "finish_reason", "id", "index", "input_tokens", "message",
        "meta", "model", "prompt_tokens", "response", "seconds", "stream", "text", "tokens",
        "tool_calls", "total_tokens", "type", "usage", "x_groq",
    ]
)  # fmt: skip
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["stream-end", "message-end", "image_generation.completed"])
)  # fmt: skip
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=6).map(lambda value: json.dumps(value).encode())
pieces = (
    objects
    | objects.map(lambda text: b"data: " + text + b"\n\n")
    | objects.map(lambda text: b"event: error\r\ndata: " + text + b"\r\n\r\n")
    | objects.map(lambda text: text + b"\n")
    | st.just(b'{"id":"' + b"x" * 5000 + b'"}\n')
    | st.sampled_from([b"data: [DONE]\n\n", b"\n", b"[", b'{"a":"', b"\xff\xfe", b": ping\n\n"])
    | st.binary(max_size=20)
)
bodies = st.lists(pieces, max_size=5).map(b"".join)
kinds = st.sampled_from(
    [b"application/json", b"text/event-stream", b"application/x-ndjson", b"audio/mpeg", b""]
)
heads = st.builds(
    AnswerHead,
    st.sampled_from([200, 400]),
    kinds.map(lambda kind: [(b"content-type", kind)]),
)


def _facts(
    dialect: Dialect, head: AnswerHead, request: CallRequest, chunks: Iterable[bytes]
) -> tuple[bool, bool, AnswerFacts]:
    reader = dialect.answer_reader(head, request)
    has_output = False
    for chunk in chunks:
        has_output = reader.feed(chunk)
    return has_output, reader.ended, reader.finish()


@pytest.mark.parametrize(
    ("dialect", "path"), CALLS, ids=lambda value: getattr(value, "name", value)
)
@settings(deadline=None)
@given(head=heads, stream=st.booleans(), body=bodies, data=st.data())
def test_any_answer_states_the_same_wherever_it_is_cut(
    dialect: Dialect, path: str, head: AnswerHead, stream: bool, body: bytes, data: st.DataObject
) -> None:
    asked = json.dumps({"model": "gpt-image-1", "stream": stream}).encode()
    request = dialect.read_request(RequestHead("POST", "h", path, "", []), asked)
    whole = _facts(dialect, head, request, [body])
    assert _facts(dialect, head, request, (body[i : i + 1] for i in range(len(body)))) == whole
    at = [0, *sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4))), len(body)]
    cut = [body[a:b] for a, b in pairwise(at)]
    assert _facts(dialect, head, request, cut) == whole


@pytest.mark.parametrize(
    ("dialect", "path"), CALLS, ids=lambda value: getattr(value, "name", value)
)
@given(host=st.text(), any_path=st.text(), body=objects | st.binary(), kind=st.text())
def test_any_request_is_taken(
    dialect: Dialect, path: str, host: str, any_path: str, body: bytes, kind: str
) -> None:
    fields = [(b"content-type", kind.encode("utf-8", "replace"))]
    for taken in (path, any_path + path):
        head = RequestHead("POST", host, taken, "", fields)
        assert dialect.claims(head)
        dialect.read_request(head, body)
    dialect.claims(RequestHead("POST", host, any_path, "", fields))
