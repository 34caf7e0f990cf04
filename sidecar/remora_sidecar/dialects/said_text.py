"""What the model said, put together from the objects of an answer of any dialect.

Reasoning is left out, and so are all choices but the first. Nothing here raises, whatever the
objects.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from remora_sidecar.dialects.framing.json_values import count, member, parse_json, word

LIMIT_CHARACTERS: Final = 1024 * 1024
"""More of an answer is not looked at."""

_OPENAI_CALLS: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call",
     "apply_patch_call", "tool_search_call", "mcp_approval_request"}
)  # fmt: skip
"""Items of a response that the agent has to answer; other calls the provider runs itself."""


class SaidText:
    """Adds up pieces of text, up to a limit.

    Attributes:
        calls_tools: The agent is to run tools.
        is_refused: The answer itself says that the model refused.
        is_partial: There was more than the limit.
    """

    def __init__(self) -> None:
        """Start with nothing said."""
        self.calls_tools = False
        self.is_refused = False
        self.is_partial = False
        self._pieces: list[str] = []
        self._room = LIMIT_CHARACTERS

    @property
    def text(self) -> str:
        """All that was said so far."""
        return "".join(self._pieces)

    def take(self, value: Mapping[str, Any], _: bytes = b"") -> None:
        """Take a whole answer, or an event or chunk of one."""
        kind = value.get("type")
        if type(kind) is str and (typed := _BY_TYPE.get(kind)) is not None:
            typed(self, value)
            return
        for name, shaped in _BY_MEMBER.items():
            if value.get(name):
                shaped(self, value)
                return

    def take_event(self, name: str, event: Mapping[str, Any]) -> None:
        """Take an event of a stream of Bedrock's."""
        if name == "chunk":  # of InvokeModel, in its vendor's words
            self._take_encoded(event.get("bytes"))
        else:
            self.take(event)

    # pieces

    def _say(self, text: object) -> None:
        if type(text) is not str or not text:
            return
        if len(text) > self._room:
            self.is_partial = True
            text = text[: self._room]
        self._room -= len(text)
        self._pieces.append(text)

    def _say_parts(self, content: object) -> None:
        """Take content that is a text, or parts of which some are."""
        if type(content) is str:
            self._say(content)
            return
        for part in _objects(content):
            self._take_part(part)

    def _take_part(self, part: Mapping[str, Any]) -> None:
        kind = part.get("type")
        if kind in ("tool_use", "tool_call") or "toolUse" in part or "functionCall" in part:
            self.calls_tools = True
        elif kind == "refusal":
            self._refuse(part.get("refusal"))
        elif not part.get("thought"):
            self._say(part.get("text"))

    def _refuse(self, text: object) -> None:
        if type(text) is str and text:
            self.is_refused = True
            self._say(text)

    def _take_encoded(self, data: object) -> None:
        try:
            value = parse_json(base64.b64decode(data if type(data) is str else ""))
        except (binascii.Error, ValueError):
            return
        if isinstance(value, dict):
            self.take(value)

    # OpenAI: choices

    def _take_choices(self, value: Mapping[str, Any]) -> None:
        for position, choice in enumerate(_objects(value.get("choices"))):
            index = count(choice.get("index"))
            if (position if index is None else index) == 0:
                self._say(choice.get("text"))
                said = choice.get("delta") or choice.get("message")
                if isinstance(said, dict):
                    self._take_message(said)

    def _take_message(self, said: Mapping[str, Any]) -> None:
        self._say_parts(said.get("content"))
        self._refuse(said.get("refusal"))
        self.calls_tools = bool(
            self.calls_tools or said.get("tool_calls") or said.get("function_call")
        )

    # OpenAI: responses

    def _take_delta(self, event: Mapping[str, Any]) -> None:
        self._say(event.get("delta"))

    def _take_refusal_delta(self, event: Mapping[str, Any]) -> None:
        self._refuse(event.get("delta"))

    def _take_added_item(self, event: Mapping[str, Any]) -> None:
        if word(member(event, "item").get("type")) in _OPENAI_CALLS:
            self.calls_tools = True

    def _take_end(self, event: Mapping[str, Any]) -> None:
        """Take a whole response at the end of a stream that had no pieces of it."""
        if not self._pieces:
            self._take_output(member(event, "response"))

    def _take_output(self, response: Mapping[str, Any]) -> None:
        output = response.get("output")
        if isinstance(output, dict):  # Converse
            self._say_parts(member(output, "message").get("content"))
            return
        for item in _objects(output):
            if item.get("type") == "message":
                self._say_parts(item.get("content"))
            elif word(item.get("type")) in _OPENAI_CALLS:
                self.calls_tools = True

    # Anthropic

    def _take_content(self, value: Mapping[str, Any]) -> None:
        self._say_parts(value.get("content"))

    def _take_block_start(self, event: Mapping[str, Any]) -> None:
        self._take_part(member(event, "content_block"))

    def _take_block_delta(self, event: Mapping[str, Any]) -> None:
        delta = member(event, "delta")
        if delta.get("type") == "text_delta":
            self._say(delta.get("text"))

    # Gemini

    def _take_candidates(self, value: Mapping[str, Any]) -> None:
        for position, candidate in enumerate(_objects(value.get("candidates"))):
            index = count(candidate.get("index"))
            if (position if index is None else index) == 0:
                self._say_parts(member(candidate, "content").get("parts"))

    def _take_feedback(self, value: Mapping[str, Any]) -> None:
        self.is_refused = self.is_refused or bool(
            member(value, "promptFeedback").get("blockReason")
        )

    def _take_response(self, value: Mapping[str, Any]) -> None:
        """Take Ollama's text, or what the Gemini CLI's envelope holds."""
        response = value.get("response")
        if isinstance(response, dict):
            self.take(response)
        else:
            self._say(response)

    # Converse, Cohere, Ollama and others behind Bedrock

    def _take_converse_start(self, event: Mapping[str, Any]) -> None:
        self._take_part(member(event, "start"))

    def _take_any_delta(self, event: Mapping[str, Any]) -> None:
        """Take Converse's piece of a block, or Cohere's of a message."""
        delta = member(event, "delta")
        self._say(delta.get("text"))
        self._say(member(member(delta, "message"), "content").get("text"))

    def _take_nova(self, value: Mapping[str, Any]) -> None:
        """Take an event of Converse's that has its name inside, as Nova's have."""
        for name in ("contentBlockStart", "contentBlockDelta"):
            if event := member(value, name):
                self.take(event)

    def _take_tool_start(self, _: Mapping[str, Any]) -> None:
        self.calls_tools = True

    def _take_inner_message(self, value: Mapping[str, Any]) -> None:
        message = value.get("message")
        if isinstance(message, dict):
            self._take_message(message)

    def _take_items(self, value: Mapping[str, Any]) -> None:
        """Take what vendors behind Bedrock answer with: the first of several."""
        for name in ("results", "outputs", "generations", "completions"):
            for item in _objects(value.get(name))[:1]:
                self._say(item.get("outputText") or item.get("text"))
                self._say(member(item, "data").get("text"))

    def _take_text(self, value: Mapping[str, Any]) -> None:
        if value.get("event_type") == "stream-end":
            return
        for name in ("text", "completion", "generation", "outputText"):
            self._say(value.get(name))
        if value.get("tool_calls"):
            self.calls_tools = True


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_Take = Callable[[SaidText, Mapping[str, Any]], None]


def _nothing(_: SaidText, __: Mapping[str, Any]) -> None:
    pass


_BY_TYPE: Mapping[str, _Take] = MappingProxyType(
    {
        "response.output_text.delta": SaidText._take_delta,
        "response.refusal.delta": SaidText._take_refusal_delta,
        "response.output_item.added": SaidText._take_added_item,
        "response.completed": SaidText._take_end,
        "response.incomplete": SaidText._take_end,
        "response.created": _nothing,
        "response.in_progress": _nothing,
        "message": SaidText._take_content,
        "message_start": _nothing,
        "message_delta": _nothing,
        "content_block_start": SaidText._take_block_start,
        "content_block_delta": SaidText._take_block_delta,
        "content-delta": SaidText._take_any_delta,
        "tool-call-start": SaidText._take_tool_start,
    }
)
_BY_MEMBER: Mapping[str, _Take] = MappingProxyType(
    {
        "choices": SaidText._take_choices,
        "candidates": SaidText._take_candidates,
        "promptFeedback": SaidText._take_feedback,
        "output": SaidText._take_output,
        "delta": SaidText._take_any_delta,
        "contentBlockStart": SaidText._take_nova,
        "contentBlockDelta": SaidText._take_nova,
        "start": SaidText._take_converse_start,
        "message": SaidText._take_inner_message,
        "response": SaidText._take_response,
        "content": SaidText._take_content,
        "results": SaidText._take_items,
        "outputs": SaidText._take_items,
        "generations": SaidText._take_items,
        "text": SaidText._take_text,
        "completion": SaidText._take_text,
        "completions": SaidText._take_items,
        "generation": SaidText._take_text,
        "outputText": SaidText._take_text,
        "tool_calls": SaidText._take_text,
    }
)
"""By a member that has a value; the first that does tells."""
