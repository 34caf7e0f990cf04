import json
from typing import Any

import pytest

from remora.records import Usage
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.openai.completions import OpenAICompletions
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import Refusal

COMPLETIONS = OpenAICompletions()
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ASKED = {"stream": True, "stream_options": {"include_usage": True}}


def _head(path: str = "/v1/completions", method: str = "POST") -> RequestHead:
    return RequestHead(method, "api.openai.com", path, "", [])


def _request(asked: object, path: str = "/v1/completions") -> CallRequest:
    return COMPLETIONS.read_request(_head(path), json.dumps(asked).encode())


def _stream(*chunks: Any, asked: Any = ASKED, done: bool = True) -> AnswerFacts:
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    head = AnswerHead(200, [(b"content-type", b"text/event-stream")])
    reader = COMPLETIONS.answer_reader(head, _request(asked))
    reader.feed(body + b"data: [DONE]\n\n" * done)
    return reader.finish()


def _text(text: str, index: int = 0, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "text": text, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("method", "path", "claimed"),
    [
        ("POST", "/v1/completions", True),
        ("POST", "/completions/", True),
        ("POST", "/openai/deployments/d/completions", True),
        ("POST", "/v1/fim/completions", True),
        ("POST", "/beta/completions", True),
        ("POST", "/inference/v1/Completions", True),
        ("GET", "/v1/completions", False),
        ("POST", "/v1/chat/completions", False),
        ("POST", "/v1/Chat/Completions/", False),
        ("POST", "/v1/completions/1", False),
        ("POST", "/v1/complete", False),
    ],
)
def test_completions_of_text_are_claimed_under_any_prefix(
    method: str, path: str, claimed: bool
) -> None:
    assert COMPLETIONS.claims(_head(path, method)) is claimed


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"model": "m"}, CallRequest("text_completion", "m")),
        ({"model": "m", "stream": True}, CallRequest("text_completion", "m", True, False)),
        ({"model": "m", **ASKED}, CallRequest("text_completion", "m", True, True)),
        ({"temperature": 0}, CallRequest("text_completion", samples=False)),
        ({"temperature": 0, "n": 2}, CallRequest("text_completion")),
        ({"temperature": 0, "best_of": 3}, CallRequest("text_completion")),
        ({"temperature": 0, "n": "2"}, CallRequest("text_completion", samples=False)),
        ({"seed": 1}, CallRequest("text_completion", samples=False)),
        ([], CallRequest("text_completion", problem="request body is no JSON object")),
    ],
    ids=str,
)
def test_requests_are_read(asked: object, expected: CallRequest) -> None:
    assert _request(asked) == expected


def test_on_azure_the_deployment_is_the_model() -> None:
    assert _request({"model": "x"}, "/openai/deployments/mine/completions").model == "mine"


def test_a_stream_of_text_is_read() -> None:
    facts = _stream(
        {"id": "cmpl-1", "model": "m-2"} | _text("a"),
        _text("b", 1, "length"),
        _text("", 0, "stop"),
        {"choices": [], "usage": USAGE},
    )
    assert facts == AnswerFacts(
        model="m-2",
        finish_reason="stop",
        response_id="cmpl-1",
        usage=Usage(10, 5),
        completeness=Completeness.WHOLE,
    )


def test_mistrals_completions_in_the_middle_answer_as_chats_do() -> None:
    chunk = {"model": "codestral", "choices": [{"index": 0, "delta": {"content": "x"}}]}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
    facts = _stream(chunk, last, asked={"stream": True})
    assert (facts.finish_reason, facts.usage) == ("stop", Usage(10, 5))


def test_output_begins_with_the_first_text() -> None:
    reader = COMPLETIONS.answer_reader(AnswerHead(200, []), _request(ASKED))
    assert not reader.feed(b'data: {"choices":[{"index":0,"text":""}]}\n\n')
    assert reader.feed(b'data: {"choices":[{"index":0,"text":"a"}]}\n\n')
    assert not reader.ended


def test_missing_usage_is_told_only_where_it_was_asked_for() -> None:
    assert _stream(_text("a")).usage_problem.startswith("searched usage, x_groq.usage and ")
    assert _stream(_text("a"), done=False).usage_problem == "answer was cut before it stated usage"
    assert _stream(_text("a"), asked={"stream": True}).usage_problem == ""


def test_a_refusal_has_openais_shape() -> None:
    refusal = Refusal(status=429, code="RATE_LIMITED", message="later", type="rate_limit")
    assert "error" in json.loads(COMPLETIONS.refuse(refusal, "1").body)
