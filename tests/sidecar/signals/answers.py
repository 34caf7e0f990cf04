"""What models answer in these tests, and what tells who asked."""

import json
from typing import Any

from remora.testing.double_answer import Answer, Framing, json_answer
from remora.testing.double_request import ReceivedRequest

HOST = "api.openai.com"
CHAT = "/v1/chat/completions"
KEY = "sk-of-the-policy-0123456789abcdef"
SECRET_TEXT = "xylophone-sandwich"
"""Stands in prompts and answers, and must be nowhere else."""


def completion(text: str | None, finish_reason: str = "stop", **more: Any) -> Answer:
    """A whole chat completion."""
    message = {"role": "assistant", "content": text, **more}
    return json_answer(
        json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "model": "gpt-4o-mini",
                "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            }
        ).encode()
    )


def streamed(*pieces: str, finish_reason: str = "stop") -> Answer:
    """A chat completion as a stream."""
    deltas: list[dict[str, Any]] = [{"delta": {"content": piece}} for piece in pieces]
    deltas.append({"delta": {}, "finish_reason": finish_reason})
    chunks = [
        {"id": "1", "model": "gpt-4o-mini", "choices": [{"index": 0, **delta}]} for delta in deltas
    ]
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    chunks.append({"id": "1", "model": "gpt-4o-mini", "choices": [], "usage": usage})
    lines = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return Answer(
        body=b"".join(lines) + b"data: [DONE]\n\n",
        headers=(("content-type", "text/event-stream"),),
        framing=Framing.CHUNKED,
    )


def asked_of(request: ReceivedRequest) -> dict[str, Any]:
    """What a request says."""
    found: dict[str, Any] = json.loads(request.body)
    return found


def is_own(request: ReceivedRequest) -> bool:
    """Whether the sidecar itself asked."""
    return "response_format" in asked_of(request)
