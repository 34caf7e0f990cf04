import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remora.policy.condition import BoundInputs, Condition
from remora.policy.condition_fields import MEMBERS, VARIABLES
from remora.records import Attribution
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.model.exchange import Headers, RequestHead
from remora_sidecar.policy.condition_input import (
    MAX_HEADERS,
    ConditionPod,
    condition_inputs,
    shown_headers,
)

_HEADERS: Headers = [(b"Content-Type", b"application/json"), (b"X-Team", b"blue")]
_BODY = {
    "model": "gpt-4o",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "Hi"}],
    "tools": [{"type": "function", "function": {"name": "search"}}],
}


def _inputs(needs: set[str], body: object = _BODY) -> dict[str, Any]:
    head = RequestHead("POST", "api.openai.com", "/v1/chat/completions", "", _HEADERS)
    made = condition_inputs(
        needs,
        RequestView(head, json.dumps(body).encode()),
        provider="openai",
        dialect="openai-chat",
        operation="chat",
        model="gpt-4o",
        stream=True,
        headers=_HEADERS,
        attribution=Attribution(
            session_id="s", data_id="d", combo_id="c", agent_id="a", task_id="t"
        ),
        pod=ConditionPod("p", "n", {"app": "research"}),
        now=datetime(2026, 11, 21, tzinfo=UTC),
    )
    return dict(made)


@pytest.mark.parametrize(
    "text",
    [
        'request.provider == "openai" && request.dialect == "openai-chat"',
        'request.operation == "chat" && request.model == "gpt-4o" && request.stream',
        'request.messages[0].role == "user" && request.messages[0].content == "Hi"',
        'request.tools == ["search"]',
        "request.max_tokens == 5",
        "request.estimated_input_tokens > 0",
        'request.headers["x-team"] == "blue" && has(request.headers.absent) == false',
        'session.id == "s" && session.data_id == "d"',
        'session.combo_id == "c" && session.agent_id == "a"',
        'task.id == "t"',
        'pod.name == "p" && pod.namespace == "n" && pod.labels["app"] == "research"',
        'now == timestamp("2026-11-21T00:00:00Z")',
    ],
)
def test_conditions_see_the_call(text: str) -> None:
    condition = Condition.compile(text)
    assert condition.holds(BoundInputs(_inputs(set(condition.needs))))


def test_a_limit_that_the_request_does_not_state_is_not_there() -> None:
    condition = Condition.compile("has(request.max_tokens)")
    assert not condition.holds(_inputs({"max_tokens"}, body={}))


def test_every_member_of_the_language_is_given() -> None:
    inputs = _inputs(set(MEMBERS["request"]))
    assert {name: set(inputs[name]) for name in MEMBERS} == {
        name: set(members) for name, members in MEMBERS.items()
    }
    assert set(inputs) == set(VARIABLES)


def test_what_is_not_needed_is_not_read() -> None:
    class Unread:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(name)

    made = condition_inputs(
        {"model"},
        Unread(),  # type: ignore[arg-type]
        provider="openai",
        dialect="openai-chat",
        operation="chat",
        model="gpt-4o",
        stream=False,
        headers=[],
        attribution=Attribution(),
        pod=ConditionPod(),
        now=datetime(2026, 11, 21, tzinfo=UTC),
    )
    assert Condition.compile('request.model == "gpt-4o"').holds(made)


@pytest.mark.parametrize(
    "name",
    ["User-Agent", "X-Team", "x-stainless-lang", "anthropic-version", "Anthropic-Beta",
        "OpenAI-Organization", "OpenAI-Project", "OpenAI-Beta", "content-type"],
)  # fmt: skip
def test_header_fields_that_say_who_calls_how_are_shown(name: str) -> None:
    assert shown_headers([(name.encode(), b"value")]) == {name.lower(): "value"}


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "X-API-Key", "x-goog-api-key", "api-key", "Cookie",
        "X-Amz-Security-Token", "X-Amz-Signature", "x-auth", "X-Forwarded-Authorization",
        "x-vault-token", "x-csrf", "x-client-secret", "x-session-id", "ocp-apim-subscription-key"],
)  # fmt: skip
def test_header_fields_that_may_hold_a_credential_are_not_shown(name: str) -> None:
    assert shown_headers([(name.encode(), b"sk-secret")]) == {}


def test_headers_are_bounded_and_the_first_of_a_name_counts() -> None:
    assert shown_headers([(b"X-A", b"1"), (b"x-a", b"2")]) == {"x-a": "1"}
    assert len(shown_headers([(b"x-%d" % n, b"") for n in range(100)])) == MAX_HEADERS
    assert len(shown_headers([(b"x-a", b"a" * 5000)])["x-a"]) == 1024


def test_the_page_names_every_variable_and_member() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policy-conditions.md").read_text()
    named = set(re.findall(r"^\| `([\w.]+)` ", page, re.MULTILINE))
    members = {f"{variable}.{name}" for variable, names in MEMBERS.items() for name in names}
    assert named == members | {"now"}


def test_every_example_of_the_page_compiles() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policy-conditions.md").read_text()
    examples = re.findall(r"^    (.+)$", page, re.MULTILINE)
    assert len(examples) > 5
    for example in examples:
        Condition.compile(example)
