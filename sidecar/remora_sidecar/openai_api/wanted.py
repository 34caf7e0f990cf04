"""What a request needs of a model, and how strong that one should be: by plain rules. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from remora.workflows.choosing import Wanted
from remora.workflows.model import TIERS, Capability, Tier
from remora.workflows.step import DEFAULT_MAX_TOKENS, Need
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.openai_api.asked import Asked

LONG_TOKENS: Final = 100_000
"""Prompts of so many tokens need a model that is made for them."""

_WORKED_TOKENS: Final = 8_000
"""From so long a prompt on, something is to be worked out of it."""

_CODE: Final = frozenset({"code_generation", "code_review"})
_HIGH_GOALS: Final = frozenset({"system_design", "agent_orchestration", "research"})
_BALANCED_GOALS: Final = _CODE | {"data_pipeline", "outreach_generation", "web_scraping"}
_STRONG_EFFORT: Final = frozenset({"high", "xhigh", "max"})
_NO_EFFORT: Final = frozenset({None, "none", "minimal"})

_PART_NEEDS: Final[Mapping[str, Capability]] = {
    "image_url": "vision",
    "input_image": "vision",
    "image": "vision",
    "file": "vision",
    "input_audio": "audio_in",
}
"""What a part of a message needs; a file is as often pictures of pages as text."""


def tier_of(asked: Asked, view: RequestView, goal: str) -> Tier:
    """Say how strong a model a request wants.

    ``high``: much thinking is asked for, or the goal is one of design, research, orchestration.
    ``balanced``: code, tools, other work of many steps, or a long prompt. Else ``fast``.
    """
    if asked.surface.looks_for == "embeddings":
        return "fast"
    effort = asked.fields.get("reasoning_effort")
    if effort in _STRONG_EFFORT or goal in _HIGH_GOALS:
        return "high"
    if goal in _BALANCED_GOALS or view.tools or effort == "medium":
        return "balanced"
    return "balanced" if view.estimated_input_tokens >= _WORKED_TOKENS else "fast"


def tiers_from(tier: Tier) -> tuple[Tier, ...]:
    """Give the tiers in the order in which they are looked through: stronger ones before weaker."""
    at = TIERS.index(tier)
    return (*TIERS[at:], *reversed(TIERS[:at]))


def needs_of(asked: Asked, view: RequestView, goal: str) -> tuple[Need, ...]:
    """Name what a model has to be able to do for a request."""
    required = dict.fromkeys(_required(asked, view))
    hints: list[Capability] = ["code_generation"] if goal in _CODE else []
    return (
        *(Need(kind=kind) for kind in required),
        *(Need(kind=kind, required=False) for kind in hints if kind not in required),
    )


def _required(asked: Asked, view: RequestView) -> Iterator[Capability]:
    fields = asked.fields
    if asked.surface.looks_for == "embeddings":
        yield "embeddings"
        return
    if asked.streams:
        yield "streaming"
    if fields.get("tools"):
        yield "tool_use"
    if fields.get("tools") or fields.get("functions"):
        yield "function_calling"
    if view.response_format == "json_schema":
        yield "structured_output"
    elif view.response_format.startswith("json"):
        yield "json_mode"
    if fields.get("reasoning_effort") not in _NO_EFFORT:
        yield "reasoning"
    if "audio" in _items(fields.get("modalities")):
        yield "audio_out"
    yield from _of_parts(fields)
    if view.estimated_input_tokens >= LONG_TOKENS:
        yield "long_context"


def _of_parts(fields: Mapping[str, Any]) -> Iterator[Capability]:
    for message in _items(fields.get("messages")):
        content = message.get("content") if isinstance(message, dict) else None
        for part in _items(content):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind in _PART_NEEDS:
                yield _PART_NEEDS[kind]


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def sizes(asked: Asked, view: RequestView, tier: Tier) -> tuple[int, int]:
    """Guess the tokens of prompt and answer; of several texts to embed, those of one."""
    if asked.surface.looks_for == "embeddings":
        texts = len(_items(asked.fields.get("input"))) or 1
        return view.estimated_input_tokens // texts, 0
    written = view.max_output_tokens or DEFAULT_MAX_TOKENS[tier]
    return view.estimated_input_tokens, written * view.choices


def wanted_of(asked: Asked, view: RequestView, goal: str, tier: Tier, of: Tier) -> Wanted:
    """Say what is looked for among the models of one tier."""
    entered, written = sizes(asked, view, tier)
    return Wanted(
        needs=needs_of(asked, view, goal),
        tiers=(of,),
        operation=asked.surface.looks_for,
        input_tokens=entered,
        output_tokens=written,
    )


_REASONING_REFUSES: Final[Mapping[str, tuple[object, ...]]] = {
    "max_tokens": (None,),
    "temperature": (None, 1),
    "top_p": (None, 1),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "stop": (None, []),
}
"""What OpenAI's models that think first take no other value of."""


def refused_parameter(provider: str, *, thinks: bool, fields: Mapping[str, Any]) -> str:
    """Name a field of a chat that a model is known to refuse; empty if it takes them all.

    Args:
        provider: Who serves the model.
        thinks: Whether it can reason.
        fields: Of the request.
    """
    if provider != "openai" or not thinks:
        return ""
    said = (name for name, fine in _REASONING_REFUSES.items() if fields.get(name) not in fine)
    return next(said, "")
