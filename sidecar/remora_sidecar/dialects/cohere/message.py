"""What Cohere's answers say: a whole one, or the events of a stream one by one.

Both versions of the API; an event's ``type`` is the second's, ``event_type`` the first's
(docs.cohere.com/reference/chat, "Streaming"; /v1/reference/chat).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from remora.records import CallError
from remora_sidecar.dialects.framing.json_values import member, word
from remora_sidecar.dialects.openai.tool_calls import ToolCalls
from remora_sidecar.dialects.provider_error import MESSAGE_CHARACTERS, UNNAMED_TYPE, read_error
from remora_sidecar.dialects.text_meter import TextMeter

_FAILURES: Final = frozenset({"ERROR", "TIMEOUT"})
"""Finish reasons of an answer that Cohere failed to make."""

_IDS: Final = ("id", "response_id", "generation_id")


class MessageReading:
    """Takes a message, or its events; keeps what was stated last, never the text.

    Attributes:
        has_output: The model said something.
        stopped: The last event of a stream was seen.
        finish_reason: Cohere's own word.
        response_id: The answer's id.
        error: The first error seen.
        usage: The object that states usage, with or without figures.
        last: The last object taken.
    """

    def __init__(self, *, failed: bool) -> None:
        """Stand before the first object; `failed` by the answer's status."""
        self.has_output = False
        self.stopped = False
        self.finish_reason = ""
        self.response_id = ""
        self.error: CallError | None = None
        self.usage: Mapping[str, Any] = {}
        self.last: Mapping[str, Any] = {}
        self._failed = failed
        self._tools = ToolCalls()
        self._text = TextMeter()

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools called."""
        return self._tools.names

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the output seen in events."""
        return self._text.tokens

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a whole answer, or what the last event of a stream says of all of it."""
        self.last = message
        self.error = self.error or read_error(message, failed=self._failed)
        self._take_id(message)
        self.usage = member(message, "usage") or member(message, "meta") or self.usage
        self._take_reason(message.get("finish_reason") or _first_generations_reason(message))
        self._take_tools((member(message, "message") or message).get("tool_calls"))

    def take_event(self, event: Mapping[str, Any], name: bytes) -> None:
        """Take an event of a stream, and the name it had beside its data."""
        kind = event.get("type") or event.get("event_type")
        take = _EVENTS.get(kind) if type(kind) is str else None
        if take is not None:
            take(self, event)
            return
        self.last = event
        self.error = self.error or read_error(event, failed=self._failed or name == b"error")

    def take_start(self, event: Mapping[str, Any]) -> None:
        """Take the event that names the answer."""
        self._take_id(event)

    def take_text(self, event: Mapping[str, Any]) -> None:
        """Take a piece of text, of thought, or of the plan to call tools."""
        message = member(member(event, "delta"), "message")
        content = member(message, "content")
        for text in (event.get("text"), content.get("text"), content.get("thinking")):
            self._say(text)
        self._say(message.get("tool_plan"))

    def take_tool(self, event: Mapping[str, Any]) -> None:
        """Take what begins a call of a tool."""
        self.has_output = True
        call = member(member(event, "delta"), "message").get("tool_calls")
        if isinstance(call, dict):
            self._tools.take(0, [{**call, "index": event.get("index")}])

    def take_tools(self, event: Mapping[str, Any]) -> None:
        """Take the first version's calls, or a piece of one."""
        self.has_output = True
        self._take_tools(event.get("tool_calls"))

    def take_end(self, event: Mapping[str, Any]) -> None:
        """Take the last event; of the first version it holds the whole answer."""
        self.stopped = True
        self.take(member(event, "delta") or member(event, "response"))
        self.last = event
        self._take_reason(event.get("finish_reason"))

    def take_failure(self, event: Mapping[str, Any]) -> None:
        """Take the last event of a stream that failed."""
        self.stopped = True
        self.last = event
        message = word(event.get("err"), MESSAGE_CHARACTERS)
        self.error = self.error or CallError(UNNAMED_TYPE, message)
        self._take_reason(event.get("finish_reason"))

    def _say(self, text: object) -> None:
        if type(text) is str and text:
            self.has_output = True
            self._text.add(text)

    def _take_id(self, value: Mapping[str, Any]) -> None:
        if not self.response_id:
            self.response_id = next((i for name in _IDS if (i := word(value.get(name)))), "")

    def _take_reason(self, reason: object) -> None:
        self.finish_reason = word(reason) or self.finish_reason
        if self.finish_reason in _FAILURES and self.error is None:
            self.error = CallError(self.finish_reason, "")

    def _take_tools(self, calls: object) -> None:
        """Take a list of calls; the first version names a tool where the second has an object."""
        if isinstance(calls, list):
            self._tools.take(0, [_as_function(call) for call in calls])


def _as_function(call: object) -> object:
    return {"function": call} if isinstance(call, dict) and "name" in call else call


def _first_generations_reason(message: Mapping[str, Any]) -> object:
    generations = message.get("generations")
    first = generations[0] if isinstance(generations, list) and generations else None
    return first.get("finish_reason") if isinstance(first, dict) else None


_Take = Callable[[MessageReading, Mapping[str, Any]], None]
_EVENTS: Mapping[str, _Take] = MappingProxyType(
    {
        "message-start": MessageReading.take_start,
        "content-delta": MessageReading.take_text,
        "tool-plan-delta": MessageReading.take_text,
        "tool-call-start": MessageReading.take_tool,
        "message-end": MessageReading.take_end,
        "stream-start": MessageReading.take_start,
        "text-generation": MessageReading.take_text,
        "search-queries-generation": MessageReading.take_tools,
        "tool-calls-chunk": MessageReading.take_tools,
        "tool-calls-generation": MessageReading.take_tools,
        "stream-end": MessageReading.take_end,
        "stream-error": MessageReading.take_failure,
    }
)
