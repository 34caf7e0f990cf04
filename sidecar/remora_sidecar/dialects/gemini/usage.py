"""Token usage in Google's words: `usageMetadata`, interactions' `usage`, older embeddings' counts.

Formats: ai.google.dev/api/generate-content#UsageMetadata, ai.google.dev/api/interactions-api,
Vertex AI's `GenerateContentResponse`, and the official SDK. As JSON made from protocol buffers it
leaves out figures that are zero, may write 64-bit numbers as strings, and enumerations as numbers
where they were asked for so.

Input is the prompt, with what was cached, and what the provider's own tools fed back to the model;
output is what all candidates say, with the thoughts. A figure that is left out beside others of
its sum counts nothing in it; a sum of which nothing is stated is None.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from remora.records import Usage
from remora_sidecar.dialects.framing.json_values import count, member, word

_INPUT: Final = ("promptTokenCount", "toolUsePromptTokenCount")
_OUTPUT: Final = ("candidatesTokenCount", "thoughtsTokenCount")

_STATED: Final = frozenset((*_INPUT, *_OUTPUT))

SEARCHED: Final = ", ".join((*_INPUT, *_OUTPUT))
"""Keys of which at least one must be there, for messages."""

_INTERACTION_INPUT: Final = ("total_input_tokens", "total_tool_use_tokens")
_INTERACTION_OUTPUT: Final = ("total_output_tokens", "total_thought_tokens")

INTERACTION_SEARCHED: Final = ", ".join((*_INTERACTION_INPUT, *_INTERACTION_OUTPUT))
"""The same of an interaction."""

# Embeddings of the Gemini API write the first one without its second `s`.
_INPUT_DETAILS: Final = ("promptTokensDetails", "promptTokenDetails", "toolUsePromptTokensDetails")
_OUTPUT_DETAILS: Final = ("candidatesTokensDetails",)

_INTERACTION_INPUT_DETAILS: Final = ("input_tokens_by_modality", "tool_use_tokens_by_modality")
_INTERACTION_OUTPUT_DETAILS: Final = ("output_tokens_by_modality",)

_AUDIO: Final = ("AUDIO", "audio", 4)
_IMAGE: Final = ("IMAGE", "image", 2)

_TIERS: Final[Mapping[object, str]] = {
    "ON_DEMAND": "standard",
    1: "standard",
    "ON_DEMAND_PRIORITY": "priority",
    3: "priority",
    "ON_DEMAND_FLEX": "flex",
    4: "flex",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
    2: "provisioned_throughput",
}
"""Vertex AI's traffic types in the words that the Gemini API has for its tiers."""

_LONGEST_COUNT: Final = 19


def figure(value: object) -> int | None:
    """Return the number if the value is a whole one, not negative, as JSON or as text."""
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= _LONGEST_COUNT:
        value = int(value)
    return count(value)


def enumerated(value: object) -> str:
    """Return an enumeration's word, or its number as digits; empty for the unspecified one."""
    if value is None:
        return ""
    if type(value) is int:
        return word(str(value)) if value else ""
    text = word(value)
    return "" if text.upper().endswith("UNSPECIFIED") else text


def _sum(figures: Iterable[int | None]) -> int | None:
    stated = [one for one in figures if one is not None]
    return count(sum(stated)) if stated else None


def _total(metadata: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return _sum(figure(metadata[name]) for name in names if name in metadata)


def _of_modality(
    metadata: Mapping[str, Any], names: tuple[str, ...], modality: tuple[object, ...]
) -> int | None:
    lists = [metadata[name] for name in names if name in metadata]
    items = [item for one in lists if isinstance(one, list) for item in one]
    return _sum(
        figure(item.get("tokenCount", item.get("tokens")))
        for item in items
        if isinstance(item, dict) and item.get("modality") in modality
    )


def states_tokens(metadata: object) -> bool:
    """Tell whether this is usage metadata that names tokens."""
    return isinstance(metadata, dict) and not _STATED.isdisjoint(metadata)


def read_usage(metadata: Mapping[str, Any]) -> Usage | None:
    """Read usage metadata; None if neither input nor output is stated."""
    input_tokens, output_tokens = _total(metadata, _INPUT), _total(metadata, _OUTPUT)
    if input_tokens is None and output_tokens is None:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=figure(metadata.get("cachedContentTokenCount")),
        reasoning_tokens=figure(metadata.get("thoughtsTokenCount")),
        input_audio_tokens=_of_modality(metadata, _INPUT_DETAILS, _AUDIO),
        output_audio_tokens=_of_modality(metadata, _OUTPUT_DETAILS, _AUDIO),
        input_image_tokens=_of_modality(metadata, _INPUT_DETAILS, _IMAGE),
        output_image_tokens=_of_modality(metadata, _OUTPUT_DETAILS, _IMAGE),
    )


def read_interaction_usage(usage: object) -> Usage | None:
    """Read the usage of an interaction; None if neither input nor output is stated."""
    if not isinstance(usage, dict):
        return None
    input_tokens = _total(usage, _INTERACTION_INPUT)
    output_tokens = _total(usage, _INTERACTION_OUTPUT)
    if input_tokens is None and output_tokens is None:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=figure(usage.get("total_cached_tokens")),
        reasoning_tokens=figure(usage.get("total_thought_tokens")),
        input_audio_tokens=_of_modality(usage, _INTERACTION_INPUT_DETAILS, _AUDIO),
        output_audio_tokens=_of_modality(usage, _INTERACTION_OUTPUT_DETAILS, _AUDIO),
        input_image_tokens=_of_modality(usage, _INTERACTION_INPUT_DETAILS, _IMAGE),
        output_image_tokens=_of_modality(usage, _INTERACTION_OUTPUT_DETAILS, _IMAGE),
        web_searches=_searches(usage.get("grounding_tool_count")),
    )


def _searches(counts: object) -> int | None:
    tools = [one for one in counts if isinstance(one, dict)] if isinstance(counts, list) else []
    return _sum(figure(one.get("count")) for one in tools if one.get("type") == "google_search")


def read_statistics(answer: Mapping[str, Any]) -> Usage | None:
    """Read what Vertex AI's text embeddings state for each text; None if one states nothing."""
    predictions = answer.get("predictions")
    if not isinstance(predictions, list):
        return None
    holders = [member(one, "embeddings") for one in predictions if isinstance(one, dict)]
    counts = [figure(member(holder, "statistics").get("token_count")) for holder in holders]
    input_tokens = None if None in counts else _sum(counts)
    return None if input_tokens is None else Usage(input_tokens=input_tokens)


def service_tier(metadata: Mapping[str, Any]) -> str:
    """Name the tier that served a call, such as ``standard``, ``flex`` or ``priority``."""
    if tier := enumerated(metadata.get("serviceTier")):
        return tier.lower()
    traffic = metadata.get("trafficType")
    known = _TIERS.get(traffic, "") if isinstance(traffic, str | int) else ""
    return known or enumerated(traffic).lower()
