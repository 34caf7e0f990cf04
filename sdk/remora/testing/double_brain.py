"""A small provider that speaks openai-chat: enough for the demo and for real SDK clients.

What it answers depends on the request alone (and the clock's second), so that demos and
tests see the same every time:

- a model named ``error-429`` or a last message with ``[[error:429]]``: that error (any 4xx, 5xx);
- a last message with ``[[endless]]``, asked as a stream: words without end;
- tools offered and the last message not a tool's: a call of the first tool;
- anything else: a sentence about the question.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from remora.clock import Clock, SystemClock
from remora.testing.double_answer import Answer, Framing, Repeated, json_answer
from remora.testing.double_request import ReceivedRequest

_ERROR_MARK = re.compile(r"\[\[error:(\d{3})\]\]")
_ERROR_MODEL = re.compile(r"error-(\d{3})")
_ERRORS = {
    400: ("invalid_request_error", None, "The request could not be understood."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
}
_SERVER_ERROR = ("server_error", None, "The server had an error while processing your request.")
_SSE = (("content-type", "text/event-stream; charset=utf-8"),)


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _event(value: object) -> bytes:
    return b"data: " + _compact(value) + b"\n\n"


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, dict))


def _tokens(text: str) -> int:
    return max(1, (len(text) + 3) // 4)


def _error(status: int, request_id: str) -> Answer:
    kind, code, message = _ERRORS.get(status, _SERVER_ERROR)
    error = {"message": message, "type": kind, "param": None, "code": code}
    headers = [("x-request-id", request_id)]
    if status == 429:
        headers += [("retry-after", "1"), ("x-should-retry", "false")]
    return json_answer(_compact({"error": error}), status=status, headers=tuple(headers))


@dataclass(frozen=True, slots=True)
class _Question:
    """What the brain reads of a request."""

    model: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    stream: bool
    include_usage: bool
    fields: Mapping[str, Any]

    @property
    def last(self) -> Mapping[str, Any]:
        return self.messages[-1]

    @property
    def wants_tool(self) -> bool:
        return bool(self.tools) and self.last.get("role") != "tool"

    @property
    def error_status(self) -> int | None:
        match = _ERROR_MODEL.fullmatch(self.model) or _ERROR_MARK.search(_text(self.last))
        return int(match[1]) if match and 400 <= int(match[1]) < 600 else None


def _question(body: bytes) -> _Question | None:
    try:
        asked = json.loads(body)
        messages = tuple(asked["messages"])
        options = asked.get("stream_options") or {}
        tools = () if asked.get("tool_choice") == "none" else tuple(asked.get("tools") or ())
        stream = bool(asked.get("stream"))
        usage = bool(options.get("include_usage"))
        question = _Question(str(asked["model"]), messages, tools, stream, usage, asked)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return question if messages and all(isinstance(m, dict) for m in messages) else None


type Reply = Callable[[Mapping[str, Any]], str]
"""Gives the text that answers a request, whose JSON it is given."""


def _reply(question: _Question) -> str:
    if question.last.get("role") == "tool":
        return f"The tool says: {_text(question.last)[:200]}."
    words = _text(question.last).split()
    about = " ".join(words[:12]) or "nothing"
    return f"You asked about: {about}. A remora would hold on to that."


def _tool_call(question: _Question, identity: str) -> dict[str, Any]:
    function = question.tools[0].get("function") or {}
    properties = (function.get("parameters") or {}).get("properties") or {}
    arguments = {name: _text(question.last)[:40] for name in list(properties)[:1]}
    called = {"name": function.get("name", "tool"), "arguments": json.dumps(arguments)}
    return {"id": f"call_{identity}", "type": "function", "function": called}


@dataclass(frozen=True)
class OpenAIBrain:
    """Answers ``POST /v1/chat/completions``.

    Attributes:
        clock: Where ``created`` comes from.
        first_token_delay_s: Wait before the first byte of an answer.
        token_delay_s: Wait between the events of a stream.
        reply: What is said in place of a sentence about the question.
    """

    clock: Clock = field(default_factory=SystemClock)
    first_token_delay_s: float = 0.0
    token_delay_s: float = 0.0
    reply: Reply | None = None

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Answer one request."""
        identity = hashlib.sha256(request.body).hexdigest()[:24]
        question = _question(request.body)
        if question is None:
            return _error(400, f"req_{identity}")
        if (status := question.error_status) is not None:
            return _error(status, f"req_{identity}")
        if question.stream:
            return self._stream(question, identity)
        return self._whole(question, identity)

    def _common(self, question: _Question, identity: str, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{identity}",
            "object": kind,
            "created": self.clock.now_unix_ns() // 1_000_000_000,
            "model": question.model,
            "service_tier": "default",
            "system_fingerprint": "fp_remora",
        }

    def _message(self, question: _Question, identity: str) -> tuple[dict[str, Any], str]:
        if question.wants_tool:
            called = [_tool_call(question, identity)]
            return {"role": "assistant", "content": None, "tool_calls": called}, "tool_calls"
        text = _reply(question) if self.reply is None else self.reply(question.fields)
        return {"role": "assistant", "content": text}, "stop"

    def _whole(self, question: _Question, identity: str) -> Answer:
        message, finish = self._message(question, identity)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        answer = self._common(question, identity, "chat.completion")
        answer |= {"choices": [choice], "usage": _usage(question, message)}
        return Answer(
            headers=(("content-type", "application/json"), ("x-request-id", f"req_{identity}")),
            body=_compact(answer),
            before_head_s=self.first_token_delay_s,
        )

    def _stream(self, question: _Question, identity: str) -> Answer:
        common = self._common(question, identity, "chat.completion.chunk")
        if question.include_usage:
            common["usage"] = None
        if "[[endless]]" in _text(question.last):
            body: bytes | Repeated = Repeated(_event(_delta(common, {"content": "on and "})))
            cuts: tuple[int, ...] = ()
        else:
            events = self._events(question, identity, common)
            body, cuts = b"".join(events), _bounds(events)
        return Answer(
            headers=(*_SSE, ("x-request-id", f"req_{identity}")),
            body=body,
            framing=Framing.CHUNKED,
            cuts=cuts,
            before_first_byte_s=self.first_token_delay_s,
            between_chunks_s=self.token_delay_s,
        )

    def _events(self, question: _Question, identity: str, common: Mapping[str, Any]) -> list[bytes]:
        message, finish = self._message(question, identity)
        deltas = [{"role": "assistant", "content": ""}, *_deltas(message)]
        events = [_event(_delta(common, delta)) for delta in deltas]
        events.append(_event(_delta(common, {}, finish)))
        if question.include_usage:
            usage = _usage(question, message)
            events.append(_event({**common, "choices": [], "usage": usage}))
        return [*events, b"data: [DONE]\n\n"]


def _usage(question: _Question, message: Mapping[str, Any]) -> dict[str, Any]:
    prompt = sum(_tokens(_text(m)) + 4 for m in question.messages)
    completion = _tokens(_text(message) or json.dumps(message.get("tool_calls")))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _delta(
    common: Mapping[str, Any], delta: Mapping[str, Any], finish: str | None = None
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**common, "choices": [choice]}


def _deltas(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not message.get("tool_calls"):
        words = re.findall(r"\S+\s*", message["content"])
        return [{"content": word} for word in words]
    call = message["tool_calls"][0]
    function = call["function"]
    opening = {**call, "index": 0, "function": {"name": function["name"], "arguments": ""}}
    halves = re.findall(r".{1,8}", function["arguments"])
    rest = [{"index": 0, "function": {"arguments": half}} for half in halves]
    return [{"tool_calls": [part]} for part in (opening, *rest)]


def _bounds(events: list[bytes]) -> tuple[int, ...]:
    bounds, at = [], 0
    for event in events:
        at += len(event)
        bounds.append(at)
    return tuple(bounds)
