"""Bodies of the many vendors behind InvokeModel that are neither Anthropic's nor Nova's.

Titan, Llama, Mistral, AI21, Cohere's first API, whoever writes OpenAI's choices (gpt-oss,
Qwen, DeepSeek, Jamba, Palmyra, imported models) and those of pictures and embeddings. They have
much in common and no two the same, so that one reading knows the words of all and takes what is
there: docs.aws.amazon.com/bedrock/latest/userguide, "Inference request parameters and response
fields for foundation models". Keeps names and figures, never the text.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from remora.records import CallError, Usage
from remora_sidecar.dialects.bedrock.usage import Figures
from remora_sidecar.dialects.framing.json_values import count, member, word
from remora_sidecar.dialects.openai.tool_calls import ToolCalls
from remora_sidecar.dialects.openai.usage import read_usage
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.text_meter import TextMeter

_REASONS: Final = ("finish_reason", "stop_reason", "completionReason", "finishReason")


class NativeReading:
    """Collects what an answer states, whole or chunk by chunk; bounded.

    Attributes:
        model: The response model; most state none.
        response_id: The answer's id.
        finish_reason: The vendor's own word of the first answer, as stated last.
        error: The first error stated.
        usage: Usage in OpenAI's words; None if there is none.
        service_tier: As stated.
        has_output: The model said something.
        ended: The vendor has no mark of its own for the end of a stream.
    """

    ended: Final = False

    def __init__(self) -> None:
        """Stand before the first object."""
        self.model = ""
        self.response_id = ""
        self.finish_reason = ""
        self.error: CallError | None = None
        self.usage: Usage | None = None
        self.service_tier = ""
        self.has_output = False
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None
        self._tools = ToolCalls()
        self._text = TextMeter()

    @property
    def figures(self) -> Figures:
        """Counts in the vendor's own words, the last of each."""
        return Figures(self._input_tokens, self._output_tokens)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools called."""
        return self._tools.names

    @property
    def output_tokens_estimate(self) -> int:
        """A guess at the text seen."""
        return self._text.tokens

    def take(self, value: Mapping[str, Any]) -> None:
        """Take a whole answer or a chunk."""
        for name, stated in value.items():
            if stated is None:
                continue
            if (take := _AT_TOP.get(name)) is not None:
                take(self, stated)
            elif (take_said := _SAID.get(name)) is not None:
                take_said(self, 0, stated, value)

    def is_final(self, value: Mapping[str, Any]) -> bool:
        """Tell whether a chunk states all there is to count, and no reason that is yet to come."""
        is_going_on = any(name in value and value[name] is None for name in _REASONS)
        alone = NativeReading()
        alone.take(value)
        return alone.figures.is_complete and not is_going_on

    def _take_model(self, model: object) -> None:
        self.model = word(model) or self.model

    def _take_id(self, response_id: object) -> None:
        self.response_id = self.response_id or word(response_id)

    def _take_error(self, error: object) -> None:
        self.error = self.error or read_error({"error": error}, failed=False)

    def _take_tier(self, tier: object) -> None:
        self.service_tier = word(tier) or self.service_tier

    def _take_usage(self, usage: object) -> None:
        if isinstance(usage, dict):
            self.usage = read_usage(usage) or self.usage

    def _take_input(self, tokens: object) -> None:
        if (figure := count(tokens)) is not None:
            self._input_tokens = figure

    def _take_output(self, tokens: object) -> None:
        if (figure := count(tokens)) is not None:
            self._output_tokens = figure

    def _take_results(self, results: object) -> None:
        """Take Titan's results, of which each has a count of its own."""
        self._take_items(results)
        items = results if isinstance(results, list) else ()
        counts = [count(item.get("tokenCount")) for item in items if isinstance(item, dict)]
        stated = [figure for figure in counts if figure is not None]
        if stated:
            self._take_output(sum(stated))

    def _take_items(self, items: object) -> None:
        """Take a list of answers to one request."""
        for position, item in enumerate(items) if isinstance(items, list) else ():
            if isinstance(item, dict):
                index = count(item.get("index"))
                self._take_item(position if index is None else index, item)

    def _take_item(self, index: int, item: Mapping[str, Any]) -> None:
        for name, stated in item.items():
            if name in _INNER and isinstance(stated, dict):
                self._take_said(index, stated)
            elif stated is not None and (take := _SAID.get(name)) is not None:
                take(self, index, stated, item)

    def _take_said(self, index: int, said: Mapping[str, Any]) -> None:
        for name, stated in said.items():
            if stated and (take := _SAID.get(name)) is not None:
                take(self, index, stated, said)

    def _say(self, index: int, text: object, said: Mapping[str, Any]) -> None:
        if text:
            self._text.add(text)
            self.has_output = True

    def _take_reason(self, index: int, reason: object, said: Mapping[str, Any]) -> None:
        # AI21's old models state an object.
        reason = reason.get("reason") if isinstance(reason, dict) else reason
        if index == 0:
            self.finish_reason = word(reason) or self.finish_reason

    def _take_stop(self, index: int, reason: object, said: Mapping[str, Any]) -> None:
        """Take the reason of Llama and Mistral, which elsewhere is the text that was stopped at."""
        if not said.get("finish_reason"):
            self._take_reason(index, reason, said)

    def _take_tools(self, index: int, calls: object, said: Mapping[str, Any]) -> None:
        named = [_as_function(call) for call in calls] if isinstance(calls, list) else []
        self._tools.take(index, named)
        for call in named:
            self.has_output = True
            if isinstance(call, dict):
                self._text.add(member(call, "function").get("arguments"))


def _as_function(call: object) -> object:
    """Take Cohere's calls for OpenAI's, which name a function inside an object."""
    return {"function": call} if isinstance(call, dict) and "name" in call else call


_INNER: Final = frozenset({"delta", "message", "data"})
"""Members of one answer in which what was said may stand."""

_AT_TOP: Mapping[str, Callable[[NativeReading, Any], None]] = MappingProxyType(
    {
        "model": NativeReading._take_model,
        "id": NativeReading._take_id,
        "response_id": NativeReading._take_id,
        "generation_id": NativeReading._take_id,
        "error": NativeReading._take_error,
        "service_tier": NativeReading._take_tier,
        "usage": NativeReading._take_usage,
        "inputTextTokenCount": NativeReading._take_input,
        "prompt_token_count": NativeReading._take_input,
        "totalOutputTextTokenCount": NativeReading._take_output,
        "generation_token_count": NativeReading._take_output,
        "results": NativeReading._take_results,
        "choices": NativeReading._take_items,
        "outputs": NativeReading._take_items,
        "generations": NativeReading._take_items,
        "completions": NativeReading._take_items,
    }
)

_SAID: Mapping[str, Callable[[NativeReading, int, Any, Mapping[str, Any]], None]] = (
    MappingProxyType(
        {
            "outputText": NativeReading._say,
            "generation": NativeReading._say,
            "text": NativeReading._say,
            "content": NativeReading._say,
            "reasoning": NativeReading._say,
            "reasoning_content": NativeReading._say,
            "refusal": NativeReading._say,
            "finish_reason": NativeReading._take_reason,
            "finishReason": NativeReading._take_reason,
            "completionReason": NativeReading._take_reason,
            "stop_reason": NativeReading._take_stop,
            "tool_calls": NativeReading._take_tools,
        }
    )
)
