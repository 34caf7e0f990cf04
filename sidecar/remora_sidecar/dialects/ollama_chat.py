"""`ollama-chat`: Ollama's native API: chats, completions and embeddings.

Streams unless told not to, as lines of JSON of which the last says ``"done": true`` and states
what was counted; docs.ollama.com/api. A count of none is left out, as that of a prompt that was
still in memory is by older versions. Ollama's compatible forms are OpenAI's and Anthropic's.
"""

from collections.abc import Mapping
from typing import Any, Final

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, samples
from remora_sidecar.dialects.error_shapes import ollama_error
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.dialects.framing.json_values import count, keys_found, member, word
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.dialects.openai.answer import is_posted_to
from remora_sidecar.dialects.openai.tool_calls import ToolCalls
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.text_meter import TextMeter
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "ollama-chat"

_EMBEDDINGS: Final = "embeddings"
_OLD_EMBEDDINGS: Final = "/api/embeddings"
"""States nothing at all."""

_OPERATIONS: Final = {
    "/api/chat": "chat",
    "/api/generate": "text_completion",
    "/api/embed": _EMBEDDINGS,
    _OLD_EMBEDDINGS: _EMBEDDINGS,
}
_SAID: Final = ("content", "thinking", "response")
_NOTHING_ASKED: Final = frozenset({"load", "unload"})
"""Reasons of answers to calls that only move a model in or out of memory."""


class OllamaChat:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path of the API that runs a model."""
        return is_posted_to(head, *_OPERATIONS)

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode."""
        asked, problem = read_asked(head, body)
        operation = next(word for path, word in _OPERATIONS.items() if is_posted_to(head, path))
        embeds = operation == _EMBEDDINGS
        options = member(asked, "options")
        return CallRequest(
            operation,
            model=word(asked.get("model")),
            stream=not embeds and asked.get("stream") is not False,
            states_usage=not is_posted_to(head, _OLD_EMBEDDINGS),
            problem=problem,
            samples=not embeds and samples(options.get("temperature"), options.get("seed")),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "OllamaReader":
        """Make the reader of the answer."""
        return OllamaReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return ollama_error(refusal, call_id)


class OllamaReader:
    """Watches one answer; keeps what was stated last, never the text."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        embeds = request.operation == _EMBEDDINGS
        skim = embeds and not self._failed
        self._body = AnswerBody(head, stream=request.stream, lines=True, skim=skim)
        self._model = ""
        self._finish_reason = ""
        self._done = False
        self._error: CallError | None = None
        self._last: Mapping[str, Any] = {}
        self._counts: Mapping[str, Any] = {}
        self._tools = ToolCalls()
        self._tool_calls = 0
        self._text = TextMeter()
        self._has_output = False

    @property
    def ended(self) -> bool:
        """Whether the last line of a stream was seen."""
        return self._body.is_stream and self._done

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._take)
        return self._body.has_said(self._has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._take)
        if self._body.is_stream:
            completeness = Completeness.WHOLE if self._done else Completeness.CUT
        usage = _usage(self._counts)
        return AnswerFacts(
            model=word(self._model),
            finish_reason=word(self._finish_reason),
            tool_names=self._tools.names,
            error=self._error,
            usage=usage,
            usage_problem="" if usage else self._usage_problem(completeness),
            completeness=completeness,
            output_tokens_estimate=0 if usage else self._text.tokens,
        )

    def _take(self, chunk: Mapping[str, Any], event: bytes) -> None:
        self._last = chunk
        if self._error is None:
            self._error = read_error(chunk, failed=self._failed)
        if type(model := chunk.get("model")) is str and model:
            self._model = model
        if type(reason := chunk.get("done_reason")) is str:
            self._finish_reason = reason
        self._done = self._done or chunk.get("done") is True
        if "eval_count" in chunk or "prompt_eval_count" in chunk:
            self._counts = chunk
        self._take_said(chunk)
        if isinstance(message := chunk.get("message"), dict):
            self._take_said(message)

    def _take_said(self, said: Mapping[str, Any]) -> None:
        for name in _SAID:
            if text := said.get(name):
                self._has_output = True
                self._text.add(text)
        calls = said.get("tool_calls")
        if isinstance(calls, list) and calls:
            self._has_output = True
            self._take_tools(calls)

    def _take_tools(self, calls: list[object]) -> None:
        """Take calls, each of which is whole, whichever line of a stream it comes in."""
        for call in calls:
            if isinstance(call, dict):
                self._tools.take(0, [{**call, "index": self._tool_calls}])
                self._tool_calls += 1

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer has no usage: what was searched and what was there."""
        expected = self._request.states_usage and self._finish_reason not in _NOTHING_ASKED
        if self._failed or self._error is not None or not expected:
            return ""
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        searched = "searched prompt_eval_count and eval_count"
        return self._body.problem or f"{searched}; found {keys_found(self._last)}"


def _usage(counts: Mapping[str, Any]) -> Usage | None:
    usage = Usage(
        input_tokens=count(counts.get("prompt_eval_count")),
        output_tokens=count(counts.get("eval_count")),
    )
    return usage if usage != Usage() else None
