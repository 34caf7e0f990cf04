"""`openai-responses`: OpenAI's Responses API over HTTP, wherever it is served.

OpenAI, Azure, Bedrock's own OpenAI address, OpenRouter, xAI, Groq, DeepSeek, vLLM, Ollama and
others serve it under some prefix. Beside the making of responses it claims what is done with
those that are stored: reading one back (as it stands, or as a stream from any event on),
cancelling and deleting it, listing its input; and the counting of tokens and the compaction of a
context, which lie under the same path. Conversations and WebSockets are others' to claim.

A response that is made and a compaction state usage. Reading or cancelling one tells the usage
of the call that made it. What `input_tokens` answers is a figure that the agent asked for, not
one that anybody is charged for.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl

from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, samples
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.request_fields import is_true, read_asked
from remora_sidecar.dialects.openai.answer import requested_model
from remora_sidecar.dialects.openai.response import ResponseReading
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-responses"

_CHAT: Final = "chat"
_COUNT_TOKENS: Final = "count_tokens"
_COMPACT: Final = "responses.compact"
_RETRIEVE: Final = "responses.retrieve"
_CANCEL: Final = "responses.cancel"
_DELETE: Final = "responses.delete"
_INPUT_ITEMS: Final = "responses.input_items"

_GENERATES = frozenset({_CHAT, _COMPACT})
_READS_BACK = frozenset({_RETRIEVE, _CANCEL})
_STATES_USAGE = _GENERATES | {_RETRIEVE}

_PATH = re.compile(r".*/responses((?:/[^/]+){0,2})/*$", re.IGNORECASE | re.DOTALL)
_PERPLEXITY_PATH = re.compile(r"/v1/agent((?:/[^/]+){0,2})/*$")
"""Perplexity's own name for what it serves under ``/v1/responses`` too."""

_ID = "*"
"""Stands for the id of a response."""

_OPERATIONS: Mapping[tuple[str, ...], str] = {
    ("POST",): _CHAT,
    ("POST", "input_tokens"): _COUNT_TOKENS,
    ("POST", "compact"): _COMPACT,
    ("POST", _ID, "cancel"): _CANCEL,
    ("GET", _ID): _RETRIEVE,
    ("GET", _ID, "input_items"): _INPUT_ITEMS,
    ("DELETE", _ID): _DELETE,
}


def _operation(head: RequestHead) -> str:
    """Tell the operation by method and path; empty for a call of another dialect."""
    found = _PATH.match(head.path)
    if found is None and head.host == "api.perplexity.ai":
        found = _PERPLEXITY_PATH.match(head.path)
    if found is None:
        return ""
    method, names = head.method, found[1].lower().split("/")[1:]
    named = _OPERATIONS.get((method, *names), "")
    if named or not names:
        return named
    return _OPERATIONS.get((method, _ID, *names[1:]), "")


def _asks_for_stream(head: RequestHead) -> bool:
    return is_true(dict(parse_qsl(head.query)).get("stream"))


def _read_generation(operation: str, head: RequestHead, body: bytes) -> CallRequest:
    """Read a request with a body that names a model."""
    asked, problem = read_asked(head, body)
    return CallRequest(
        operation,
        model=requested_model(head, asked),
        stream=asked.get("stream") is True,
        states_usage=operation in _STATES_USAGE,
        problem=problem,
        # The API has no seed and makes one response.
        samples=operation != _COUNT_TOKENS and samples(asked.get("temperature")),
    )


class OpenAIResponses:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim the making of responses, and what is done with those that were made."""
        return _operation(head) != ""

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read operation, model and stream mode from method, address and body."""
        operation = _operation(head) or _CHAT  # at an address that a policy says is one
        if operation in _GENERATES or operation == _COUNT_TOKENS:
            return _read_generation(operation, head, body)
        return CallRequest(
            operation,
            stream=operation == _RETRIEVE and _asks_for_stream(head),
            states_usage=operation in _STATES_USAGE,
            reads_back=operation in _READS_BACK,
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "ResponseReader":
        """Make the reader of the answer."""
        return ResponseReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)


class ResponseReader:
    """Watches one answer: a response or another object as JSON, or a response's events as SSE."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._response = ResponseReading(failed=self._failed)
        self._body = AnswerBody(head, stream=request.stream, sentinel=b"[DONE]", skim_long=True)

    @property
    def ended(self) -> bool:
        """Whether an event that ends the response was seen, or ``[DONE]``, which some add."""
        return self._body.is_stream and (self._response.ended or self._body.ended)

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._response.take)
        if not self._body.is_stream:
            return self._body.begun and not self._failed
        if (skipped := self._body.skipped) is not None:
            self._response.take_unread(skipped.data, skipped.name)
        return self._response.has_output

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._response.take)
        if self._body.is_stream:
            completeness = Completeness.WHOLE if self.ended else Completeness.CUT
        facts = self._response.facts(completeness, self._usage_problem(completeness))
        is_cut = completeness is Completeness.CUT and not self._failed
        if self._request.reads_back and is_cut and not self._response.ended:
            # How the response stands is told anew to whoever reads it again.
            return replace(facts, pending=True, usage_problem="")
        return facts

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer would have no usage."""
        if self._failed or not self._request.states_usage:
            return ""
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        return self._body.problem or self._response.usage_searched
