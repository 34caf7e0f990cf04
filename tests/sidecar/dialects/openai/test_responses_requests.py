import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.openai.responses import OpenAIResponses
from remora_sidecar.model.exchange import RequestHead

RESPONSES = OpenAIResponses()
CHAT = "chat"


def _head(path: str = "/v1/responses", **changes: Any) -> RequestHead:
    fields = {"method": "POST", "host": "api.openai.com", "query": "", "headers": []} | changes
    return RequestHead(path=path, **fields)


def _request(body: object, head: RequestHead | None = None) -> CallRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RESPONSES.read_request(head or _head(), raw)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/v1/responses/",
        "/responses",
        "/api/v1/responses",
        "/openai/responses",
        "/openai/v1/responses",
        "/OpenAI/V1/Responses",
        "/openai/deployments/gpt-4o/responses",
        "/api/projects/p/openai/v1/responses",
        "/inference/v1/responses",
        "/responses/v1/responses",
    ],
)
def test_a_post_to_responses_is_claimed_under_any_prefix(path: str) -> None:
    assert RESPONSES.claims(_head(path))
    assert _request({"model": "m"}, _head(path)).operation == CHAT


def test_perplexity_has_a_name_of_its_own_for_it() -> None:
    made = _head("/v1/agent", host="api.perplexity.ai")
    assert _request({"model": "m"}, made) == CallRequest(CHAT, "m")
    read = _head("/v1/agent/resp_1", host="api.perplexity.ai", method="GET")
    assert RESPONSES.read_request(read, b"").reads_back
    assert not RESPONSES.claims(_head("/v1/agent"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses"),
        ("DELETE", "/v1/responses"),
        ("POST", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/cancel"),
        ("DELETE", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/responses/resp_1/input_items/more"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/conversations"),
        ("GET", "/v1/conversations/conv_1/items"),
        ("POST", "/v1/myresponses"),
        ("POST", "/"),
        ("POST", ""),
    ],
)
def test_other_calls_are_not_claimed(method: str, path: str) -> None:
    assert not RESPONSES.claims(_head(path, method=method))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "m"}, CallRequest(CHAT, "m")),
        ({"model": "m", "stream": False}, CallRequest(CHAT, "m")),
        ({"model": "m", "stream": True}, CallRequest(CHAT, "m", stream=True)),
        ({"model": "m", "background": True}, CallRequest(CHAT, "m")),
        ({"model": "m", "temperature": 0}, CallRequest(CHAT, "m", samples=False)),
        ({"model": "m", "temperature": 1}, CallRequest(CHAT, "m")),
        ({"model": ["m"], "stream": 1}, CallRequest(CHAT)),
        ({"prompt": {"id": "pmpt_1"}}, CallRequest(CHAT)),
        (b"", CallRequest(CHAT, problem="request has no body")),
        (b"{", CallRequest(CHAT, problem="request body is no JSON object")),
        ([1], CallRequest(CHAT, problem="request body is no JSON object")),
    ],
    ids=str,
)
def test_requests_are_read(body: object, expected: CallRequest) -> None:
    assert _request(body) == expected


def test_at_another_address_a_response_is_made() -> None:
    assert _request({"model": "m"}, _head("/my/responses-api")) == CallRequest(CHAT, "m")


def test_where_the_path_names_a_deployment_it_is_the_model() -> None:
    head = _head("/openai/deployments/my%20gpt/responses")
    assert _request({"model": "other"}, head).model == "my gpt"


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        (
            "POST",
            "/v1/responses/compact",
            "",
            CallRequest("responses.compact", "m"),
        ),
        (
            "POST",
            "/v1/responses/input_tokens",
            "",
            CallRequest("count_tokens", "m", states_usage=False, samples=False),
        ),
        (
            "GET",
            "/v1/responses/resp_1",
            "",
            CallRequest("responses.retrieve", reads_back=True),
        ),
        (
            "GET",
            "/openai/responses/resp_1/",
            "api-version=2025-04-01-preview&stream=false",
            CallRequest("responses.retrieve", reads_back=True),
        ),
        (
            "GET",
            "/v1/responses/resp_1",
            "stream=true&starting_after=7",
            CallRequest("responses.retrieve", stream=True, reads_back=True),
        ),
        (
            "POST",
            "/v1/responses/resp_1/cancel",
            "",
            CallRequest("responses.cancel", states_usage=False, reads_back=True),
        ),
        (
            "DELETE",
            "/v1/responses/resp_1",
            "",
            CallRequest("responses.delete", states_usage=False),
        ),
        (
            "GET",
            "/v1/responses/resp_1/input_items",
            "limit=5&stream=true",
            CallRequest("responses.input_items", states_usage=False),
        ),
    ],
    ids=["compact", "count", "get", "Azure", "stream", "cancel", "delete", "input"],
)
def test_what_else_is_done_with_responses_is_told_apart(
    method: str, path: str, query: str, expected: CallRequest
) -> None:
    head = _head(path, method=method, query=query)
    assert RESPONSES.claims(head)
    body = b'{"model": "m"}' if expected.model else b""
    assert RESPONSES.read_request(head, body) == expected


@given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT", ""]),
    st.text() | st.text("/responses*cancel%", max_size=40),
    st.text(),
    st.binary(),
)
def test_any_request_is_taken(method: str, path: str, query: str, body: bytes) -> None:
    for at in (path, f"/v1/responses{path}"):
        head = _head(at, method=method, query=query)
        RESPONSES.claims(head)
        RESPONSES.read_request(head, body)
        RESPONSES.read_request(head, b"{" + body)
