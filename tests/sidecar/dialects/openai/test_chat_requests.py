import json
from typing import Any

import pytest

from remora.records import Usage
from remora_sidecar.dialects.base import AnswerFacts, CallRequest
from remora_sidecar.dialects.openai.chat import OpenAIChat
from remora_sidecar.model.exchange import AnswerHead, RequestHead

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
        ("DELETE", "/v1/chat/completions"),
        ("PUT", "/v1/chat/completions/chatcmpl-1"),
        ("POST", "/v1/chat/completions/chatcmpl-1/messages"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages/1"),
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


@pytest.mark.parametrize(
    ("method", "path", "operation", "reads_back"),
    [
        ("GET", "", "chat.completions.list", False),
        ("GET", "/chatcmpl-1", "chat.completions.retrieve", True),
        ("GET", "/chatcmpl-1/", "chat.completions.retrieve", True),
        ("GET", "/chatcmpl-1/messages", "chat.completions.messages", False),
        ("POST", "/chatcmpl-1", "chat.completions.update", True),
        ("DELETE", "/chatcmpl-1", "chat.completions.delete", False),
    ],
)
def test_what_is_done_with_stored_completions_is_told_apart(
    method: str, path: str, operation: str, reads_back: bool
) -> None:
    head = _head(f"/v1/chat/completions{path}", method=method)
    assert CHAT.claims(head)
    expected = CallRequest(operation, states_usage=reads_back, reads_back=reads_back)
    assert _request(b"", head) == expected


def _answered(request: CallRequest, answer: object) -> AnswerFacts:
    json_type = [(b"content-type", b"application/json")]
    reader = CHAT.answer_reader(AnswerHead(200, json_type), request)
    reader.feed(json.dumps(answer).encode())
    return reader.finish()


def test_a_stored_completion_states_the_usage_of_the_call_that_made_it() -> None:
    request = _request(b"", _head("/v1/chat/completions/chatcmpl-1", method="GET"))
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    facts = _answered(request, {"id": "chatcmpl-1", "model": "m", "usage": usage})
    assert (facts.usage, facts.response_id, facts.pending) == (Usage(10, 5), "chatcmpl-1", False)


def test_lists_of_stored_completions_owe_no_usage() -> None:
    request = _request(b"", _head(method="GET"))
    facts = _answered(request, {"object": "list", "data": [{"id": "chatcmpl-1"}]})
    assert (facts.usage, facts.usage_problem) == (None, "")
