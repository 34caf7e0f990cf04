"""`gemini-generate`: Google's Gemini API: its own host, Vertex AI, and the one of the Gemini CLI.

The method stands behind a colon at the end of the path, the model before it:
`/v1beta/models/M:generateContent`, `/v1/projects/P/locations/L/publishers/google/models/M:…`,
`…/endpoints/ID:…`, `…/tunedModels/ID:…`; the Gemini CLI's host has `/v1internal:…` and takes model
and request in an envelope. Beside what is generated it claims what has the same addresses: token
counts, embeddings, predictions (Imagen, Veo, Vertex AI's older embeddings) and new batches; and
`/v1beta/interactions`, an API with objects of its own (`interactions.py`).

A stream is one of events (`alt=sse`) or one JSON array. Neither has a mark that says "this was
all" before its end: usage, and whatever else, may stand in a chunk behind the finish reason, and
the official SDKs read until the body ends. So only an array has `ended`, at its bracket; a stream
is whole once every candidate seen has finished (or the prompt was blocked), the array is closed
and the last event is no torn one.

Formats: ai.google.dev/api, cloud.google.com/vertex-ai/generative-ai/docs/reference/rest, and the
official SDK; the envelope is that of github.com/google-gemini/gemini-cli.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import (
    AnswerFacts,
    AnswerReader,
    CallRequest,
    Completeness,
    samples,
)
from remora_sidecar.dialects.error_shapes import google_error
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.json_values import keys_found, member, word
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.dialects.gemini.answer import ContentReading
from remora_sidecar.dialects.gemini.interactions import (
    InteractionReader,
    interaction_operation,
    is_interaction,
    read_interaction_request,
)
from remora_sidecar.dialects.gemini.usage import (
    SEARCHED,
    read_statistics,
    read_usage,
    service_tier,
    states_tokens,
)
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.model.exchange import AnswerHead, RequestHead, header
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "gemini-generate"

_GENERATE = "generate_content"
_EMBED = "embeddings"
_PREDICT = "predict"

_OPERATIONS: Final[Mapping[str, str]] = {
    "generatecontent": _GENERATE,
    "streamgeneratecontent": _GENERATE,
    "counttokens": "count_tokens",
    "embedcontent": _EMBED,
    "batchembedcontents": _EMBED,
    "predict": _PREDICT,
    "predictlongrunning": _PREDICT,
    "batchgeneratecontent": "batches",
    "asyncbatchembedcontent": "batches",
}
_STREAMED: Final = "streamgeneratecontent"
_ADDRESS: Final = re.compile(r"(?:/(models|tunedModels|endpoints)/([^/]+)|[^/]):(\w+)/*$", re.I)
_PREDICTIONS: Final = (
    ("embedding", _EMBED),
    ("imagen", "image_generation"),
    ("veo-", "video_generation"),
)
"""What models that answer `predict` are for, by what stands in their names."""

_TIER_FIELD: Final = b"x-gemini-service-tier"


def _address(head: RequestHead) -> tuple[str, str]:
    """Tell method (in lower case) and model by the path; empty where it says none."""
    path = unquote(head.path) if "%" in head.path else head.path
    found = _ADDRESS.search(path)
    if found is None:
        return "", ""
    kind, name, method = found.groups()
    model = name if kind is None or kind.lower() == "models" else f"{kind}/{name}"
    return method.lower(), word(model or "")


def _operation(method: str, model: str) -> str:
    operation = _OPERATIONS.get(method, "")
    if operation != _PREDICT:
        return operation
    return next((kind for part, kind in _PREDICTIONS if part in model.lower()), _PREDICT)


def _is_text_embedding(method: str, model: str) -> bool:
    """Tell a prediction that always states its tokens."""
    name = model.lower()
    return method == _PREDICT and "embedding" in name and "multimodal" not in name


def _either(asked: Mapping[str, Any], name: str, quoted: str) -> object:
    """Take a member by one of the two names that Google's APIs read."""
    return asked[name] if name in asked else asked.get(quoted)


def _samples(asked: Mapping[str, Any]) -> bool:
    config = _either(asked, "generationConfig", "generation_config")
    if not isinstance(config, dict):
        return samples(None)
    choices = _either(config, "candidateCount", "candidate_count")
    return samples(config.get("temperature"), config.get("seed"), choices)


class GeminiGenerate:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST whose path ends in one of the methods, and interactions."""
        is_method = head.method == "POST" and _address(head)[0] in _OPERATIONS
        return is_method or interaction_operation(head) != ""

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read operation, model and stream mode from the path, the model else from the body.

        At an address that tells no operation something is generated.
        """
        if interaction_operation(head):
            return read_interaction_request(head, body)
        method, model = _address(head)
        operation = _operation(method, model) or _GENERATE
        asked, problem = read_asked(head, body)
        inner = member(asked, "request") or asked
        stated = word(asked.get("model")) or word(inner.get("model"))
        is_generated = operation == _GENERATE
        is_made_up = method.startswith(_PREDICT) and operation != _EMBED
        return CallRequest(
            operation,
            model=model or stated.removeprefix("models/"),
            stream=method == _STREAMED,
            states_usage=is_generated or _is_text_embedding(method, model),
            problem=problem,
            samples=_samples(inner) if is_generated else is_made_up,
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> AnswerReader:
        """Make the reader of the answer."""
        if is_interaction(request):
            return InteractionReader(head, request)
        if request.operation == _GENERATE:
            return ContentReader(head, request)
        return ResultReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return google_error(refusal, call_id)


def _usage_problem(body: AnswerBody, completeness: Completeness, searched: str) -> str:
    if completeness is Completeness.CUT:
        return "answer was cut before it stated usage"
    return body.problem or searched


class ContentReader:
    """Watches one answer of generated content: JSON, an array of chunks, or events."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._tier = header(head.headers, _TIER_FIELD) or ""
        self._content = ContentReading(failed=self._failed)
        self._body = AnswerBody(
            head,
            stream=request.stream,
            arrays=True,
            skim_long=True,  # pictures and sound
        )

    @property
    def ended(self) -> bool:
        """Whether the array of a stream was closed; events have no such end."""
        return self._body.is_array and self._body.ended

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._content.take)
        return self._body.has_said(self._content.has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._content.take)
        content = self._content
        if self._body.is_stream:
            is_whole = content.has_ended and not self._body.is_torn
            completeness = Completeness.WHOLE if is_whole else Completeness.CUT
        usage = content.usage
        return AnswerFacts(
            model=content.model,
            finish_reason=content.finish_reason,
            response_id=content.response_id,
            tool_names=content.tool_names,
            error=content.error,
            usage=usage,
            usage_problem="" if usage else self._usage_problem(completeness),
            completeness=completeness,
            service_tier=content.service_tier or word(self._tier).lower(),
            output_tokens_estimate=content.output_tokens_estimate,
        )

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer has no usage; one of a blocked prompt used nothing."""
        content = self._content
        if self._failed or content.error is not None or content.blocked:
            return ""
        return _usage_problem(self._body, completeness, content.usage_searched)


class ResultReader:
    """Watches one JSON answer of another kind; reads its error and what usage it states."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._body = AnswerBody(head, stream=False, skim=not self._failed)
        self._answer: Mapping[str, Any] = {}
        self._error: CallError | None = None

    @property
    def ended(self) -> bool:
        """Never known: it is no stream."""
        return False

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; any of a successful answer is output."""
        self._body.feed(data, self._take)
        return self._body.begun and not self._failed

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._take)
        usage = self._usage()
        expected = self._request.states_usage and not self._failed and self._error is None
        problem = _usage_problem(self._body, completeness, self._searched()) if expected else ""
        return AnswerFacts(
            error=self._error,
            usage=usage,
            usage_problem="" if usage else problem,
            completeness=completeness,
            service_tier=service_tier(member(self._answer, "usageMetadata")),
        )

    def _take(self, answer: Mapping[str, Any], event: bytes) -> None:
        self._answer = answer
        self._error = read_error(answer, failed=self._failed)

    def _usage(self) -> Usage | None:
        if self._request.operation != _EMBED:
            return None
        metadata = self._answer.get("usageMetadata")
        if isinstance(metadata, dict) and states_tokens(metadata):
            return read_usage(metadata)
        return read_statistics(self._answer)

    def _searched(self) -> str:
        places = f"usageMetadata for {SEARCHED} and predictions for token_count"
        return f"searched {places}; found {keys_found(self._answer)}"
