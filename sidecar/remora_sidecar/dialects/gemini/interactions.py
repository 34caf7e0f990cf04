"""Google's Interactions API: which calls are in it, what they ask for, how their answers end.

A part of `gemini-generate`: `/v1beta/interactions` of the Gemini API, the same below a project and
location on Vertex AI. An interaction states usage once it is done; one that is made in the
background tells it to whoever reads it back. A stream ends with the interaction's last event,
behind which ``[DONE]`` follows. Format: ai.google.dev/api/interactions-api.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, samples
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.json_values import member, word
from remora_sidecar.dialects.framing.request_fields import is_true, read_asked
from remora_sidecar.dialects.gemini.interaction import InteractionReading
from remora_sidecar.model.exchange import AnswerHead, RequestHead

INTERACTION: Final = "interaction"
"""Variant of the dialect's calls that are about interactions."""

BACKGROUND: Final = "background interaction"
"""The same, made apart from the call that asks for it."""

_CREATE: Final = "generate_content"
_RETRIEVE: Final = "interactions.retrieve"
_CANCEL: Final = "interactions.cancel"
_DELETE: Final = "interactions.delete"

_PATH: Final = re.compile(r"/v\d\w*/(?:.*/)?interactions(/[^/:]+)?(/cancel)?/*$", re.IGNORECASE)


def interaction_operation(head: RequestHead) -> str:
    """Tell the operation by method and path; empty if it is not about an interaction."""
    found = _PATH.search(head.path)
    if found is None:
        return ""
    has_id, cancels = found[1] is not None, found[2] is not None
    if head.method == "POST":
        return (_CANCEL if cancels else "") if has_id else _CREATE
    if not has_id or cancels:
        return ""
    return {"GET": _RETRIEVE, "DELETE": _DELETE}.get(head.method, "")


def is_interaction(request: CallRequest) -> bool:
    """Tell whether a request that was read is about an interaction."""
    return request.variant in (INTERACTION, BACKGROUND)


def _samples(asked: Mapping[str, Any]) -> bool:
    config = member(asked, "generation_config")
    return samples(config.get("temperature"), config.get("seed"))


def read_interaction_request(head: RequestHead, body: bytes) -> CallRequest:
    """Read operation, model (or agent) and stream mode."""
    operation = interaction_operation(head)
    if operation != _CREATE:
        return CallRequest(
            operation,
            stream=operation == _RETRIEVE and is_true(dict(parse_qsl(head.query)).get("stream")),
            states_usage=operation == _RETRIEVE,
            variant=INTERACTION,
            reads_back=operation in (_RETRIEVE, _CANCEL),
        )
    asked, problem = read_asked(head, body)
    named = word(asked.get("model")) or word(asked.get("agent"))
    return CallRequest(
        operation,
        model=named.removeprefix("models/"),
        stream=asked.get("stream") is True,
        problem=problem,
        variant=BACKGROUND if asked.get("background") is True else INTERACTION,
        samples=_samples(asked),
    )


class InteractionReader:
    """Watches one answer: an interaction as JSON, or its events."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._interaction = InteractionReading(
            failed=self._failed, in_background=request.variant == BACKGROUND
        )
        self._body = AnswerBody(
            head,
            stream=request.stream,
            sentinel=b"[DONE]",
            skim_long=True,  # pictures and sound
        )

    @property
    def ended(self) -> bool:
        """Whether the event that ends the interaction was seen, or ``[DONE]``."""
        return self._body.is_stream and (self._interaction.ended or self._body.ended)

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._interaction.take)
        return self._body.has_said(self._interaction.has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._interaction.take)
        if self._body.is_stream:
            completeness = Completeness.WHOLE if self.ended else Completeness.CUT
        return self._interaction.facts(completeness, self._usage_problem(completeness))

    def _usage_problem(self, completeness: Completeness) -> str:
        if self._failed or not self._request.states_usage:
            return ""
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        return self._body.problem or self._interaction.usage_searched
