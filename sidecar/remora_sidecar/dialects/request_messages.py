"""The messages of a request, whatever its dialect: who said what, in order.

Told by the names of members, which no two dialects use for different things: ``messages`` is
OpenAI's, Anthropic's, Cohere's, Converse's and Ollama's alike, and behind Bedrock's InvokeModel
stands any vendor's body. The roles of all dialects come in four words.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from remora_sidecar.dialects.framing.json_values import member, word

MAX_MESSAGES: Final = 512
"""Of a longer conversation the first and the last half of these."""

MAX_TEXT_BYTES: Final = 64 * 1024
"""Of all texts together, in UTF-8: half from the front, the rest from the end."""

USER: Final = "user"
SYSTEM: Final = "system"
ASSISTANT: Final = "assistant"
TOOL: Final = "tool"

_ROLES: Final[Mapping[str, str]] = {
    "developer": SYSTEM,
    "model": ASSISTANT,
    "chatbot": ASSISTANT,
    "function": TOOL,
}
"""Other words for the four, in lower case."""

_ROLE_OF_TYPE: Final[Mapping[str, str]] = {
    "model_output": ASSISTANT,
    "function_result": TOOL,
    "user_input": USER,
    "input_text": USER,
    "input_image": USER,
    "text": USER,
    "image": USER,
}
"""Roles of items that state none; of others, ``…_output`` is a tool's, all else the model's."""

_SYSTEM: Final = (
    "system", "instructions", "systemInstruction", "system_instruction", "preamble",
)  # fmt: skip
_TURNS: Final = ("chat_history", "messages", "contents", "input")
_PROMPTS: Final = (
    "prompt", "message", "inputText", "inputPrompt", "query", "text", "texts", "inputs",
    "content", "instances", "text_prompts", "singleEmbeddingParams",
)  # fmt: skip
_TEXT_IN: Final = (
    "text", "content", "parts", "prompt", "output", "response", "result", "refusal", "message",
    "toolResult", "functionResponse", "guardContent", "title", "snippet", "value",
)  # fmt: skip
"""Members of a message or part whose text is said, told or answered by a tool."""

_ENVELOPES: Final = frozenset({"request", "generateContentRequest", "input"})

_PIECES: Final = 10_000
"""Bound of the parts of one message that are looked at."""


class Message(NamedTuple):
    """One message.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``; any other word in lower case.
        text: What is text in it, parts joined by line ends.
    """

    role: str
    text: str


class Bounded(NamedTuple):
    """Messages within the bounds, and whether anything was left out for them."""

    messages: tuple[Message, ...]
    cut: bool


def messages_of(asked: Mapping[str, Any]) -> Iterator[Message]:
    """Go through the messages of a request, system prompts first.

    Args:
        asked: The request as `opened` gives it.
    """
    yield from _messages_in(asked)
    for request in _listed(asked.get("requests")):  # batches
        if isinstance(request, dict):
            yield from _messages_in(member(request, "params") or opened(request))


def opened(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take a request out of its envelope: the Gemini CLI's, or that of a count of tokens."""
    if _ENVELOPES.isdisjoint(asked):
        return asked
    inner = member(asked, "request") or member(asked, "generateContentRequest")
    return inner or member(member(asked, "input"), "converse") or asked


def _messages_in(asked: Mapping[str, Any]) -> Iterator[Message]:
    for name in _SYSTEM:
        if text := text_of(asked.get(name)):
            yield Message(SYSTEM, text)
    for name in _TURNS:
        if name in asked:
            yield from _turns(asked[name])
    for name in _PROMPTS:
        if name in asked:
            yield from _prompts(asked[name])
    if "query" in asked:
        yield from _prompts(asked.get("documents"))


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _turns(value: object) -> Iterator[Message]:
    for item in _items(value):
        if isinstance(item, dict):
            content = item.get("content")  # most often all there is
            yield Message(_role(item), content if type(content) is str else text_of(item))
        elif isinstance(item, str | list):
            yield Message(USER, text_of(item))


def _prompts(value: object) -> Iterator[Message]:
    """Read prompts, which are text or objects with text in them; settings have none."""
    for item in _items(value):
        text = text_of(item)
        if text or isinstance(item, list):
            yield Message(USER, text)


def _items(value: object) -> Sequence[object]:
    """List what is one or many; a prompt in tokens is one without text."""
    if not isinstance(value, list):
        return (value,)
    return ([],) if value and all(type(item) is int for item in value) else value


def _role(item: Mapping[str, Any]) -> str:
    stated = word(item.get("role")).lower()
    if stated:
        return _ROLES.get(stated, stated)
    kind = item.get("type")
    if not isinstance(kind, str) or kind == "message":
        return USER
    return _ROLE_OF_TYPE.get(kind, TOOL if kind.endswith("_output") else ASSISTANT)


def text_of(value: object) -> str:
    """Join what is text in a message, part or list of them; empty if nothing is."""
    return "\n".join(_texts(value))


def _texts(value: object) -> Iterator[str]:
    waiting = [value]
    for _ in range(_PIECES):
        if not waiting:
            return
        item = waiting.pop()
        if isinstance(item, str):
            if item and not item.startswith("data:"):
                yield item
        elif isinstance(item, list):
            waiting.extend(reversed(item[:_PIECES]))
        elif isinstance(item, dict):
            waiting.extend(item[name] for name in reversed(_TEXT_IN) if name in item)


def bounded(messages: Sequence[Message]) -> Bounded:
    """Keep what fits the bounds: all roles, and texts from the front and from the end."""
    kept, cut = list(messages), False
    if len(kept) > MAX_MESSAGES:
        half = MAX_MESSAGES // 2
        kept, cut = kept[:half] + kept[-half:], True
    texts = [message.text for message in kept]
    if all(map(str.isascii, texts)) and sum(map(len, texts)) <= MAX_TEXT_BYTES:
        return Bounded(tuple(kept), cut)
    texts = [_plain(text) for text in texts]
    if sum(map(_size, texts)) > MAX_TEXT_BYTES:
        texts, cut = _cut(texts), True
    return Bounded(
        tuple(Message(message.role, text) for message, text in zip(kept, texts, strict=True)), cut
    )


def _cut(texts: Sequence[str]) -> list[str]:
    """Fill half of the bytes from the front, then what is left from the end."""
    fitting = [""] * len(texts)
    left = MAX_TEXT_BYTES // 2
    at = 0
    while at < len(texts) and left > 0:
        fitting[at] = _first_bytes(texts[at], left)
        left -= _size(fitting[at])
        at += 1
    left += MAX_TEXT_BYTES - MAX_TEXT_BYTES // 2
    for back in range(len(texts) - 1, at - 1, -1):
        fitting[back] = _first_bytes(texts[back], left)
        left -= _size(fitting[back])
    return fitting


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _first_bytes(text: str, size: int) -> str:
    if _size(text) <= size:
        return text
    return text.encode()[: max(size, 0)].decode("utf-8", "ignore")


def _plain(text: str) -> str:
    """Replace lone surrogates, which are no text to anybody else."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
