"""An answer in OpenAI's words: what all of its APIs state alike, for the dialects to add to.

Model, id, tier, error and usage stand at the top of a JSON answer and of each chunk or event of a
stream; a stream of chunks ends with ``[DONE]``, one of typed events with an event of its own.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import (
    HELD_ANSWER_LIMIT_BYTES,
    AnswerFacts,
    CallRequest,
    Completeness,
)
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.json_values import keys_found, word
from remora_sidecar.dialects.openai.usage import SEARCHED, read_usage, states_tokens
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.model.exchange import AnswerHead, RequestHead

_DEPLOYMENTS = "/deployments/"
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/", re.IGNORECASE)


def requested_model(head: RequestHead, asked: Mapping[str, Any]) -> str:
    """Name the requested model; on Azure the address decides, whatever the body says."""
    # Looked for twice, since few paths have the word and a pattern takes its time to find none.
    if _DEPLOYMENTS in head.path.lower() and (deployment := _DEPLOYMENT.search(head.path)):
        return word(unquote(deployment[1]))
    return word(asked.get("model"))


def is_posted_to(head: RequestHead, *suffixes: str) -> bool:
    """Tell whether a call is a POST to a path that ends in one of these, whatever the case."""
    return head.method == "POST" and head.path.rstrip("/").lower().endswith(suffixes)


class OpenAIReader:
    """Watches one answer; keeps what was stated last, never the text.

    Dialects extend it: `_take_own` for what they alone state, `_states` and `_read_usage` where
    their usage has other words.
    """

    usage_place: ClassVar[str] = "usage"
    """Where usage is searched, for messages."""

    usage_words: ClassVar[str] = SEARCHED
    """What is searched there."""

    last_events: ClassVar[frozenset[str]] = frozenset()
    """Types of events of which one ends a stream, where it has no ``[DONE]``."""

    held_limit_bytes: ClassVar[int] = HELD_ANSWER_LIMIT_BYTES
    """The most bytes of a JSON answer to hold."""

    skims: ClassVar[bool] = False
    """Answers are mostly long strings or numbers that nobody here needs."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._body = AnswerBody(
            head,
            stream=request.stream,
            sentinel=b"[DONE]",
            limit=self.held_limit_bytes,
            skim=self.skims and not self._failed,
        )
        self._model = ""
        self._response_id = ""
        self._finish_reason = ""
        self._service_tier = ""
        self._error: CallError | None = None
        self._usage: Mapping[str, Any] | None = None
        self._last: Mapping[str, Any] = {}
        self._has_output = False
        self._last_event_seen = False

    @property
    def ended(self) -> bool:
        """Whether ``[DONE]`` or the last event of a stream was seen."""
        return self._body.ended or self._last_event_seen

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools called."""
        return ()

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the output seen; 0 where the operation has none that is counted so."""
        return 0

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._take)
        return self._body.has_said(self._has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._take)
        if self._last_event_seen:
            completeness = Completeness.WHOLE
        usage = self._usage and self._read_usage(self._usage)
        return AnswerFacts(
            model=word(self._model),
            finish_reason=word(self._finish_reason),
            response_id=word(self._response_id),
            tool_names=self.tool_names,
            error=self._error,
            usage=usage or None,
            usage_problem="" if usage else self._usage_problem(completeness),
            completeness=completeness,
            service_tier=word(self._service_tier),
            output_tokens_estimate=0 if usage else self.output_tokens_estimate,
        )

    def _take(self, chunk: Mapping[str, Any], event: bytes) -> None:
        self._last = chunk
        self._take_error(chunk, event)
        if type(model := chunk.get("model")) is str and model:
            self._model = model
        if not self._response_id and type(response_id := chunk.get("id")) is str:
            self._response_id = response_id
        if type(tier := chunk.get("service_tier")) is str:
            self._service_tier = tier
        self._take_usage(chunk.get("usage"))
        if self.last_events and self._body.is_stream:
            kind = chunk.get("type")
            self._take_event(kind if type(kind) is str else event.decode("latin-1"))
        self._take_own(chunk)

    def _take_own(self, chunk: Mapping[str, Any]) -> None:
        """Take what the dialect alone states."""

    def _take_event(self, event: str) -> None:
        self._has_output = self._has_output or self._error is None
        self._last_event_seen = self._last_event_seen or event in self.last_events

    def _take_error(self, value: Mapping[str, Any], event: bytes = b"") -> None:
        if self._error is not None:
            return
        failed = self._failed or event == b"error"
        if failed or "error" in value or value.get("object") == "error":
            self._error = read_error(value, failed=failed)

    def _take_usage(self, usage: object) -> None:
        if usage and self._states(usage):
            self._usage = usage  # type: ignore[assignment]  # only objects state anything

    def _states(self, usage: object) -> bool:
        return states_tokens(usage)

    def _read_usage(self, usage: Mapping[str, Any]) -> Usage | None:
        return read_usage(usage)

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer has no usage: what was searched and what was there."""
        if self._failed or self._error is not None or not self._expects_usage():
            return ""
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        if self._body.problem:
            return self._body.problem
        stated = self._last.get("usage")
        inside = f"; in usage: {keys_found(stated)}" if isinstance(stated, dict) else ""
        searched = f"searched {self.usage_place} for {self.usage_words}"
        return f"{searched}; found {keys_found(self._last)}{inside}"

    def _expects_usage(self) -> bool:
        return self._request.states_usage
