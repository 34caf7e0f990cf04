"""One Anthropic message, whole or event by event: what it states, wherever it is carried.

The Messages API, Bedrock and Vertex frame the same objects differently; the dialect undoes the
frames and gives the objects to a `MessageReading`. Keeps names and figures, never the text.
Formats: platform.claude.com/docs, "Messages" and "Streaming messages", and the official SDK.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from remora.records import CallError, Usage
from remora_sidecar.dialects.anthropic.usage import SEARCHED, AnthropicUsage
from remora_sidecar.dialects.base import AnswerFacts, Completeness
from remora_sidecar.dialects.framing.json_values import count, keys_found, member, word
from remora_sidecar.dialects.openai.tool_calls import MAX_TOOL_CALLS
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.text_meter import TextMeter

_DELTA_TEXTS = ("text", "thinking", "partial_json", "content")
"""Members of a block's delta that the model wrote; `content` is that of a compaction."""


class MessageReading:
    """Collects what a message states; bounded, however many events it has.

    Attributes:
        model: The response model; after a server-side fallback the one that took over.
        response_id: The message's id.
        finish_reason: `stop_reason` as stated last.
        error: The first error stated.
        stopped: `message_stop` was seen.
        has_output: The model said something: text, thinking, the start of a tool call.
    """

    def __init__(self, *, failed: bool = False) -> None:
        """Stand before the first object.

        Args:
            failed: The answer's status says that what comes describes an error.
        """
        self.model = ""
        self.response_id = ""
        self.finish_reason = ""
        self.error: CallError | None = None
        self.stopped = False
        self.has_output = False
        self._failed = failed
        self._is_whole = False
        self._output_was_counted = False
        self._usage = AnthropicUsage()
        self._found = "none"
        self._tool_names: list[str] = []
        self._text = TextMeter()

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Tools that the model called, in order, those that the provider ran itself included."""
        return tuple(self._tool_names)

    @property
    def service_tier(self) -> str:
        """The tier that the usage states, such as ``standard``, ``priority`` or ``fast``."""
        return self._usage.service_tier

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the output from the text of the events so far."""
        return self._text.tokens

    @property
    def usage(self) -> Usage | None:
        """Usage as stated last; None if there was none.

        `message_start` states an output that has only begun. Of a stream that has not come
        to its stop reason, or never counted its output later, the output is what was stated or
        the estimate, whichever is more, and the figures are marked as estimated.
        """
        has_ended = self.stopped or self.finish_reason != ""
        is_final = self._is_whole or (has_ended and self._output_was_counted)
        return self._usage.usage(None if is_final else self._text.tokens)

    @property
    def usage_searched(self) -> str:
        """Where usage was looked for and what was there, for a message about missing usage."""
        return f"searched usage for {SEARCHED}; found {self._found}"

    def facts(self, completeness: Completeness, usage_problem: str = "") -> AnswerFacts:
        """Say what was stated; no estimate where the output's final figure is known.

        Args:
            completeness: As the carrying format tells.
            usage_problem: Told if no usage was stated.
        """
        usage = self.usage
        is_known = usage is not None and not usage.estimated
        return AnswerFacts(
            model=self.model,
            finish_reason=self.finish_reason,
            response_id=self.response_id,
            tool_names=self.tool_names,
            error=self.error,
            usage=usage,
            usage_problem="" if usage else usage_problem,
            completeness=completeness,
            service_tier=self.service_tier,
            output_tokens_estimate=0 if is_known else self.output_tokens_estimate,
        )

    def take(self, value: Mapping[str, Any], event: bytes = b"") -> None:
        """Take a whole message or one event.

        Args:
            value: The object; told apart by its `type`, one without any is a message.
            event: The name of its server-sent event, if it had one.
        """
        kind = value.get("type")
        is_error = self._failed or kind == "error" or event == b"error"
        if is_error or value.get("error"):
            self._take_error(value, is_error=is_error)
        if kind is None and not is_error:
            self._take_message(value)
        elif type(kind) is str and (take := _TAKERS.get(kind)) is not None:
            take(self, value)

    def _take_error(self, value: Mapping[str, Any], *, is_error: bool) -> None:
        if self.error is None:
            self.error = read_error(value, failed=is_error)

    def _take_message(self, message: Mapping[str, Any]) -> None:
        self._is_whole = True
        self._take_begun(message)

    def _take_start(self, event: Mapping[str, Any]) -> None:
        self._take_begun(member(event, "message"))

    def _take_begun(self, message: Mapping[str, Any]) -> None:
        self.model = word(message.get("model")) or self.model
        self.response_id = word(message.get("id")) or self.response_id
        self._take_end(message, message)
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                self._take_block(block)

    def _take_message_delta(self, event: Mapping[str, Any]) -> None:
        self._take_end(event, member(event, "delta"))
        if count(member(event, "usage").get("output_tokens")) is not None:
            self._output_was_counted = True

    def _take_end(self, holder: Mapping[str, Any], delta: Mapping[str, Any]) -> None:
        self.finish_reason = word(delta.get("stop_reason")) or self.finish_reason
        usage = holder.get("usage")
        self._usage.take(usage)
        if not self._usage.is_stated:
            inside = f"; in usage: {keys_found(usage)}" if isinstance(usage, dict) else ""
            self._found = keys_found(holder) + inside

    def _take_block_start(self, event: Mapping[str, Any]) -> None:
        self._take_block(member(event, "content_block"))

    def _take_block(self, block: Mapping[str, Any]) -> None:
        kind = word(block.get("type"))
        if kind == "fallback":
            self.model = word(member(block, "to").get("model")) or self.model
        elif kind.endswith("tool_use"):
            self.has_output = True
            if len(self._tool_names) < MAX_TOOL_CALLS and (name := word(block.get("name"))):
                self._tool_names.append(name)
        else:
            self._take_text(block, ("text", "thinking"))
            self.has_output |= bool(block.get("data") or block.get("content"))

    def _take_block_delta(self, event: Mapping[str, Any]) -> None:
        delta = event.get("delta")
        if isinstance(delta, dict):
            self._take_text(delta, _DELTA_TEXTS)
            # A signature alone is the end of thinking that is not shown.
            self.has_output |= bool(delta.get("signature") or delta.get("citation"))

    def _take_text(self, holder: Mapping[str, Any], names: tuple[str, ...]) -> None:
        for name in names:
            if text := holder.get(name):
                self._text.add(text)
                self.has_output = True

    def _take_stop(self, event: Mapping[str, Any]) -> None:
        self.stopped = True

    def _take_completion(self, completion: Mapping[str, Any]) -> None:
        """Take the answer or event of the old text completions, which state no usage."""
        self.model = word(completion.get("model")) or self.model
        self.response_id = word(completion.get("id")) or self.response_id
        self._take_text(completion, ("completion",))
        if reason := word(completion.get("stop_reason")):
            self.finish_reason = reason
            self.stopped = True


_TAKERS: Mapping[str, Callable[[MessageReading, Mapping[str, Any]], None]] = MappingProxyType(
    {
        "message": MessageReading._take_message,
        "message_start": MessageReading._take_start,
        "content_block_start": MessageReading._take_block_start,
        "content_block_delta": MessageReading._take_block_delta,
        "message_delta": MessageReading._take_message_delta,
        "message_stop": MessageReading._take_stop,
        "completion": MessageReading._take_completion,
    }
)
