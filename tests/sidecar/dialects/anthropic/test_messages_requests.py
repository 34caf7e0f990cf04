import json
from typing import Any

import pytest

from remora.providers import Provider, ProviderRegistry
from remora_sidecar.dialects.anthropic.messages import AnthropicMessages
from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.registry import dialect_for
from remora_sidecar.model.exchange import RequestHead

MESSAGES = AnthropicMessages()
VERTEX = "/v1/projects/p/locations/global/publishers/anthropic/models"


def _head(path: str = "/v1/messages", **changes: Any) -> RequestHead:
    fields = {"method": "POST", "host": "api.anthropic.com", "query": "", "headers": []} | changes
    return RequestHead(path=path, **fields)


def _request(body: object, path: str = "/v1/messages", **changes: Any) -> CallRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return MESSAGES.read_request(_head(path, **changes), raw)


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/messages", "chat"),
        ("/v1/messages/", "chat"),
        ("/V1/Messages", "chat"),
        ("/anthropic/v1/messages", "chat"),
        ("/api/anthropic/v1/messages", "chat"),
        ("/v1/messages/count_tokens", "count_tokens"),
        ("/anthropic/v1/messages/count_tokens", "count_tokens"),
        ("/v1/complete", "text_completion"),
        (f"{VERTEX}/claude-sonnet-4-5@20250929:rawPredict", "chat"),
        (f"{VERTEX}/claude-sonnet-4-5%4020250929:streamRawPredict", "chat"),
        (f"{VERTEX}/count-tokens:rawPredict", "count_tokens"),
        ("/v1/messages/batches", "batches"),
        ("/v1/messages/batches/msgbatch_1/cancel", "batches"),
    ],
)
def test_calls_are_claimed_by_their_path_and_told_apart(path: str, operation: str) -> None:
    assert MESSAGES.claims(_head(path))
    assert _request({}, path).operation == operation


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages/batches"),
        ("GET", "/v1/messages/batches/msgbatch_1"),
        ("GET", "/v1/messages/batches/msgbatch_1/results"),
        ("DELETE", "/v1/messages/batches/msgbatch_1"),
    ],
)
def test_whatever_is_done_with_batches_is_claimed(method: str, path: str) -> None:
    assert MESSAGES.claims(_head(path, method=method))
    request = _request(b"", path, method=method)
    assert request == CallRequest("batches", states_usage=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/other"),
        ("POST", "/v1/messages/batched"),
        ("POST", "/v1/threads/thread_1/messages"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("GET", "/v1/models"),
        ("POST", "/v1/files"),
        ("POST", "/model/anthropic.claude-sonnet-4/invoke"),
        ("POST", "/v1/projects/p/locations/l/publishers/google/models/gemini:generateContent"),
        ("POST", "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict"),
        ("POST", f"{VERTEX}/claude:predict"),
        ("POST", "/"),
        ("POST", ""),
    ],
)
def test_other_calls_are_not_claimed(method: str, path: str) -> None:
    assert not MESSAGES.claims(_head(path, method=method))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "m"}, CallRequest("chat", "m")),
        ({"model": "m", "stream": False}, CallRequest("chat", "m")),
        ({"model": "m", "stream": True}, CallRequest("chat", "m", True)),
        ({"model": "m", "stream": 1}, CallRequest("chat", "m")),
        ({"model": "m", "temperature": 0}, CallRequest("chat", "m", samples=False)),
        ({"model": "m", "temperature": 1.0}, CallRequest("chat", "m")),
        ({"model": ["m"]}, CallRequest("chat")),
        (b"", CallRequest("chat", problem="request has no body")),
        (b"{", CallRequest("chat", problem="request body is no JSON object")),
        ([1], CallRequest("chat", problem="request body is no JSON object")),
    ],
    ids=str,
)
def test_requests_are_read(body: object, expected: CallRequest) -> None:
    assert _request(body) == expected


@pytest.mark.parametrize(
    "provider",
    [p for p in ProviderRegistry.builtin() if MESSAGES.name in p.dialects],
    ids=lambda p: p.name,
)
def test_at_every_provider_that_speaks_it_a_message_is_nobody_elses(provider: Provider) -> None:
    path = f"{provider.base_paths[MESSAGES.name]}/v1/messages"
    assert dialect_for(provider.dialects, _head(path)).name == MESSAGES.name
    vertex = dialect_for(provider.dialects, _head(f"{VERTEX}/claude:streamRawPredict"))
    assert vertex.name == MESSAGES.name


def test_a_call_at_an_address_of_somebodys_own_is_a_message() -> None:
    assert _request({"model": "m", "stream": True}, "/llm/ask") == CallRequest("chat", "m", True)


@pytest.mark.parametrize(
    ("method", "body", "model", "stream"),
    [
        ("rawPredict", {}, "claude@1", False),
        ("streamRawPredict", {"stream": True}, "claude@1", True),
        ("streamRawPredict", {}, "claude@1", True),
        ("rawPredict", {"model": "other", "stream": True}, "claude@1", True),
        ("streamRawPredict", b"{", "claude@1", True),
    ],
)
def test_on_vertex_the_path_names_model_and_stream(
    method: str, body: object, model: str, stream: bool
) -> None:
    request = _request(body, f"{VERTEX}/claude%401:{method}")
    assert (request.model, request.stream) == (model, stream)


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", f"{VERTEX}/count-tokens:rawPredict"])
def test_counting_tokens_states_no_usage_and_always_answers_the_same(path: str) -> None:
    expected = CallRequest("count_tokens", "m", states_usage=False, samples=False)
    assert _request({"model": "m"}, path) == expected


def test_a_text_completion_states_no_usage() -> None:
    expected = CallRequest("text_completion", "m", True, states_usage=False)
    assert _request({"model": "m", "stream": True}, "/v1/complete") == expected


@pytest.mark.parametrize(
    ("requests", "model"),
    [
        ([{"params": {"model": "m"}}, {"params": {"model": "m"}}], "m"),
        ([{"params": {"model": "m"}}, {"params": {"model": "n"}}], ""),
        ([{"params": 7}, 7], ""),
        ([], ""),
        (7, ""),
    ],
    ids=["one", "two", "nonsense", "none", "no list"],
)
def test_a_batch_asks_for_the_model_that_all_its_requests_name(requests: Any, model: str) -> None:
    request = _request({"requests": requests}, "/v1/messages/batches")
    assert request == CallRequest("batches", model, states_usage=False)
