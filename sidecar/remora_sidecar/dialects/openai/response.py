"""One OpenAI response, whole or event by event: what it states, wherever it is carried.

Over HTTP a response comes as one object or as server-sent events, over a WebSocket the same
events come as frames; who undoes the frames gives the objects to a `ResponseReading`. Keeps names
and figures, never the text. Formats: developers.openai.com/api/reference, "Responses" and
"Streaming events", and the types of the official SDK.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from types import MappingProxyType
from typing import Any

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, Completeness
from remora_sidecar.dialects.framing.json_values import count, keys_found, member, word
from remora_sidecar.dialects.openai.output import OutputItems, is_tool_call
from remora_sidecar.dialects.openai.usage import SEARCHED, read_usage
from remora_sidecar.dialects.provider_error import UNNAMED_TYPE, read_error
from remora_sidecar.dialects.text_meter import TextMeter

_OPEN = frozenset({"queued", "in_progress"})
"""Statuses of a response that the provider is still at work on."""

_END_STATUS: Mapping[str, str] = MappingProxyType(
    {
        "response.completed": "completed",
        "response.incomplete": "incomplete",
        "response.failed": "failed",
        "response.cancelled": "cancelled",
        "response.done": "completed",  # of WebSockets before they had the same events
    }
)
"""Events that end a response, with the status that they tell if the response does not."""

_UNMETERED = frozenset(
    {
        "response.audio.delta",
        "response.output_audio.delta",
        "response.shell_call_output_content.delta",
    }
)
"""Deltas of encoded sound, or of what a tool wrote, not the model."""

_SEARCHES = (
    ("tool_usage", "web_search", "num_requests"),
    ("usage", "server_side_tool_usage_details", "web_search_calls"),  # xAI
    ("usage", "server_tool_use_details", "web_search_requests"),  # OpenRouter
)
"""Where providers state how many web searches they charge."""

_TYPE_IN_FRONT = re.compile(rb'\s*\{\s*"type"\s*:\s*"([^"]{1,80})"')


def _is_response(value: Mapping[str, Any]) -> bool:
    """Tell a response from other objects: gateways leave `object` out."""
    return value.get("object") == "response" or "output" in value or "usage" in value


class ResponseReading:
    """Collects what a response states; bounded, however many events it has.

    Attributes:
        model: The response model.
        response_id: The response's id.
        service_tier: The tier as stated last; before the end it is the one asked for.
        status: As stated last, such as ``in_progress``; empty before any was.
        finish_reason: Why it is incomplete, else its status; empty before its end.
        error: The first error stated.
        usage: Usage as stated at the end; None before it, or if there was none.
        in_background: The response is made in the background.
        ended: The response came to its end, whichever.
        has_output: The model said something: text, reasoning, the call of a tool.
    """

    def __init__(self, *, failed: bool = False) -> None:
        """Stand before the first object.

        Args:
            failed: The answer's status says that what comes describes an error.
        """
        self.model = ""
        self.response_id = ""
        self.service_tier = ""
        self.status = ""
        self.finish_reason = ""
        self.error: CallError | None = None
        self.usage: Usage | None = None
        self.in_background = False
        self.ended = False
        self.has_output = False
        self._failed = failed
        self._is_object = False
        self._found = "none"
        self._items = OutputItems()
        self._text = TextMeter()

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Tools that the response calls, in order, those that the provider runs included."""
        return self._items.tool_names

    @property
    def pending(self) -> bool:
        """Whether the provider goes on with the response after this answer.

        It does if the response is made in the background, or was read while it was made;
        a stream that is cut is otherwise the end of it.
        """
        is_apart = self.in_background or self._is_object
        return is_apart and not self.ended and self.status in _OPEN

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the output from the text of the events so far."""
        return self._text.tokens

    @property
    def usage_searched(self) -> str:
        """Where usage was looked for and what was there, for a message about missing usage."""
        return f"searched usage for {SEARCHED}; found {self._found}"

    def facts(self, completeness: Completeness, usage_problem: str = "") -> AnswerFacts:
        """Say what was stated.

        Args:
            completeness: As the carrying format tells.
            usage_problem: Told if no usage was stated, unless the response failed, was
                cancelled or is still being made: then there may be none to state.
        """
        is_owed = self.error is None and not self.pending and self.status != "cancelled"
        return AnswerFacts(
            model=self.model,
            finish_reason=self.finish_reason,
            response_id=self.response_id,
            tool_names=self.tool_names,
            error=self.error,
            usage=self.usage,
            usage_problem=usage_problem if is_owed and self.usage is None else "",
            completeness=completeness,
            service_tier=self.service_tier,
            pending=self.pending,
            in_background=self.in_background,
            output_tokens_estimate=self.output_tokens_estimate,
        )

    def take(self, value: Mapping[str, Any], event: bytes = b"") -> None:
        """Take a whole response or one event.

        Args:
            value: The object; told apart by its `type`, one without any is a response.
            event: The name of its server-sent event, if it had one; stands for a missing type.
        """
        kind = value.get("type")
        if type(kind) is not str:
            kind = event.decode("ascii", "replace")
        if kind.endswith(".delta"):
            self._take_delta(kind, value.get("delta"))
        elif self._failed or kind == "error" or event == b"error":
            self._take_error(value, kind)
        elif (take := _TAKERS.get(kind)) is not None:
            take(self, value)
        elif kind in _END_STATUS or "response" in value:
            self._take_progress(kind, value)
        elif _is_response(value):
            self._take_whole(value)
        elif "error" in value and not kind.startswith("response."):
            self._keep_error(read_error(value, failed=False))

    def take_unread(self, front: bytes, event: bytes = b"") -> None:
        """Take note of an event that was too large to be held.

        Args:
            front: Its first bytes, which tell its type if there is no `event`.
            event: The name of its server-sent event, if it had one.
        """
        self.has_output = True
        if not event and (in_front := _TYPE_IN_FRONT.match(front)):
            event = in_front[1]
        status = _END_STATUS.get(event.decode("ascii", "replace"))
        if status is not None and not self.ended:
            self._take_end({}, status)

    def _take_delta(self, kind: str, delta: object) -> None:
        if not delta:
            return
        self.has_output = True
        if kind not in _UNMETERED:
            self._text.add(delta)

    def _take_progress(self, kind: str, event: Mapping[str, Any]) -> None:
        """Take an event that carries the response as it stands; the usage of the last counts."""
        response = member(event, "response")
        self._take_stated(response)
        if (status := _END_STATUS.get(kind)) is not None:
            self._keep_error(read_error(event, failed=False))  # Perplexity's, in no response
            self._take_end(response, status)

    def _take_whole(self, response: Mapping[str, Any]) -> None:
        self._is_object = True
        self._take_stated(response)
        if self.status not in _OPEN:
            self._take_end(response, self.status)

    def _take_stated(self, response: Mapping[str, Any]) -> None:
        self.model = word(response.get("model")) or self.model
        self.response_id = word(response.get("id")) or self.response_id
        self.service_tier = word(response.get("service_tier")) or self.service_tier
        self.status = word(response.get("status")) or self.status
        self.in_background = self.in_background or response.get("background") is True

    def _take_end(self, response: Mapping[str, Any], status: str) -> None:
        self.ended = True
        stated = word(response.get("status"))
        self.status = status if stated in _OPEN else stated or status
        reason = word(member(response, "incomplete_details").get("reason"))
        self.finish_reason = reason or self.status
        output = response.get("output")
        self._items.take_all(output)
        self.has_output = self.has_output or bool(output)
        self._take_usage(response)
        self._keep_error(read_error(response, failed=False))
        if self.status == "failed":
            self._keep_error(CallError(UNNAMED_TYPE, "the response failed without saying why"))

    def _take_usage(self, response: Mapping[str, Any]) -> None:
        usage = response.get("usage")
        read = read_usage(usage) if isinstance(usage, dict) else None
        if read is not None:
            self.usage = replace(read, web_searches=self._web_searches(response))
            return
        inside = f"; in usage: {keys_found(usage)}" if isinstance(usage, dict) else ""
        self._found = keys_found(response) + inside

    def _web_searches(self, response: Mapping[str, Any]) -> int | None:
        """Count searches: those that are stated to be charged, else those that the items tell."""
        for *holders, name in _SEARCHES:
            stated = reduce(member, holders, response).get(name)
            if (number := count(stated)) is not None:
                return number
        return self._items.web_searches

    def _take_item(self, event: Mapping[str, Any]) -> None:
        """Take an item that begins: a call is output at once, a message only by its text."""
        item = member(event, "item")
        self._items.take(event.get("output_index"), item)
        self.has_output = self.has_output or is_tool_call(item)

    def _take_done_item(self, event: Mapping[str, Any]) -> None:
        item = member(event, "item")
        self._items.take(event.get("output_index"), item)
        # What an MCP server offers is listed before the model begins.
        is_said = bool(item) and item.get("type") != "mcp_list_tools"
        self.has_output = self.has_output or is_said

    def _take_partial_image(self, event: Mapping[str, Any]) -> None:
        self.has_output = True

    def _take_error(self, value: Mapping[str, Any], kind: str) -> None:
        if kind != "error":
            self._keep_error(read_error(value, failed=True))
            return
        # `type` says here that this is an error, not of which type it is.
        described = {name: stated for name, stated in value.items() if name != "type"}
        error = read_error(described, failed=True)
        self._keep_error(error or CallError(UNNAMED_TYPE, ""))

    def _keep_error(self, error: CallError | None) -> None:
        self.error = self.error or error


_TAKERS: Mapping[str, Callable[[ResponseReading, Mapping[str, Any]], None]] = MappingProxyType(
    {
        "response.output_item.added": ResponseReading._take_item,
        "response.output_item.done": ResponseReading._take_done_item,
        "response.image_generation_call.partial_image": ResponseReading._take_partial_image,
    }
)
