"""`anthropic-messages`: Anthropic's Messages API, wherever it is served over HTTP and SSE.

Anthropic, Azure, Bedrock's own Anthropic address, DeepSeek, Moonshot, Ollama and others serve it
under some prefix; Vertex AI names model and stream mode in the path. Beside messages it claims
what has the same prefix: token counts, batches and the old text completions.

Only messages state usage. What `count_tokens` answers is a figure that the agent asked for, not
one that anybody is charged for. The results of a batch are messages of many calls, made earlier.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from remora_sidecar.dialects.anthropic.message import MessageReading
from remora_sidecar.dialects.base import (
    AnswerFacts,
    AnswerReader,
    CallRequest,
    Completeness,
    samples,
)
from remora_sidecar.dialects.error_shapes import anthropic_error
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.json_values import member, parse_json, word
from remora_sidecar.dialects.unknown import UnknownReader
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "anthropic-messages"

_CHAT = "chat"
_COUNT_TOKENS = "count_tokens"
_TEXT_COMPLETION = "text_completion"
_BATCHES = "batches"

_POSTED = {
    "messages": _CHAT,
    "messages/count_tokens": _COUNT_TOKENS,
    "complete": _TEXT_COMPLETION,
}
_POSTED_PATH = re.compile(r"/v1/(messages|messages/count_tokens|complete)/*$", re.IGNORECASE)
_BATCHES_PATH = re.compile(r"/v1/messages/batches(/.*)?$", re.IGNORECASE)
_VERTEX_PATH = re.compile(
    r"/publishers/anthropic/models/([^/]+):(stream)?rawPredict$", re.IGNORECASE
)
_VERTEX_COUNT_TOKENS = "count-tokens"
"""Stands where a model's name stands, for the call that counts tokens."""


def _operation(head: RequestHead) -> str:
    """Tell the operation by method and path; empty for a call of another dialect."""
    if _BATCHES_PATH.search(head.path):
        return _BATCHES
    if head.method != "POST":
        return ""
    if posted := _POSTED_PATH.search(head.path):
        return _POSTED[posted[1].lower()]
    if vertex := _VERTEX_PATH.search(head.path):
        return _COUNT_TOKENS if vertex[1] == _VERTEX_COUNT_TOKENS else _CHAT
    return ""


def _model(head: RequestHead, asked: Mapping[str, Any]) -> str:
    """Name the requested model; on Vertex the path decides, whatever the body says."""
    vertex = _VERTEX_PATH.search(head.path)
    if vertex and vertex[1] != _VERTEX_COUNT_TOKENS:
        return word(unquote(vertex[1]))
    return word(asked.get("model"))


def _batched_model(asked: Mapping[str, Any]) -> str:
    """Name the model that all requests of a new batch are for; empty if they differ."""
    requests = asked.get("requests")
    items = requests if isinstance(requests, list) else []
    models = {word(member(item, "params").get("model")) for item in items if type(item) is dict}
    return models.pop() if len(models) == 1 else ""


def _is_stream(head: RequestHead, asked: Mapping[str, Any]) -> bool:
    vertex = _VERTEX_PATH.search(head.path)
    return asked.get("stream") is True or (vertex is not None and vertex[2] is not None)


class AnthropicMessages:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim messages, token counts, text completions and whatever is done with batches."""
        return _operation(head) != ""

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read operation, model and stream mode from path and body.

        At an address that tells no operation it is a message.
        """
        operation = _operation(head) or _CHAT
        asked = parse_json(body)
        if operation == _BATCHES:
            model = _batched_model(asked) if isinstance(asked, dict) else ""
            return CallRequest(operation, model, states_usage=False)
        is_object = isinstance(asked, dict)
        problem = "request body is no JSON object" if body else "request has no body"
        asked = asked if is_object else {}
        return CallRequest(
            operation,
            model=_model(head, asked),
            stream=_is_stream(head, asked),
            states_usage=operation == _CHAT,
            problem="" if is_object else problem,
            samples=operation != _COUNT_TOKENS and samples(asked.get("temperature")),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> AnswerReader:
        """Make the reader of the answer; what is done with batches has answers of many kinds."""
        if request.operation == _BATCHES:
            return UnknownReader(head, request)
        return MessageReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return anthropic_error(refusal, call_id)


class MessageReader:
    """Watches one answer: a message or another object as JSON, or a message's events as SSE."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._message = MessageReading(failed=self._failed)
        self._body = AnswerBody(head, stream=request.stream)

    @property
    def ended(self) -> bool:
        """Whether `message_stop` was seen."""
        return self._body.is_stream and self._message.stopped

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._message.take)
        return self._body.has_said(self._message.has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._message.take)
        if self._body.is_stream:
            completeness = Completeness.WHOLE if self._message.stopped else Completeness.CUT
        return self._message.facts(completeness, self._usage_problem(completeness))

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer would have no usage."""
        if self._failed or self._message.error is not None or not self._request.states_usage:
            return ""
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        return self._body.problem or self._message.usage_searched
