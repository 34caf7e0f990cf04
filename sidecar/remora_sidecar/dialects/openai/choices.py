"""Answers made of choices, as chats and text completions are: finish reason, output, tools.

One reader for both, since providers mix them: Mistral's completions answer with messages, and
some streams of text end with an empty delta.
"""

from collections.abc import Mapping
from typing import Any

from remora.records import Usage
from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.framing.json_values import count, member
from remora_sidecar.dialects.openai.answer import OpenAIReader
from remora_sidecar.dialects.openai.tool_calls import ToolCalls
from remora_sidecar.dialects.openai.usage import read_usage
from remora_sidecar.dialects.text_meter import TextMeter
from remora_sidecar.model.exchange import AnswerHead

GOOGLE = "google"
"""Variant whose thoughts are counted in the total only."""

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
"""Where chunks and messages carry what is counted as output, in the words of several providers."""


class ChoicesReader(OpenAIReader):
    """Watches one answer; keeps what was stated last, never the text."""

    usage_place = "usage, x_groq.usage and choices[].usage"

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        super().__init__(head, request)
        self._tools = ToolCalls()
        self._meter = TextMeter()

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools called."""
        return self._tools.names

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the text, the reasoning and the arguments seen."""
        return self._meter.tokens

    def _take_own(self, chunk: Mapping[str, Any]) -> None:
        if "x_groq" in chunk:
            self._take_usage(member(chunk, "x_groq").get("usage"))
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for position, choice in enumerate(choices):
                if isinstance(choice, dict):
                    self._take_choice(position, choice)

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
        if text := choice.get("text"):
            self._has_output = True
            self._meter.add(text)
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, dict):
            self._take_said(index, said)

    def _take_said(self, choice: int, said: Mapping[str, Any]) -> None:
        if not self._has_output:
            self._has_output = any(value for name, value in said.items() if name != "role")
        for name in _TEXTS:
            if text := said.get(name):
                self._meter.add(text)
        if calls := said.get("tool_calls"):
            self._tools.take(choice, calls)
            self._measure_arguments(calls)
        if function := said.get("function_call"):
            self._tools.take_function(choice, function)

    def _measure_arguments(self, calls: object) -> None:
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._meter.add(member(call, "function").get("arguments"))

    def _read_usage(self, usage: Mapping[str, Any]) -> Usage | None:
        return read_usage(usage, hidden_thoughts=self._request.variant == GOOGLE)

    def _expects_usage(self) -> bool:
        return self._request.states_usage or not self._body.is_stream


def states_usage(asked: Mapping[str, Any]) -> bool:
    """Tell whether an answer of choices states usage: a stream only if it was asked to."""
    asks_for_it = member(asked, "stream_options").get("include_usage") is True
    return asked.get("stream") is not True or asks_for_it
