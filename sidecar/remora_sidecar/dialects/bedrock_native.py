"""Bodies of the many vendors behind InvokeModel that are neither Anthropic's nor Nova's.

Titan, Llama, Mistral, AI21, Cohere's first API, whoever writes OpenAI's choices (gpt-oss,
Qwen, DeepSeek, Jamba, Palmyra, imported models) and those of pictures and embeddings. They have
much in common and no two the same, so that one reading knows the words of all and takes what is
there: docs.aws.amazon.com/bedrock/latest/userguide, "Inference request parameters and response
fields for foundation models". Keeps names and figures, never the text.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from remora.records import CallError, Usage
from remora_sidecar.dialects.bedrock_usage import NOTHING, Figures
from remora_sidecar.dialects.json_values import count, member, word
from remora_sidecar.dialects.openai_usage import read_usage
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.dialects.text_meter import TextMeter
from remora_sidecar.dialects.tool_calls import ToolCalls

SEARCHED: Final = "inputTextTokenCount, prompt_token_count, usage.prompt_tokens"
"""Where input is searched, for messages."""

_INPUT: Final = ("inputTextTokenCount", "prompt_token_count")
_OUTPUT: Final = ("totalOutputTextTokenCount", "generation_token_count")
_IDS: Final = ("id", "response_id", "generation_id")
_REASONS: Final = ("finish_reason", "stop_reason", "completionReason", "finishReason")
_LISTS: Final = ("choices", "results", "outputs", "generations", "completions")
"""Where one answer of several stands: OpenAI and its kin, Titan, Mistral, Cohere, AI21."""

_TEXTS: Final = ("outputText", "generation", "completion", "text", "content", "reasoning_content",
                 "reasoning", "refusal")  # fmt: skip


class NativeReading:
    """Collects what an answer states, whole or chunk by chunk; bounded.

    Attributes:
        model: The response model; most state none.
        response_id: The answer's id.
        finish_reason: The vendor's own word of the first answer, as stated last.
        error: The first error stated.
        usage: Usage in OpenAI's words; None if there is none.
        figures: Counts in the vendor's own words, the last of each.
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
        self.figures: Figures = NOTHING
        self.service_tier = ""
        self.has_output = False
        self._tools = ToolCalls()
        self._text = TextMeter()

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
        self.model = word(value.get("model")) or self.model
        if not self.response_id:
            self.response_id = next((i for name in _IDS if (i := word(value.get(name)))), "")
        if self.error is None and value.get("error"):
            self.error = read_error(value, failed=False)
        self.service_tier = word(value.get("service_tier")) or self.service_tier
        self._take_figures(value)
        self._take_said(0, value)
        for index, item in _items(value):
            self._take_item(index, item)

    def is_final(self, value: Mapping[str, Any]) -> bool:
        """Tell whether a chunk states all there is to count, and no reason that is yet to come."""
        is_going_on = any(name in value and value[name] is None for name in _REASONS)
        return _stated_figures(value).is_complete and not is_going_on

    def _take_figures(self, value: Mapping[str, Any]) -> None:
        stated = _stated_figures(value)
        if stated.is_stated:
            self.figures = stated.filled_from(self.figures)
        if usage := member(value, "usage"):
            self.usage = read_usage(usage) or self.usage

    def _take_item(self, index: int, item: Mapping[str, Any]) -> None:
        self._take_said(index, item)
        for name in ("delta", "message", "data"):
            said = item.get(name)
            if isinstance(said, dict):
                self._take_said(index, said)

    def _take_said(self, index: int, said: Mapping[str, Any]) -> None:
        for name in _TEXTS:
            if text := said.get(name):
                self._text.add(text)
                self.has_output = True
        if index == 0:
            self._take_reason(said)
        if calls := said.get("tool_calls"):
            self.has_output = True
            self._take_tools(index, calls)

    def _take_reason(self, said: Mapping[str, Any]) -> None:
        for name in _REASONS:
            if reason := said.get(name):
                # AI21's old models state an object.
                stated = reason.get("reason") if isinstance(reason, dict) else reason
                self.finish_reason = word(stated) or self.finish_reason

    def _take_tools(self, index: int, calls: object) -> None:
        named = [_as_function(call) for call in calls] if isinstance(calls, list) else []
        self._tools.take(index, named)
        for call in named:
            if isinstance(call, dict):
                self._text.add(member(call, "function").get("arguments"))


def _as_function(call: object) -> object:
    """Take Cohere's calls for OpenAI's, which name a function inside an object."""
    return {"function": call} if isinstance(call, dict) and "name" in call else call


def _stated_figures(value: Mapping[str, Any]) -> Figures:
    output_tokens = _first(value, _OUTPUT)
    if output_tokens is None and "results" in value:
        output_tokens = _summed(value["results"])
    return Figures(_first(value, _INPUT), output_tokens)


def _items(value: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for name in _LISTS:
        items = value.get(name)
        if isinstance(items, list):
            for position, item in enumerate(items):
                if isinstance(item, dict):
                    index = count(item.get("index"))
                    yield position if index is None else index, item


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((figure for name in names if (figure := count(value.get(name))) is not None), None)


def _summed(results: object) -> int | None:
    """Add up what Titan counts for each of its results."""
    if not isinstance(results, list):
        return None
    counts = [count(result.get("tokenCount")) for result in results if isinstance(result, dict)]
    stated = [figure for figure in counts if figure is not None]
    return count(sum(stated)) if stated else None
