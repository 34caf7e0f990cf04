"""`cohere-chat`: Cohere's own API, both versions: chats, embeddings, reranking and the rest.

A chat streams as SSE in the second version, which ends with the event ``message-end``, and as
lines of JSON in the first, which end with ``stream-end``; docs.cohere.com/reference. Answers name
no model. Cohere's OpenAI-compatible form is not in this dialect.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, samples
from remora_sidecar.dialects.cohere.message import MessageReading
from remora_sidecar.dialects.cohere.usage import SEARCHED, read_usage
from remora_sidecar.dialects.error_shapes import cohere_error
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.json_values import keys_found, word
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "cohere-chat"

_EMBEDDINGS: Final = "embeddings"
_SAMPLED: Final = frozenset({"chat", "text_completion"})
_STATING_NO_TOKENS: Final = frozenset({"classification", "count_tokens", "detokenize"})
_OPERATIONS: Final = {
    "chat": "chat",
    "generate": "text_completion",
    "summarize": "text_completion",
    "embed": _EMBEDDINGS,
    "rerank": "rerank",
    "classify": "classification",
    "tokenize": "count_tokens",
    "detokenize": "detokenize",
}
_PATH = re.compile(rf"/v[12]/({'|'.join(_OPERATIONS)})/*$", re.IGNORECASE)


def _operation(head: RequestHead) -> str:
    """Tell the operation by the path; empty for a call of another dialect."""
    path = _PATH.search(head.path) if head.method == "POST" else None
    return _OPERATIONS[path[1].lower()] if path else ""


class CohereChat:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path of the API, under any prefix."""
        return _operation(head) != ""

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode; the first version may leave the model to Cohere."""
        operation = _operation(head)
        asked, problem = read_asked(head, body)
        sampled = samples(asked.get("temperature"), asked.get("seed"), asked.get("num_generations"))
        return CallRequest(
            operation,
            model=word(asked.get("model")),
            stream=asked.get("stream") is True,
            states_usage=operation not in _STATING_NO_TOKENS,
            problem=problem,
            samples=operation in _SAMPLED and sampled,
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "CohereReader":
        """Make the reader of the answer."""
        return CohereReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return cohere_error(refusal, call_id)


class CohereReader:
    """Watches one answer: JSON, SSE or lines of JSON."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._message = MessageReading(failed=self._failed)
        self._body = AnswerBody(
            head,
            stream=request.stream,
            sentinel=b"[DONE]",
            lines=True,
            skim=request.operation == _EMBEDDINGS and not self._failed,
        )

    @property
    def ended(self) -> bool:
        """Whether the last event of a stream was seen."""
        return self._body.is_stream and self._message.stopped

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._take)
        return self._body.has_said(self._message.has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._take)
        if self._body.is_stream:
            completeness = Completeness.WHOLE if self._message.stopped else Completeness.CUT
        said = self._message
        usage = read_usage(said.usage)
        return AnswerFacts(
            finish_reason=said.finish_reason,
            response_id=said.response_id,
            tool_names=said.tool_names,
            error=said.error,
            usage=usage,
            usage_problem="" if usage else self._usage_problem(completeness),
            completeness=completeness,
            output_tokens_estimate=0 if usage else said.output_tokens_estimate,
        )

    def _take(self, value: Mapping[str, Any], event: bytes) -> None:
        if self._body.is_stream:
            self._message.take_event(value, event)
        else:
            self._message.take(value)

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer has no usage: what was searched and what was there."""
        said = self._message
        if self._failed or said.error is not None or not self._request.states_usage:
            return ""
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        found = f"{keys_found(said.last)}; in usage: {keys_found(said.usage)}"
        return self._body.problem or f"searched usage and meta for {SEARCHED}; found {found}"
