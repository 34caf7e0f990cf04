"""What a request asks for beside its prompt, whatever its dialect: tools, choices, tokens.

Told by the names of members, as messages are (`request_messages`).
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

from remora_sidecar.dialects.framing.json_values import count, member, word
from remora_sidecar.dialects.framing.request_fields import number

MAX_TOOLS: Final = 512
"""Further tools are passed over."""


class _Places:
    """Names by the object in which they stand; the empty name is the request's own."""

    def __init__(self, *places: tuple[str, tuple[str, ...]]) -> None:
        self.names = places
        outermost = ([place] if place else names for place, names in places)
        self.outermost = frozenset(chain.from_iterable(outermost))
        """Members of a request of which one is there if anything is."""


_OUTPUT_TOKENS: Final = _Places(
    (
        "",
        (
            "max_completion_tokens", "max_output_tokens", "max_tokens", "maxTokens",
            "max_tokens_to_sample", "max_gen_len", "max_new_tokens",
        ),
    ),
    ("generationConfig", ("maxOutputTokens", "max_output_tokens")),
    ("generation_config", ("max_output_tokens", "maxOutputTokens")),
    ("inferenceConfig", ("maxTokens", "max_new_tokens")),
    ("textGenerationConfig", ("maxTokenCount",)),
    ("parameters", ("max_new_tokens", "maxOutputTokens")),
    ("options", ("num_predict",)),
)  # fmt: skip
"""Where several stand, the first counts."""

_CHOICES: Final = _Places(
    ("", ("n", "best_of", "num_generations", "numResults")),
    ("generationConfig", ("candidateCount", "candidate_count")),
    ("generation_config", ("candidate_count", "candidateCount")),
)

_TOOL_LISTS: Final = ("functionDeclarations", "function_declarations")
"""Google's lists of tools within a tool."""

_TOOL_OBJECTS: Final = ("function", "toolSpec")


def output_token_limit(asked: Mapping[str, Any]) -> int | None:
    """Return how many tokens an answer may have at most; None where nothing valid is said."""
    found = _numbers(asked, _OUTPUT_TOKENS)
    return found[0] if found else None


def choices_asked(asked: Mapping[str, Any]) -> int:
    """Return how many answers are made, of which some may be kept."""
    return max(_numbers(asked, _CHOICES), default=1) or 1


def _numbers(asked: Mapping[str, Any], places: _Places) -> list[int]:
    found: list[int] = []
    if places.outermost.isdisjoint(asked):  # most often, and this is asked for every call
        return found
    for place, names in places.names:
        holder = asked.get(place) if place else asked
        if not isinstance(holder, dict):
            continue
        for name in names:
            if name not in holder:
                continue
            stated = holder[name]
            stated = count(number(stated) if isinstance(stated, str) else stated)
            if stated is not None:
                found.append(stated)
    return found


def tool_names(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the tools that a model may call, in order; one without a name by its type."""
    found: list[str] = []
    for name in _names(asked):
        if name:
            found.append(name)
        if len(found) == MAX_TOOLS:
            break
    return tuple(found)


def _names(asked: Mapping[str, Any]) -> Iterator[str]:
    configured = member(asked, "toolConfig").get("tools")
    for tools in (asked.get("tools"), asked.get("functions"), configured):
        for tool in tools if isinstance(tools, list) else (tools,):
            if isinstance(tool, dict):
                yield from _names_in(tool)


def _names_in(tool: Mapping[str, Any]) -> Iterator[str]:
    lists = [tool[name] for name in _TOOL_LISTS if isinstance(tool.get(name), list)]
    if lists:
        for declared in lists:
            yield from (word(item.get("name")) for item in declared if isinstance(item, dict))
        return
    inner = next((member(tool, name) for name in _TOOL_OBJECTS if member(tool, name)), tool)
    yield word(inner.get("name")) or word(tool.get("type")) or _only_name(tool)


def _only_name(tool: Mapping[str, Any]) -> str:
    """Name a tool that is an object under its own name, as Google's built-in ones are."""
    return word(next(iter(tool), ""))
