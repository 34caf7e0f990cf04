"""Token usage in OpenAI's words, and in those of the many providers that took them over.

The definitions: input is all of the prompt with what was cached, output all that was
generated with reasoning; a figure that is not stated is None.
"""

from collections.abc import Mapping
from typing import Any

from remora.records import Usage
from remora_sidecar.dialects.framing.json_values import count, member, seconds

SEARCHED = "prompt_tokens, completion_tokens, input_tokens, output_tokens"
"""Keys of which at least one must be there, for messages."""

_PROMPT_DETAILS = (
    "prompt_tokens_details",
    "input_tokens_details",
    "input_token_details",
    "prompt_token_details",  # Writer
)
_OUTPUT_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "output_token_details",
    "completion_token_details",  # Writer
)

_Path = tuple[str, ...]


def _in_details(details: tuple[str, ...], name: str) -> tuple[_Path, ...]:
    return tuple((detail, name) for detail in details)


_INPUT: tuple[_Path, ...] = (("prompt_tokens",), ("input_tokens",))
_OUTPUT: tuple[_Path, ...] = (("completion_tokens",), ("output_tokens",))
_CACHE_READ: tuple[_Path, ...] = (
    *_in_details(_PROMPT_DETAILS, "cached_tokens"),
    *_in_details(_PROMPT_DETAILS, "cache_read_input_tokens"),  # Perplexity's responses
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("num_cached_tokens",),  # Mistral
    ("cached_tokens",),  # Together, Moonshot
    ("cache_read_input_tokens",),  # gateways in front of Anthropic
)
_CACHE_WRITE: tuple[_Path, ...] = (
    *_in_details(_PROMPT_DETAILS, "cache_write_tokens"),
    *_in_details(_PROMPT_DETAILS, "cache_creation_tokens"),
    *_in_details(_PROMPT_DETAILS, "cache_creation_input_tokens"),
    ("cache_creation_input_tokens",),
)
_REASONING: tuple[_Path, ...] = (
    *_in_details(_OUTPUT_DETAILS, "reasoning_tokens"),
    ("reasoning_tokens",),  # Perplexity
)
_INPUT_AUDIO = _in_details(_PROMPT_DETAILS, "audio_tokens")
_OUTPUT_AUDIO = _in_details(_OUTPUT_DETAILS, "audio_tokens")
_INPUT_IMAGE = _in_details(_PROMPT_DETAILS, "image_tokens")
_OUTPUT_IMAGE = _in_details(_OUTPUT_DETAILS, "image_tokens")


def _first(usage: Mapping[str, Any], paths: tuple[_Path, ...]) -> int | None:
    for path in paths:
        if path[0] not in usage:  # most are not: this is asked often for every call
            continue
        holder = usage if len(path) == 1 else member(usage, path[0])
        if (figure := count(holder.get(path[-1]))) is not None:
            return figure
    return None


def states_tokens(usage: object) -> bool:
    """Tell whether this is a usage object that names tokens."""
    return isinstance(usage, dict) and any(path[0] in usage for path in (*_INPUT, *_OUTPUT))


def audio_seconds(usage: Mapping[str, Any]) -> float | None:
    """Return the length of the audio that is charged by length; Mistral states it beside tokens."""
    return seconds(usage["seconds"] if "seconds" in usage else usage.get("prompt_audio_seconds"))


def _total_output(
    stated: int | None, usage: Mapping[str, Any], reasoning: int | None, *, hidden_thoughts: bool
) -> int | None:
    """Add reasoning that a provider leaves out of its output figure but counts in the total."""
    total, prompt = count(usage.get("total_tokens")), _first(usage, _INPUT)
    if stated is None or total is None or prompt is None or total <= prompt + stated:
        return stated
    if reasoning is not None and prompt + stated + reasoning == total:
        return stated + reasoning
    return total - prompt if hidden_thoughts else stated


def read_usage(usage: Mapping[str, Any], *, hidden_thoughts: bool = False) -> Usage | None:
    """Read a usage object.

    Args:
        usage: The object as stated.
        hidden_thoughts: The provider is Google, whose thoughts appear only in the total.

    Returns:
        None if neither input nor output is a number, nor the length of audio.
    """
    reasoning, length = _first(usage, _REASONING), audio_seconds(usage)
    input_tokens, stated_output = _first(usage, _INPUT), _first(usage, _OUTPUT)
    if input_tokens is None and stated_output is None and length is None:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=_total_output(
            stated_output, usage, reasoning, hidden_thoughts=hidden_thoughts
        ),
        cache_read_tokens=_first(usage, _CACHE_READ),
        cache_write_tokens=_first(usage, _CACHE_WRITE),
        reasoning_tokens=reasoning,
        input_audio_tokens=_first(usage, _INPUT_AUDIO),
        output_audio_tokens=_first(usage, _OUTPUT_AUDIO),
        input_image_tokens=_first(usage, _INPUT_IMAGE),
        output_image_tokens=_first(usage, _OUTPUT_IMAGE),
        input_audio_seconds=length,
    )
