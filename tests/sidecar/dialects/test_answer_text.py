"""The text of answers of every dialect, as checks see it."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy.routing import PROMPT_OPERATIONS
from remora.testing.transcripts import Transcript, find_corpus, load_transcripts
from remora_sidecar.dialects.answer_text import AnswerText
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.dialects.said_text import LIMIT_CHARACTERS, SaidText
from remora_sidecar.model.exchange import AnswerHead, RequestHead

CORPUS = find_corpus(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[3])
SSE = [(b"content-type", b"text/event-stream")]


def said(dialect: str, body: bytes, *, stream: bool = False, step: int = 0) -> SaidText:
    """Read an answer whole, or in steps of so many bytes."""
    text = AnswerText(AnswerHead(200, SSE if stream else []), dialect, stream=stream)
    for at in range(0, len(body), step or len(body) or 1):
        text.feed(body[at : at + (step or len(body))])
    return text.finish()


def events(*values: object) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


ANSWERS = {
    "openai-chat": {"choices": [{"message": {"content": "Hi there"}}]},
    "openai-chat, parts": {
        "choices": [{"message": {"content": [{"type": "text", "text": "Hi there"}]}}]
    },
    "openai-chat, several choices": {
        "choices": [
            {"index": 1, "message": {"content": "Other"}},
            {"index": 0, "message": {"content": "Hi there", "reasoning_content": "hm"}},
        ]
    },
    "openai-completions": {"choices": [{"text": "Hi there"}]},
    "openai-responses": {
        "object": "response",
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Hi there"}]},
        ],
    },
    "anthropic-messages": {
        "type": "message",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi there"}],
    },
    "gemini-generate": {
        "candidates": [
            {"content": {"parts": [{"text": "hm", "thought": True}, {"text": "Hi there"}]}}
        ]
    },
    "bedrock-converse": {"output": {"message": {"content": [{"text": "Hi "}, {"text": "there"}]}}},
    "bedrock-invoke": {"generation": "Hi there", "prompt_token_count": 1},
    "bedrock-invoke, titan": {"results": [{"outputText": "Hi there"}]},
    "cohere-chat": {"message": {"content": [{"type": "text", "text": "Hi there"}]}},
    "cohere-chat, first version": {"text": "Hi there", "chat_history": []},
    "ollama-chat": {"message": {"role": "assistant", "content": "Hi there"}, "done": True},
    "ollama-chat, completion": {"response": "Hi there", "done": True},
}
STREAMS = {
    "openai-chat": (
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "Hi "}}]},
        {"choices": [{"delta": {"content": "there"}}]},
        {"choices": []},
    ),
    "openai-responses": (
        {"type": "response.created", "response": {"output": []}},
        {"type": "response.output_text.delta", "delta": "Hi "},
        {"type": "response.output_text.delta", "delta": "there"},
        {
            "type": "response.completed",
            "response": {
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]
            },
        },
    ),
    "anthropic-messages": (
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi "}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "there"}},
    ),
    "gemini-generate": (
        {"candidates": [{"content": {"parts": [{"text": "Hi "}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "there"}]}}]},
    ),
    "cohere-chat": (
        {"type": "content-delta", "delta": {"message": {"content": {"text": "Hi "}}}},
        {"type": "content-delta", "delta": {"message": {"content": {"text": "there"}}}},
    ),
}
TOOLS = {
    "openai-chat": {"choices": [{"message": {"content": None, "tool_calls": [{"id": "1"}]}}]},
    "openai-responses": {"output": [{"type": "function_call", "name": "f"}]},
    "anthropic-messages": {"type": "message", "content": [{"type": "tool_use", "name": "f"}]},
    "gemini-generate": {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]},
    "bedrock-converse": {"output": {"message": {"content": [{"toolUse": {"name": "f"}}]}}},
}


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.parametrize("step", [0, 1, 7])
def test_the_text_of_an_answer_is_what_the_model_said_and_nothing_else(
    case: str, step: int
) -> None:
    found = said(case.partition(",")[0], json.dumps(ANSWERS[case]).encode(), step=step)
    assert (found.text, found.calls_tools, found.is_refused) == ("Hi there", False, False)


@pytest.mark.parametrize("dialect", STREAMS)
@pytest.mark.parametrize("step", [0, 1, 13])
def test_the_text_of_a_stream_is_put_together_from_its_pieces(dialect: str, step: int) -> None:
    body = events(*STREAMS[dialect]) + b"data: [DONE]\n\n"
    assert said(dialect, body, stream=True, step=step).text == "Hi there"


@pytest.mark.parametrize("dialect", TOOLS)
def test_an_answer_that_calls_tools_says_so(dialect: str) -> None:
    found = said(dialect, json.dumps(TOOLS[dialect]).encode())
    assert found.calls_tools
    assert found.text == ""


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [{"message": {"content": None, "refusal": "No."}}]},
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
        {"promptFeedback": {"blockReason": "SAFETY"}},
    ],
)
def test_a_refusal_that_the_provider_names_is_one(value: object) -> None:
    assert said("openai-chat", json.dumps(value).encode()).is_refused


def test_more_text_than_the_limit_is_not_held() -> None:
    piece = "x" * (LIMIT_CHARACTERS // 4)
    stream = events(*[{"choices": [{"delta": {"content": piece}}]}] * 6)
    found = said("openai-chat", stream, stream=True, step=64 * 1024)
    assert found.is_partial
    assert len(found.text) == LIMIT_CHARACTERS


def test_an_answer_that_is_too_large_to_be_read_says_so() -> None:
    text = AnswerText(AnswerHead(200, []), "openai-chat", stream=False)
    for _ in range(5):
        text.feed(b'{"a": "' + b"x" * 1024 * 1024)
    text.finish()
    assert not text.is_readable


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "delta", "message", "content", "type", "output", "text", "candidates",
             "parts", "response", "refusal", "tool_calls", "bytes", "results", "index"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
))  # fmt: skip
def test_no_object_makes_reading_fail(value: object) -> None:
    found = SaidText()
    if isinstance(value, dict):
        found.take(value)
        found.take_event("chunk", value)
    assert isinstance(found.text, str)


@pytest.mark.skipif(CORPUS is None, reason="there are no recorded exchanges: set REMORA_CORPUS")
@pytest.mark.parametrize(
    "dialect",
    ["openai-chat", "openai-completions", "openai-responses", "anthropic-messages",
     "gemini-generate", "bedrock-converse", "bedrock-invoke"],
)  # fmt: skip
def test_nearly_every_recorded_answer_has_text_or_calls_tools(dialect: str) -> None:
    assert CORPUS is not None
    seen = Counter(
        outcome
        for transcript in load_transcripts(CORPUS, dialect)
        if (outcome := _of_recorded(transcript))
    )
    assert seen.total() > 30
    assert seen["something"] / seen.total() > 0.97, seen


def _of_recorded(transcript: Transcript) -> str:
    if transcript.status != 200:
        return ""
    fields = [(k.encode(), v.encode()) for k, v in transcript.request_headers]
    head = RequestHead(
        transcript.method, transcript.host, transcript.path, transcript.query, fields
    )
    request = DIALECTS[transcript.dialect].read_request(head, transcript.request_body)
    if request.operation not in PROMPT_OPERATIONS:
        return ""
    answer_head = AnswerHead(
        200, [(k.encode(), v.encode()) for k, v in transcript.response_headers]
    )
    text = AnswerText(answer_head, transcript.dialect, stream=transcript.stream)
    body = transcript.response_body
    for at in range(0, len(body), 173):
        text.feed(body[at : at + 173])
    found = text.finish()
    return "something" if found.text or found.calls_tools else "nothing"
