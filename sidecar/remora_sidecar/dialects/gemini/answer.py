"""What Gemini generates, whole or chunk by chunk: what it states, however it is carried.

Every chunk of a stream has the shape of a whole answer, `GenerateContentResponse`; the Gemini CLI's
host wraps each in an object with a `response`. Keeps names and figures, never the text.
Formats: ai.google.dev/api/generate-content, Vertex AI's reference, and the official SDK.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from remora.records import CallError, Usage
from remora_sidecar.dialects.framing.json_values import count, keys_found, member, word
from remora_sidecar.dialects.gemini.usage import (
    SEARCHED,
    enumerated,
    read_usage,
    service_tier,
    states_tokens,
)
from remora_sidecar.dialects.openai.tool_calls import MAX_TOOL_CALLS
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.text_meter import TextMeter

MAX_CANDIDATES: Final = 64
"""Candidates beyond this many are not waited for; Google makes at most eight."""

MAX_SEARCHES: Final = 1024
"""Searches beyond this many in one answer are not counted."""

_OUTPUTS: Final = frozenset(
    {
        "functionCall",
        "inlineData",
        "fileData",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    }
)
"""Members of a part that are output beside its text."""


def unwrapped(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer inside the envelope of the Gemini CLI's host, or as it is."""
    inner = answer.get("response")
    return inner if isinstance(inner, dict) else answer


class ContentReading:
    """Collects what answers or chunks state; bounded, however many there are.

    Attributes:
        model: `modelVersion` as stated last.
        response_id: The answer's id.
        finish_reason: Of candidate 0, as stated last; why the prompt was blocked, if it was.
        error: The first error stated.
        blocked: The prompt was refused: nothing was generated.
        has_output: The model said something.
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
        self.blocked = False
        self.has_output = False
        self._failed = failed
        self._finished: set[int] = set()
        self._unfinished: set[int] = set()
        self._metadata: Mapping[str, Any] | None = None
        self._tier: Mapping[str, Any] = {}
        self._counted_at_end = False
        self._searches: set[int] = set()
        self._tool_names: list[str] = []
        self._text = TextMeter()
        self._last: Mapping[str, Any] = {}

    @property
    def has_ended(self) -> bool:
        """Whether every candidate seen has finished, or the prompt was blocked."""
        return self.blocked or (bool(self._finished) and not self._unfinished)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Functions that the model calls, in order."""
        return tuple(self._tool_names)

    @property
    def service_tier(self) -> str:
        """The tier that served the call, as stated last."""
        return service_tier(self._tier)

    @property
    def usage(self) -> Usage | None:
        """Usage as stated last; None if there was none.

        Searches are the different ones that were run with words, which is what Google counts;
        models before Gemini 3 are charged for a prompt with any of them, later ones for each
        (ai.google.dev/gemini-api/docs/google-search, "Pricing").
        """
        usage = read_usage(self._metadata) if self._metadata is not None else None
        if usage is None or not self._searches:
            return usage
        return replace(usage, web_searches=len(self._searches))

    @property
    def usage_searched(self) -> str:
        """Where usage was looked for and what was there, for a message about missing usage."""
        stated = self._last.get("usageMetadata")
        inside = f"; in usageMetadata: {keys_found(stated)}" if isinstance(stated, dict) else ""
        return f"searched usageMetadata for {SEARCHED}; found {keys_found(self._last)}{inside}"

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the output from its text; 0 where the final figure was stated."""
        return 0 if self._counted_at_end else self._text.tokens

    def take(self, answer: Mapping[str, Any], event: bytes = b"") -> None:
        """Take a whole answer or a chunk of one.

        Args:
            answer: The object, in its envelope or not.
            event: The name of its server-sent event, if it had one.
        """
        failed = self._failed or event == b"error"
        if self.error is None and (failed or "error" in answer):
            self.error = read_error(answer, failed=failed)
        answer = unwrapped(answer)
        self._last = answer
        model = answer.get("modelVersion")
        if type(model) is str and model and model != self.model:
            self.model = word(model)
        if not self.response_id:
            self.response_id = word(answer.get("responseId"))
        candidates = answer.get("candidates")
        if isinstance(candidates, list):
            for position, candidate in enumerate(candidates):
                if isinstance(candidate, dict):
                    self._take_candidate(position, candidate)
        if "promptFeedback" in answer:
            self._take_feedback(member(answer, "promptFeedback"))
        if "usageMetadata" in answer:
            self._take_metadata(member(answer, "usageMetadata"))

    def _take_metadata(self, metadata: Mapping[str, Any]) -> None:
        if "trafficType" in metadata or "serviceTier" in metadata:
            self._tier = metadata
        if states_tokens(metadata):
            self._metadata = metadata
            self._counted_at_end = self.has_ended

    def _take_feedback(self, feedback: Mapping[str, Any]) -> None:
        if reason := enumerated(feedback.get("blockReason")):
            self.blocked = True
            self.finish_reason = self.finish_reason or reason

    def _take_candidate(self, position: int, candidate: Mapping[str, Any]) -> None:
        index = position
        if "index" in candidate and (stated := count(candidate["index"])) is not None:
            index = stated
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        if isinstance(parts, list):
            for part in parts:
                if isinstance(part, dict):
                    self._take_part(part)
        reason = candidate.get("finishReason")
        if reason is not None or index not in self._unfinished:
            self._take_reason(index, enumerated(reason))
        if "groundingMetadata" in candidate:
            self._take_searches(member(candidate, "groundingMetadata").get("webSearchQueries"))

    def _take_reason(self, index: int, reason: str) -> None:
        if reason and index == 0:
            self.finish_reason = reason
        if index >= MAX_CANDIDATES:
            return
        if reason:
            self._finished.add(index)
            self._unfinished.discard(index)
        elif index not in self._finished:
            self._unfinished.add(index)

    def _take_part(self, part: Mapping[str, Any]) -> None:
        if text := part.get("text"):
            self._text.add(text)
            self.has_output = True
        elif not self.has_output and not _OUTPUTS.isdisjoint(part):
            self.has_output = True
        if "functionCall" in part:
            self._take_call(member(part, "functionCall"))

    def _take_call(self, call: Mapping[str, Any]) -> None:
        # Streamed arguments follow in parts that do not name the call again.
        name = word(call.get("name"))
        if name and len(self._tool_names) < MAX_TOOL_CALLS:
            self._tool_names.append(name)

    def _take_searches(self, queries: object) -> None:
        if not isinstance(queries, list):
            return
        for query in queries:
            if type(query) is str and query.strip() and len(self._searches) < MAX_SEARCHES:
                self._searches.add(hash(query))
