"""Whose body an answer of InvokeModel has: told by its shape, since ids of models don't always.

An inference profile, an imported model or an endpoint may be of any vendor. Each reading takes the
objects of one vendor, whole answers and chunks alike, and says what they state.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from remora.records import CallError, Usage
from remora_sidecar.dialects.anthropic.message import MessageReading
from remora_sidecar.dialects.bedrock.converse_message import EVENTS, ConverseReading
from remora_sidecar.dialects.bedrock.native import NativeReading
from remora_sidecar.dialects.bedrock.usage import NOTHING, Figures

OWN: Final = "amazon-bedrock-"
"""How the names of members begin that Bedrock adds to the vendors' objects."""

_ANTHROPIC_TYPES: Final = frozenset(
    {
        "completion", "content_block_delta", "content_block_start", "content_block_stop", "message",
        "message_delta", "message_start", "message_stop",
    }
)  # fmt: skip


class VendorReading(Protocol):
    """What the bodies of one vendor state; bounded, however many chunks there are."""

    @property
    def ended(self) -> bool:
        """Whether that event, or a whole answer, was seen."""
        ...

    @property
    def has_output(self) -> bool:
        """Whether the model said something."""
        ...

    @property
    def model(self) -> str:
        """The response model; empty if none was stated."""
        ...

    @property
    def response_id(self) -> str:
        """The answer's id."""
        ...

    @property
    def finish_reason(self) -> str:
        """The vendor's own word."""
        ...

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools called."""
        ...

    @property
    def error(self) -> CallError | None:
        """The first error stated."""
        ...

    @property
    def service_tier(self) -> str:
        """As stated."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Usage of vendors that count what was cached as input or say how they do."""
        ...

    @property
    def figures(self) -> Figures:
        """Figures of vendors that count what was cached apart, or cache nothing."""
        ...

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the output seen."""
        ...

    def take(self, value: Mapping[str, Any]) -> None:
        """Take a whole answer or a chunk."""
        ...

    def is_final(self, value: Mapping[str, Any]) -> bool:
        """Tell whether a chunk that a guardrail wrote or changed is an answer in itself."""
        ...


class AnthropicVendor(MessageReading):
    """Claude's messages and old text completions."""

    figures: Final = NOTHING

    @property
    def ended(self) -> bool:
        """Whether `message_stop` was seen, or a whole message in one chunk, as guardrails send."""
        return self.stopped or self._is_whole

    def is_final(self, value: Mapping[str, Any]) -> bool:
        """Tell by the end that was seen."""
        return self.ended


class NovaVendor(ConverseReading):
    """Nova's bodies, which are Converse's objects; an event is named by its only member."""

    response_id: Final = ""
    error: Final = None
    usage: Final = None

    def take(self, value: Mapping[str, Any]) -> None:
        """Take a whole answer or a chunk."""
        name = next((name for name in value if name in EVENTS), None)
        if name is None:
            super().take(value)
            self.ended = self.ended or "output" in value
        elif isinstance(event := value[name], dict):
            self.take_event(name, event)

    def is_final(self, value: Mapping[str, Any]) -> bool:
        """Tell by the end that was seen."""
        return self.ended


def vendor_of(value: Mapping[str, Any]) -> VendorReading | None:
    """Make the reading of the vendor whose object this is; None if it has no content at all."""
    kind = value.get("type")
    if type(kind) is str and kind in _ANTHROPIC_TYPES:
        return AnthropicVendor()
    if isinstance(value.get("output"), dict) or not EVENTS.isdisjoint(value):
        return NovaVendor()
    return None if not value or all(name.startswith(OWN) for name in value) else NativeReading()
