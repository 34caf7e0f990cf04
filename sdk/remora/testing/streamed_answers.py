"""One short streamed answer in every wire format that streams, event by event.

For tests of what happens between two events: each is cut into what a provider sends before the
model says anything, its first word, and the rest; with the error that a provider sends in between.
Written by hand after the providers' references; whole recordings are in `transcripts`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from remora.testing.aws_events import aws_chunk, aws_event, aws_exception

AWS_EVENTS = "application/vnd.amazon.eventstream"
JSON = "application/json"
LINES = "application/x-ndjson"
SSE = "text/event-stream"

_ASKED = {"messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An answer of one model, and the call that it answers.

    Attributes:
        dialect: Stable name such as ``openai-chat``.
        host: Of a provider that speaks it.
        target: Path and query of the call.
        asked: Its body.
        content_type: Of the answer.
        start: Events in which the model says nothing yet.
        output: The event with its first word.
        rest: Everything behind that; states 3 tokens in and 2 out.
        error: An event that says that it failed, and what has to follow.
        failure: Why, in the word that records have for it.
        usage_in_start: Tokens in and out that the start states; none where it states none.
    """

    dialect: str
    host: str
    target: str
    asked: bytes
    content_type: str
    start: tuple[bytes, ...]
    output: bytes
    rest: bytes
    error: bytes
    failure: str
    usage_in_start: tuple[int, int] | None = None

    @property
    def whole(self) -> bytes:
        """The answer as it should be."""
        return self.until_output + self.rest

    @property
    def before_output(self) -> bytes:
        """All that comes before the model says something."""
        return b"".join(self.start)

    @property
    def until_output(self) -> bytes:
        """All up to the model's first word, that included."""
        return self.before_output + self.output

    @property
    def content_types(self) -> tuple[tuple[str, str], ...]:
        """The answer's header field."""
        return (("Content-Type", self.content_type),)


def sse(value: Mapping[str, Any] | str, name: str = "", end: str = "\n") -> bytes:
    """Write a server-sent event, with lines that end as told."""
    data = value if isinstance(value, str) else json.dumps(value)
    lines = [f"event: {name}"] if name else []
    return "".join(line + end for line in (*lines, f"data: {data}", "")).encode()


def _named(value: Mapping[str, Any]) -> bytes:
    return sse(value, value["type"])


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _asking(**asked: object) -> bytes:
    return json.dumps(asked).encode()


def _chat(delta: Mapping[str, Any], **more: object) -> bytes:
    return sse({"model": "gpt-4o", "choices": [{"index": 0, "delta": delta, **more}]})


_OPENAI_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
_OPENAI_ERROR = {"error": {"type": "server_error", "message": "it broke"}}

_OPENAI_CHAT = StreamedAnswer(
    dialect="openai-chat",
    host="api.openai.com",
    target="/v1/chat/completions",
    asked=_asking(model="gpt-4o", **_ASKED, stream=True, stream_options={"include_usage": True}),
    content_type=SSE,
    start=(b": processing\n\n", _chat({"role": "assistant", "content": ""})),
    output=_chat({"content": "Hello"}),
    rest=_chat({}, finish_reason="stop")
    + sse({"choices": [], "usage": _OPENAI_USAGE})
    + sse("[DONE]"),
    error=sse(_OPENAI_ERROR),
    failure="server_error",
)


def _text(text: str, reason: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": reason}
    return sse({"object": "text_completion", "model": "m", "choices": [choice], **more})


_OPENAI_COMPLETIONS = StreamedAnswer(
    dialect="openai-completions",
    host="api.openai.com",
    target="/v1/completions",
    asked=_asking(model="m", prompt="hi", stream=True),
    content_type=SSE,
    start=(_text(""),),
    output=_text("Hello"),
    rest=_text("", "stop", usage=_OPENAI_USAGE) + sse("[DONE]"),
    error=sse(_OPENAI_ERROR),
    failure="server_error",
)


def _response(status: str, **more: object) -> Mapping[str, Any]:
    return {"id": "resp_1", "model": "gpt-4o", "status": status, "error": None, **more}


_OPENAI_RESPONSES = StreamedAnswer(
    dialect="openai-responses",
    host="api.openai.com",
    target="/v1/responses",
    asked=_asking(model="gpt-4o", input="hi", stream=True),
    content_type=SSE,
    start=(
        _named({"type": "response.created", "response": _response("in_progress")}),
        _named({"type": "response.in_progress", "response": _response("in_progress")}),
        _named(
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "message", "role": "assistant", "content": []},
            }
        ),
    ),
    output=_named({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"}),
    rest=_named(
        {
            "type": "response.completed",
            "response": _response("completed", usage={"input_tokens": 3, "output_tokens": 2}),
        }
    ),
    error=_named({"type": "error", "code": "rate_limit_exceeded", "message": "too many"}),
    failure="rate_limited",
)

_MESSAGE_START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
}
_BLOCK_START = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text", "text": ""},
}
_BLOCK_DELTA = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "Hello"},
}
_MESSAGE_END: tuple[Mapping[str, Any], ...] = (
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 2},
    },
)
_MESSAGE_STOP: Mapping[str, Any] = {"type": "message_stop"}
_OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}

_ANTHROPIC_MESSAGES = StreamedAnswer(
    dialect="anthropic-messages",
    host="api.anthropic.com",
    target="/v1/messages",
    asked=_asking(model="claude-sonnet-4-5", **_ASKED, max_tokens=9, stream=True),
    content_type=SSE,
    start=(_named(_MESSAGE_START), _named({"type": "ping"}), _named(_BLOCK_START)),
    output=_named(_BLOCK_DELTA),
    rest=b"".join(map(_named, (*_MESSAGE_END, _MESSAGE_STOP))),
    error=_named({"type": "error", "error": _OVERLOADED}),
    failure="overloaded",
    usage_in_start=(3, 1),
)


def _candidate(text: str, **more: object) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    model = {"modelVersion": "gemini-2.5-flash"}
    return {"candidates": [{"index": 0, "content": content, **more}], **model}


_GEMINI_END = {
    **_candidate("", finishReason="STOP"),
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
}
_GEMINI_ERROR = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}
_GEMINI_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
_GEMINI_ASKED = _asking(contents=[{"parts": [{"text": "hi"}]}])

_GEMINI_EVENTS = StreamedAnswer(
    dialect="gemini-generate",
    host="generativelanguage.googleapis.com",
    target=f"{_GEMINI_PATH}?alt=sse",
    asked=_GEMINI_ASKED,
    content_type=SSE,
    start=(sse(_candidate(""), end="\r\n"),),
    output=sse(_candidate("Hello"), end="\r\n"),
    rest=sse(_GEMINI_END, end="\r\n"),
    error=sse(_GEMINI_ERROR, end="\r\n"),
    failure="overloaded",
)
_GEMINI_ARRAY = StreamedAnswer(
    dialect="gemini-generate",
    host="generativelanguage.googleapis.com",
    target=_GEMINI_PATH,
    asked=_GEMINI_ASKED,
    content_type=JSON,
    start=(b"[" + json.dumps(_candidate(""), indent=2).encode(),),
    output=b",\r\n" + json.dumps(_candidate("Hello"), indent=2).encode(),
    rest=b",\r\n" + json.dumps(_GEMINI_END, indent=2).encode() + b"]",
    error=b",\r\n" + json.dumps(_GEMINI_ERROR, indent=2).encode() + b"]",
    failure="overloaded",
)

_BEDROCK_HOST = "bedrock-runtime.us-east-1.amazonaws.com"

_BEDROCK_CONVERSE = StreamedAnswer(
    dialect="bedrock-converse",
    host=_BEDROCK_HOST,
    target="/model/us.amazon.nova-lite-v1%3A0/converse-stream",
    asked=_asking(messages=[{"role": "user", "content": [{"text": "hi"}]}]),
    content_type=AWS_EVENTS,
    start=(aws_event("messageStart", {"role": "assistant"}),),
    output=aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}),
    rest=aws_event("contentBlockStop", {"contentBlockIndex": 0})
    + aws_event("messageStop", {"stopReason": "end_turn"})
    + aws_event("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}),
    error=aws_exception("throttlingException", "too many"),
    failure="rate_limited",
)
_BEDROCK_INVOKE = StreamedAnswer(
    dialect="bedrock-invoke",
    host=_BEDROCK_HOST,
    target="/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke-with-response-stream",
    asked=_asking(anthropic_version="bedrock-2023-05-31", **_ASKED, max_tokens=9),
    content_type=AWS_EVENTS,
    start=(aws_chunk(_MESSAGE_START), aws_chunk(_BLOCK_START)),
    output=aws_chunk(_BLOCK_DELTA),
    rest=b"".join(map(aws_chunk, _MESSAGE_END))
    + aws_chunk(
        {
            **_MESSAGE_STOP,
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 2},
        }
    ),
    error=aws_exception("modelStreamErrorException", "it broke"),
    failure="server_error",
    usage_in_start=(3, 1),
)


def _cohere_content(kind: str, content: Mapping[str, Any]) -> bytes:
    return _named({"type": kind, "index": 0, "delta": {"message": {"content": content}}})


_COHERE_TOKENS = {"tokens": {"input_tokens": 3, "output_tokens": 2}}

_COHERE = StreamedAnswer(
    dialect="cohere-chat",
    host="api.cohere.com",
    target="/v2/chat",
    asked=_asking(model="command-a-03-2025", **_ASKED, stream=True),
    content_type=SSE,
    start=(
        _named(
            {
                "type": "message-start",
                "id": "1",
                "delta": {"message": {"role": "assistant", "content": []}},
            }
        ),
        _cohere_content("content-start", {"type": "text", "text": ""}),
    ),
    output=_cohere_content("content-delta", {"text": "Hello"}),
    rest=_named({"type": "content-end", "index": 0})
    + _named(
        {
            "type": "message-end",
            "delta": {"finish_reason": "COMPLETE", "usage": _COHERE_TOKENS},
        }
    ),
    error=_named({"type": "message-end", "delta": {"finish_reason": "ERROR"}}),
    failure="server_error",
)
_COHERE_LINES = StreamedAnswer(
    dialect="cohere-chat",
    host="api.cohere.com",
    target="/v1/chat",
    asked=_asking(model="command-r", message="hi", stream=True),
    content_type="application/stream+json",
    start=(_line({"event_type": "stream-start", "generation_id": "1", "is_finished": False}),),
    output=_line({"event_type": "text-generation", "text": "Hello", "is_finished": False}),
    rest=_line(
        {
            "event_type": "stream-end",
            "is_finished": True,
            "finish_reason": "COMPLETE",
            "response": {"text": "Hello", "meta": _COHERE_TOKENS},
        }
    ),
    error=_line({"event_type": "stream-error", "message": "it broke", "is_finished": True}),
    failure="server_error",
)


def _ollama(text: str, **more: object) -> bytes:
    message = {"role": "assistant", "content": text}
    return _line({"model": "llama3.2", "message": message, "done": False, **more})


_OLLAMA = StreamedAnswer(
    dialect="ollama-chat",
    host="ollama.com",
    target="/api/chat",
    asked=_asking(model="llama3.2", **_ASKED),
    content_type=LINES,
    start=(_ollama(""),),
    output=_ollama("Hello"),
    rest=_ollama("", done=True, done_reason="stop", prompt_eval_count=3, eval_count=2),
    error=_line({"error": "the runner has stopped"}),
    failure="server_error",
)

STREAMED_ANSWERS: Mapping[str, StreamedAnswer] = MappingProxyType(
    {
        "openai-chat": _OPENAI_CHAT,
        "openai-completions": _OPENAI_COMPLETIONS,
        "openai-responses": _OPENAI_RESPONSES,
        "anthropic-messages": _ANTHROPIC_MESSAGES,
        "gemini-generate events": _GEMINI_EVENTS,
        "gemini-generate array": _GEMINI_ARRAY,
        "bedrock-converse": _BEDROCK_CONVERSE,
        "bedrock-invoke": _BEDROCK_INVOKE,
        "cohere-chat": _COHERE,
        "cohere-chat lines": _COHERE_LINES,
        "ollama-chat": _OLLAMA,
    }
)
"""One for each wire format, by dialect and, where that has two, framing."""
