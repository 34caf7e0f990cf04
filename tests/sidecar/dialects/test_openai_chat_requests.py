import json
from typing import Any

import pytest

from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.openai_chat import OpenAIChat
from remora_sidecar.model.exchange import RequestHead

CHAT = OpenAIChat()


def _head(path: str = "/v1/chat/completions", **changes: Any) -> RequestHead:
    fields = {"method": "POST", "host": "api.openai.com", "query": "", "headers": []} | changes
    return RequestHead(path=path, **fields)


def _request(body: object, head: RequestHead | None = None) -> CallRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CHAT.read_request(head or _head(), raw)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/chat/completions/",
        "/api/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/gpt-4o/chat/completions",
        "/OpenAI/deployments/gpt-4o/Chat/Completions",
        "/v1beta/openai/chat/completions",
        "/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
    ],
)
def test_a_post_to_chat_completions_is_claimed_under_any_prefix(path: str) -> None:
    assert CHAT.claims(_head(path))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/chatcmpl-1"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/"),
    ],
)
def test_other_calls_are_not_claimed(method: str, path: str) -> None:
    assert not CHAT.claims(_head(path, method=method))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "m"}, CallRequest("chat", "m")),
        ({"model": "m", "stream": False}, CallRequest("chat", "m")),
        ({"model": "m", "stream": None}, CallRequest("chat", "m")),
        ({"model": "m", "stream": True}, CallRequest("chat", "m", True, False)),
        (
            {"model": "m", "stream": True, "stream_options": {"include_usage": True}},
            CallRequest("chat", "m", True, True),
        ),
        (
            {"model": "m", "stream": True, "stream_options": {"include_usage": False}},
            CallRequest("chat", "m", True, False),
        ),
        ({"stream": True, "stream_options": 7}, CallRequest("chat", "", True, False)),
        ({"model": ["m"]}, CallRequest("chat")),
        (b"", CallRequest("chat", problem="request has no body")),
        (b"{", CallRequest("chat", problem="request body is no JSON object")),
        ([1], CallRequest("chat", problem="request body is no JSON object")),
    ],
    ids=str,
)
def test_requests_are_read(body: object, expected: CallRequest) -> None:
    assert _request(body) == expected


def test_on_azure_the_deployment_is_the_model_whatever_the_body_says() -> None:
    head = _head("/openai/deployments/my%20gpt/chat/completions")
    assert _request({}, head).model == "my gpt"
    assert _request({"model": "other"}, head).model == "my gpt"
    assert _request(b"{", head).model == "my gpt"
