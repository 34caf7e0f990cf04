"""`openai-chat`: OpenAI's Chat Completions, the wire format that nearly every provider offers.

Reads JSON answers and SSE streams of OpenAI, Azure OpenAI, Mistral, Groq, Together, DeepSeek,
xAI, OpenRouter, Google's compatible form, vLLM, Ollama and their kin by the format, not the host.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from remora.records import CallError
from remora_sidecar.dialects.answer_body import AnswerBody
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, samples
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.json_values import count, keys_found, member, parse_json, word
from remora_sidecar.dialects.openai_usage import SEARCHED, read_usage, states_tokens
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.tool_calls import ToolCalls
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-chat"

GOOGLE = "google"
"""Variant whose thoughts are counted in the total only."""

_SUFFIX = "/chat/completions"
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/", re.IGNORECASE)
_GOOGLE_PATHS = ("/v1beta/openai/", "/endpoints/openapi/")


def _variant(head: RequestHead) -> str:
    is_google = head.host.endswith(".googleapis.com") or any(p in head.path for p in _GOOGLE_PATHS)
    return GOOGLE if is_google else ""


def _model(head: RequestHead, body: Mapping[str, Any]) -> str:
    """Name the requested model; on Azure the address decides, whatever the body says."""
    deployment = _DEPLOYMENT.search(head.path)
    return word(unquote(deployment[1])) if deployment else word(body.get("model"))


class OpenAIChat:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path that ends in ``/chat/completions``."""
        return head.method == "POST" and head.path.rstrip("/").lower().endswith(_SUFFIX)

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode; a stream states usage if it was asked to."""
        asked = parse_json(body)
        if not isinstance(asked, dict):
            problem = "request body is no JSON object" if body else "request has no body"
            return CallRequest(
                "chat", model=_model(head, {}), problem=problem, variant=_variant(head)
            )
        stream = asked.get("stream") is True
        return CallRequest(
            "chat",
            model=_model(head, asked),
            stream=stream,
            states_usage=not stream or member(asked, "stream_options").get("include_usage") is True,
            variant=_variant(head),
            samples=samples(asked.get("temperature"), asked.get("seed"), asked.get("n")),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "ChatReader":
        """Make the reader of the answer."""
        return ChatReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)


class ChatReader:
    """Watches one answer; keeps what was stated last, never the text."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._body = AnswerBody(head, self._take, stream=request.stream, sentinel=b"[DONE]")
        self._model = ""
        self._response_id = ""
        self._finish_reason = ""
        self._service_tier = ""
        self._error: CallError | None = None
        self._usage: Mapping[str, Any] | None = None
        self._last: Mapping[str, Any] = {}
        self._tools = ToolCalls()
        self._has_output = False

    @property
    def ended(self) -> bool:
        """Whether ``[DONE]`` was seen."""
        return self._body.ended

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data)
        if self._body.is_stream:
            return self._has_output
        return self._body.begun and not self._failed

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish()
        usage = self._usage and read_usage(
            self._usage, hidden_thoughts=self._request.variant == GOOGLE
        )
        return AnswerFacts(
            model=word(self._model),
            finish_reason=word(self._finish_reason),
            response_id=word(self._response_id),
            tool_names=self._tools.names,
            error=self._error,
            usage=usage or None,
            usage_problem="" if usage else self._usage_problem(completeness),
            completeness=completeness,
            service_tier=word(self._service_tier),
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
        if "x_groq" in chunk:
            self._take_usage(member(chunk, "x_groq").get("usage"))
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for position, choice in enumerate(choices):
                if isinstance(choice, dict):
                    self._take_choice(position, choice)

    def _take_error(self, value: Mapping[str, Any], event: bytes = b"") -> None:
        if self._error is None:
            self._error = read_error(value, failed=self._failed or event == b"error")

    def _take_usage(self, usage: object) -> None:
        if usage and states_tokens(usage):
            self._usage = usage  # type: ignore[assignment]  # states_tokens takes only objects

    def _take_choice(self, position: int, choice: Mapping[str, Any]) -> None:
        index = count(choice.get("index"))
        index = position if index is None else index
        reason = choice.get("finish_reason")
        if reason and index == 0 and type(reason) is str:
            self._finish_reason = reason
        if "error" in choice:
            self._take_error({"error": choice["error"]})
        if "usage" in choice:  # Moonshot
            self._take_usage(choice["usage"])
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, dict):
            self._take_said(index, said)

    def _take_said(self, choice: int, said: Mapping[str, Any]) -> None:
        if not self._has_output:
            self._has_output = any(value for name, value in said.items() if name != "role")
        if calls := said.get("tool_calls"):
            self._tools.take(choice, calls)
        if function := said.get("function_call"):
            self._tools.take_function(choice, function)

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer has no usage: what was searched and what was there."""
        expected = self._request.states_usage or not self._body.is_stream
        if self._failed or self._error is not None or not expected:
            return ""
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        if self._body.problem:
            return self._body.problem
        place = "usage, x_groq.usage and choices[].usage"
        stated = self._last.get("usage")
        inside = f"; in usage: {keys_found(stated)}" if isinstance(stated, dict) else ""
        return f"searched {place} for {SEARCHED}; found {keys_found(self._last)}{inside}"
