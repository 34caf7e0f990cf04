"""Answers of the size and form that models give, in several dialects: events and JSON. Pure.

The provider double sends them; where no recordings are, the cost of dialects is measured on
them too.
"""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType

_WORDS = "Remoras hold on to sharks by a disc on their head, and let themselves be carried. " * 6
_DELTAS = 10

_CHAT_USAGE = {
    "prompt_tokens": 412,
    "completion_tokens": 118,
    "total_tokens": 530,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def sse(value: object, name: str = "") -> bytes:
    """Write one event."""
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {json.dumps(value)}\n\n".encode()


def _chat(kind: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-C1oVqBb4mN7xTgR2sYpLdKe5",
        "object": kind,
        "created": 1767225600,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
    }


def _chat_json() -> bytes:
    message: dict[str, object] = {
        "role": "assistant",
        "content": _WORDS,
        "refusal": None,
        "annotations": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = _chat("chat.completion") | {"choices": [choice], "usage": _CHAT_USAGE}
    return json.dumps(answer).encode()


def chat_event(delta: Mapping[str, str], finish: str | None = None, **more: str) -> bytes:
    """Write a chunk of a chat stream; `more` members are added to it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _chat("chat.completion.chunk") | {"usage": None, "choices": [choice]}
    return sse(chunk | more)


def chat_end() -> tuple[bytes, ...]:
    """The events that end a chat stream, usage among them."""
    usage = _chat("chat.completion.chunk") | {"choices": [], "usage": _CHAT_USAGE}
    return chat_event({}, "stop"), sse(usage) + b"data: [DONE]\n\n"


def _chat_events() -> Iterator[bytes]:
    yield chat_event({"role": "assistant"})
    for _ in range(_DELTAS):
        yield chat_event({"content": "remora "})
    yield from chat_end()


def _anthropic_events() -> Iterator[bytes]:
    usage = {"input_tokens": 412, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage | {"output_tokens": 1},
    }
    block = {"type": "text", "text": ""}
    delta = {"type": "text_delta", "text": "remora "}
    yield _named("message_start", message=message)
    yield _named("content_block_start", index=0, content_block=block)
    yield _named("ping")
    for _ in range(_DELTAS):
        yield _named("content_block_delta", index=0, delta=delta)
    yield _named("content_block_stop", index=0)
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _named("message_delta", delta=end, usage=usage | {"output_tokens": 118})
    yield _named("message_stop")


def _named(kind: str, **members: object) -> bytes:
    return sse({"type": kind, **members}, kind)


def _response(status: str, output: list[object], usage: object) -> dict[str, object]:
    return {
        "id": "resp_68af4030592c81938ec0a5fbab4a3e9f",
        "object": "response",
        "created_at": 1767225600,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "gpt-4o-mini-2024-07-18",
        "output": output,
        "service_tier": "default",
        "temperature": 0.0,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def _responses_events() -> Iterator[bytes]:
    at = {"item_id": "msg_68af40316d8c8193", "output_index": 0, "content_index": 0}
    item: dict[str, object] = {"id": at["item_id"], "type": "message", "role": "assistant"}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    done = item | {"status": "completed", "content": [part | {"text": "remora " * _DELTAS}]}
    usage = {
        "input_tokens": 412,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 118,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 530,
    }
    begun = _response("in_progress", [], None)
    yield _named("response.created", sequence_number=0, response=begun)
    yield _named("response.in_progress", sequence_number=1, response=begun)
    yield _named("response.output_item.added", sequence_number=2, output_index=0, item=item)
    yield _named("response.content_part.added", sequence_number=3, **at, part=part)
    for number in range(_DELTAS):
        yield _named(
            "response.output_text.delta", sequence_number=4 + number, **at, delta="remora "
        )
    yield _named("response.output_item.done", sequence_number=14, output_index=0, item=done)
    ended = _response("completed", [done], usage)
    yield _named("response.completed", sequence_number=15, response=ended)


def _gemini_events() -> Iterator[bytes]:
    for number in range(_DELTAS):
        content = {"parts": [{"text": "remora "}], "role": "model"}
        last = {"finishReason": "STOP"} if number == _DELTAS - 1 else {}
        usage = {
            "promptTokenCount": 412,
            "candidatesTokenCount": 11 * number,
            "totalTokenCount": 412 + 11 * number,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 412}],
        }
        chunk = {
            "candidates": [{"content": content, "index": 0} | last],
            "usageMetadata": usage,
            "modelVersion": "gemini-2.5-flash",
            "responseId": "n3-4aOGbBsKq1MkP",
        }
        yield f"data: {json.dumps(chunk)}\r\n\r\n".encode()


CHAT_JSON = _chat_json()
EVENTS: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "openai-chat": tuple(_chat_events()),
        "openai-responses": tuple(_responses_events()),
        "anthropic-messages": tuple(_anthropic_events()),
        "gemini-generate": tuple(_gemini_events()),
    }
)
"""The events of one stream, by dialect."""
