"""What the load client asks for: prepared requests in several dialects. Pure."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

OPENAI = "api.openai.com"
ANTHROPIC = "api.anthropic.com"
GOOGLE = "generativelanguage.googleapis.com"
HOSTS = (OPENAI, ANTHROPIC, GOOGLE)

CHAT_PATH = "/v1/chat/completions"
RESPONSES_PATH = "/v1/responses"
MESSAGES_PATH = "/v1/messages"
GEMINI_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"

CREDENTIAL = "sk-bench-3f9a61c07be24d5f8a1e6c2b90d7f4a3"
AT_ONCE = "[[at once]]"
"""In a question: the stream is wanted without pauses."""
ENDLESS = "[[endless]]"
"""In a question: the stream is wanted without an end."""

_NUMBER = "[question 00000000]"
_PROMPT = "You are a careful marine biologist. Answer briefly, and name your sources. " * 16
_NONE: Mapping[str, str] = MappingProxyType({})
_BEARER = MappingProxyType({"Authorization": f"Bearer {CREDENTIAL}"})
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, asked again and again.

    Attributes:
        request: Head and body; where it holds a number, each time it gets another one, so
            that no cache knows it.
        expected: What every answer must hold, head or body.
    """

    request: bytes
    expected: bytes = b""

    def written(self) -> bytes:
        """Return the request as it goes out next."""
        return self.request.replace(_NUMBER.encode(), b"[question %08d]" % next(_numbers))


def chat(
    question: str = _NUMBER,
    *,
    stream: bool = False,
    temperature: float = 0,
    headers: Mapping[str, str] = _NONE,
) -> Ask:
    """Ask for a chat completion, with a prompt of the size that agents send.

    Only a temperature of 0 lets a cache answer without being told to answer samples too.
    """
    body: dict[str, object] = {
        "model": "gpt-4o-mini",
        "temperature": temperature,
        "messages": [
            {"role": "system", "content": _PROMPT},
            {"role": "user", "content": question},
        ],
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return _post(OPENAI, CHAT_PATH, _BEARER | headers, body, b'"total_tokens"')


def numbered(words: str) -> str:
    """Return a question that is another one each time it is asked."""
    return f"{words} {_NUMBER}"


def responses(question: str, headers: Mapping[str, str] = _NONE) -> Ask:
    """Ask OpenAI's Responses API for a stream."""
    body = {
        "model": "gpt-4o-mini",
        "temperature": 0,
        "stream": True,
        "instructions": _PROMPT,
        "input": question,
    }
    return _post(OPENAI, RESPONSES_PATH, _BEARER | headers, body, b"response.completed")


def messages(question: str, headers: Mapping[str, str] = _NONE) -> Ask:
    """Ask Anthropic's Messages API for a stream."""
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 1024,
        "temperature": 0,
        "stream": True,
        "system": _PROMPT,
        "messages": [{"role": "user", "content": question}],
    }
    fields = {"x-api-key": CREDENTIAL, "anthropic-version": "2023-06-01", **headers}
    return _post(ANTHROPIC, MESSAGES_PATH, fields, body, b"message_stop")


def gemini(question: str, headers: Mapping[str, str] = _NONE) -> Ask:
    """Ask Google's API for a stream of events."""
    body = {
        "systemInstruction": {"parts": [{"text": _PROMPT}]},
        "contents": [{"role": "user", "parts": [{"text": question}]}],
        "generationConfig": {"temperature": 0},
    }
    fields = {"x-goog-api-key": CREDENTIAL, **headers}
    return _post(GOOGLE, f"{GEMINI_PATH}?alt=sse", fields, body, b'"STOP"')


def download(path: str, host: str) -> bytes:
    """Write a request for something to download."""
    return head("GET", path, {"Host": host})


def head(method: str, target: str, fields: Mapping[str, str]) -> bytes:
    """Write the head of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _post(host: str, target: str, headers: Mapping[str, str], body: object, expected: bytes) -> Ask:
    content = json.dumps(body, separators=(",", ":")).encode()
    fields = {
        "Host": host,
        "Accept": "application/json",
        "User-Agent": "OpenAI/Python 1.99.9",
        **headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
    }
    return Ask(head("POST", target, fields) + content, expected)
