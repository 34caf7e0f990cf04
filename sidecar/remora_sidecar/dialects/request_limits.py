"""What a request asks for beside its prompt, whatever its dialect: tools, choices, tokens.

Told by the names of members, as messages are (`request_messages`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from remora_sidecar.dialects.framing.json_values import count, member, word
from remora_sidecar.dialects.framing.request_fields import number

MAX_TOOLS: Final = 512
"""Further tools are passed over."""

_OUTPUT_TOKENS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
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
"""Names by the object in which they stand; where several do, the first counts."""

_CHOICES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("", ("n", "best_of", "num_generations", "numResults")),
    ("generationConfig", ("candidateCount", "candidate_count")),
    ("generation_config", ("candidate_count", "candidateCount")),
)

_TOOL_LISTS: Final = ("functionDeclarations", "function_declarations")
"""Google's lists of tools within a tool."""

_TOOL_OBJECTS: Final = ("function", "toolSpec")


def output_token_limit(asked: Mapping[str, Any]) -> int | None:
    """Return how many tokens an answer may have at most; None where nothing valid is said."""
    return next(_numbers(asked, _OUTPUT_TOKENS), None)


def choices_asked(asked: Mapping[str, Any]) -> int:
    """Return how many answers are made, of which some may be kept."""
    return max(_numbers(asked, _CHOICES), default=1) or 1


def _numbers(
    asked: Mapping[str, Any], places: tuple[tuple[str, tuple[str, ...]], ...]
) -> Iterator[int]:
    for place, names in places:
        if place and place not in asked:
            continue
        holder = member(asked, place) if place else asked
        for name in names:
            if name not in holder:
                continue
            stated = holder[name]
            found = count(number(stated) if isinstance(stated, str) else stated)
            if found is not None:
                yield found


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
