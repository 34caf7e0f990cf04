"""One Google interaction, whole or event by event: what it states. Keeps names and figures only.

An interaction is made of steps: what the model says, and calls of tools. Events tell of steps as
they come, the last one of the interaction without them. What the API's first revision called
outputs and content is read too. Formats: ai.google.dev/api/interactions-api,
ai.google.dev/gemini-api/docs/streaming, and the official SDK.
"""

from collections.abc import Mapping
from typing import Any, Final

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, Completeness
from remora_sidecar.dialects.framing.json_values import keys_found, member, word
from remora_sidecar.dialects.gemini.usage import INTERACTION_SEARCHED, read_interaction_usage
from remora_sidecar.dialects.openai.output import OutputItems, is_tool_call
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.text_meter import TextMeter

_OPEN: Final = frozenset({"", "queued", "in_progress"})
_OWES_NOTHING: Final = frozenset({"failed", "cancelled"})
_STATUS_UPDATE: Final = "interaction.status_update"
_LAST: Final = frozenset({"interaction.completed", "interaction.complete"})


class InteractionReading:
    """Collects what an interaction states; bounded, however many events it has.

    Attributes:
        ended: It came to its end, whichever.
        has_output: The model said something: text, thoughts, the call of a tool.
    """

    def __init__(self, *, failed: bool = False, in_background: bool = False) -> None:
        """Stand before the first object.

        Args:
            failed: The answer's status says that what comes describes an error.
            in_background: It was asked to be made apart from the call.
        """
        self.ended = False
        self.has_output = False
        self._failed = failed
        self._in_background = in_background
        self._is_object = False
        self._model = ""
        self._id = ""
        self._status = ""
        self._tier = ""
        self._error: CallError | None = None
        self._usage: Usage | None = None
        self._found = "none"
        self._steps = OutputItems()
        self._text = TextMeter()

    @property
    def usage_searched(self) -> str:
        """Where usage was looked for and what was there, for a message about missing usage."""
        return f"searched usage for {INTERACTION_SEARCHED}; found {self._found}"

    @property
    def _pending(self) -> bool:
        is_apart = self._in_background or self._is_object
        return is_apart and not self.ended and self._status in _OPEN and self._id != ""

    def facts(self, completeness: Completeness, usage_problem: str = "") -> AnswerFacts:
        """Say what was stated.

        Args:
            completeness: As the carrying format tells.
            usage_problem: Told if no usage was stated though it was due.
        """
        is_due = self._error is None and not self._pending and self._status not in _OWES_NOTHING
        return AnswerFacts(
            model=self._model,
            finish_reason="" if self._status in _OPEN else self._status,
            response_id=self._id,
            tool_names=self._steps.tool_names,
            error=self._error,
            usage=self._usage,
            usage_problem=usage_problem if is_due and self._usage is None else "",
            completeness=completeness,
            service_tier=self._tier,
            pending=self._pending,
            in_background=self._in_background,
            output_tokens_estimate=0 if self.ended and self._usage else self._text.tokens,
        )

    def take(self, value: Mapping[str, Any], event: bytes = b"") -> None:
        """Take a whole interaction or one event.

        Args:
            value: The object; told apart by its `event_type`, one without any is whole.
            event: The name of its server-sent event, if it had one.
        """
        kind = word(value.get("event_type")) or event.decode("latin-1")
        is_error = self._failed or kind == "error"
        if self._error is None and (is_error or "error" in value):
            self._error = read_error(value, failed=is_error)
        if is_error:
            return
        if not kind:
            self._is_object = True
            self._take_interaction(value)
        elif kind == _STATUS_UPDATE:
            self._take_status(value)
        elif kind.startswith("interaction."):
            self._take_interaction(member(value, "interaction"))
            self.ended = self.ended or kind in _LAST
        else:
            self._take_step_event(kind, value)

    def _take_interaction(self, interaction: Mapping[str, Any]) -> None:
        named = word(interaction.get("model")) or word(interaction.get("agent"))
        self._model = named.removeprefix("models/") or self._model
        self._id = word(interaction.get("id")) or self._id
        self._tier = word(interaction.get("service_tier")) or self._tier
        self._take_status(interaction)
        self._steps.take_all(interaction.get("steps") or interaction.get("outputs"))
        self.ended = self.ended or self._status not in _OPEN

    def _take_status(self, holder: Mapping[str, Any]) -> None:
        self._status = word(holder.get("status")) or self._status
        usage = holder.get("usage")
        self._usage = read_interaction_usage(usage) or self._usage
        inside = f"; in usage: {keys_found(usage)}" if isinstance(usage, dict) else ""
        self._found = keys_found(holder) + inside

    def _take_step_event(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind.endswith(".start"):
            step = member(event, "step") or member(event, "content")
            self._steps.take(event.get("index"), step)
            self.has_output = self.has_output or is_tool_call(step)
        elif kind.endswith(".delta"):
            self._take_delta(member(event, "delta"))

    def _take_delta(self, delta: Mapping[str, Any]) -> None:
        # A signature alone is the end of thoughts that are not shown.
        self.has_output = self.has_output or delta.get("type") not in (None, "thought_signature")
        self._text.add(delta.get("text"))
        self._text.add(delta.get("arguments"))
        self._text.add(member(delta, "content").get("text"))
