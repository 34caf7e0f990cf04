"""One message in Converse's words, whole or event by event: what it states, wherever it stands.

The Converse API frames these objects as JSON or as messages of an event stream; the bodies of
Amazon's Nova models behind InvokeModel are the same objects. Keeps names and figures, never the
text. Format: docs.aws.amazon.com/bedrock/latest/APIReference, "Converse" and "ConverseStream".
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from remora_sidecar.dialects.bedrock.usage import (
    NOTHING,
    SEARCHED,
    Figures,
    read_converse_usage,
)
from remora_sidecar.dialects.framing.json_values import keys_found, member, word
from remora_sidecar.dialects.openai.tool_calls import MAX_TOOL_CALLS
from remora_sidecar.dialects.text_meter import TextMeter

_USUAL_TIER: Final = "default"


class ConverseReading:
    """Collects what a message states; bounded, however many events it has.

    Attributes:
        model: The model that a prompt router chose; empty where none says so.
        finish_reason: `stopReason` as stated last.
        service_tier: The tier that is billed, or ``optimized`` where latency was, which has
            prices of its own.
        figures: Usage as stated last.
        has_output: The model said something: text, thinking, the start of a tool call.
        ended: The last event of a stream, `metadata`, was seen.
    """

    def __init__(self) -> None:
        """Stand before the first object."""
        self.model = ""
        self.finish_reason = ""
        self.service_tier = ""
        self.figures: Figures = NOTHING
        self.has_output = False
        self.ended = False
        self._found = "none"
        self._tool_names: list[str] = []
        self._text = TextMeter()

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Tools that the model called, in order, those that the provider ran itself included."""
        return tuple(self._tool_names)

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the output from the text of the events so far."""
        return self._text.tokens

    @property
    def usage_searched(self) -> str:
        """Where usage was looked for and what was there, for a message about missing usage."""
        return f"searched usage for {SEARCHED}; found {self._found}"

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a whole answer."""
        self._take_end(message)
        content = member(member(message, "output"), "message").get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                self._take_block(block)

    def take_event(self, name: str, event: Mapping[str, Any]) -> None:
        """Take an event of a stream; events of unknown names say nothing."""
        take = _EVENTS.get(name)
        if take is not None:
            take(self, event)

    def _take_block(self, block: Mapping[str, Any]) -> None:
        """Take a block of a whole answer, or the start of one."""
        if "toolUse" in block:
            self.has_output = True
            name = word(member(block, "toolUse").get("name"))
            if name and len(self._tool_names) < MAX_TOOL_CALLS:
                self._tool_names.append(name)

    def _take_start(self, event: Mapping[str, Any]) -> None:
        self._take_block(member(event, "start"))

    def _take_delta(self, event: Mapping[str, Any]) -> None:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return
        for kind, value in delta.items():
            if type(value) is str:
                self._say(value)
            elif isinstance(value, dict):
                # Text or a signature of thinking, arguments of a tool, a citation, a picture.
                self._say(value.get("text") or value.get("input"))
                self.has_output |= kind != "toolUse" and any(value.values())
            else:
                self.has_output |= bool(value)

    def _say(self, text: object) -> None:
        if type(text) is str and text:
            self.has_output = True
            self._text.add(text)

    def _take_message_stop(self, event: Mapping[str, Any]) -> None:
        self.finish_reason = word(event.get("stopReason")) or self.finish_reason

    def _take_metadata(self, event: Mapping[str, Any]) -> None:
        self.ended = True
        self._take_end(event)

    def _take_end(self, holder: Mapping[str, Any]) -> None:
        self._take_message_stop(holder)
        usage = member(holder, "usage")
        figures = read_converse_usage(usage)
        if figures.is_stated:
            self.figures = figures
        inside = f"; in usage: {keys_found(usage)}" if usage else ""
        self._found = keys_found(holder) + inside
        self._take_tier(holder)
        router = member(member(holder, "trace"), "promptRouter")
        self.model = word(router.get("invokedModelId")).rpartition("/")[2] or self.model

    def _take_tier(self, holder: Mapping[str, Any]) -> None:
        tier = word(member(holder, "serviceTier").get("type"))
        latency = word(member(holder, "performanceConfig").get("latency"))
        self.service_tier = billed_tier(tier, latency) or self.service_tier


def billed_tier(tier: str, latency: str) -> str:
    """Name the tier that a call is billed at.

    Args:
        tier: `serviceTier`, such as ``flex``; empty if not stated.
        latency: `performanceConfig.latency`, ``standard`` or ``optimized``; empty if not stated.
    """
    return latency if latency == "optimized" and tier in ("", _USUAL_TIER) else tier


_EVENTS: Mapping[str, Callable[[ConverseReading, Mapping[str, Any]], None]] = MappingProxyType(
    {
        "contentBlockStart": ConverseReading._take_start,
        "contentBlockDelta": ConverseReading._take_delta,
        "messageStop": ConverseReading._take_message_stop,
        "metadata": ConverseReading._take_metadata,
    }
)

EVENTS: Final = frozenset({"messageStart", "contentBlockStop", *_EVENTS})
"""Names of the events that make up a message."""
