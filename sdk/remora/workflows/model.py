"""What all models of the language of workflows have in common, and the words they use."""

import math
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.functional_validators import AfterValidator, BeforeValidator

from remora.policy.quantities import parse_money

Tier = Literal["fast", "balanced", "high"]
"""How strong a model is wanted, cheapest first."""

TIERS: tuple[Tier, ...] = get_args(Tier)

Capability = Literal[
    "tool_use",
    "structured_output",
    "json_mode",
    "function_calling",
    "vision",
    "audio_in",
    "audio_out",
    "embeddings",
    "reasoning",
    "code_generation",
    "long_context",
    "fast_inference",
    "low_cost",
    "multilingual",
    "streaming",
]
"""What a model can be asked to be able to do."""

CAPABILITIES: tuple[Capability, ...] = get_args(Capability)

MAX_STEPS = 200
MAX_TEMPLATE_CHARACTERS = 200_000
MAX_DEPTH = 40
"""Levels of lists and mappings in a plain value."""

MAX_VALUES = 20_000
"""Values in one plain value, those of its lists and mappings counted."""

StepId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=63)]
"""Names a step; hyphens may stand in it, points may not."""

ItemName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
"""Names an item of the list that a step is mapped over."""

WorkflowName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9]([-_. A-Za-z0-9]*[A-Za-z0-9])?$", min_length=1, max_length=100
    ),
]

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^\S+$")]

ProviderName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)
]

GoalName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s\x00]+$")]
"""A kind of work, under which learned routing keeps its scores."""

TemplateText = Annotated[str, Field(max_length=MAX_TEMPLATE_CHARACTERS)]
"""Text with references in double braces."""


def plain_problem(value: object) -> str:
    """Say why a value is not plain JSON of a bearable size; empty if it is."""
    left = MAX_VALUES
    pending: list[tuple[object, int]] = [(value, 0)]
    while pending:
        entry, depth = pending.pop()
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            return f"should have at most {MAX_DEPTH} levels and {MAX_VALUES} values"
        if isinstance(entry, dict):
            if not all(isinstance(key, str) for key in entry):
                return "the keys of a mapping should be text"
            pending.extend((inner, depth + 1) for inner in entry.values())
        elif isinstance(entry, list):
            pending.extend((inner, depth + 1) for inner in entry)
        elif not _is_scalar(entry):
            return "should be made of text, numbers, true, false, null, lists and mappings"
    return ""


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _plain(value: Any) -> Any:
    problem = plain_problem(value)
    if problem:
        raise ValueError(problem)
    return value


Json = Annotated[Any, AfterValidator(_plain)]
"""A plain value: what JSON can say."""


def _usd(value: object) -> Decimal:
    """Read an amount; numbers are taken by the digits that they were written with."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{Decimal(str(value)):f}"
    if isinstance(value, Decimal):
        value = f"{value:f}"
    return parse_money(value)


Usd = Annotated[
    Decimal,
    BeforeValidator(_usd),
    PlainSerializer(lambda value: f"{value:f}", return_type=str),
]
"""An amount of USD; a number or a decimal string in documents, exact either way."""


class WorkflowModel(BaseModel):
    """Base of all models: immutable, no field that it does not know."""

    # An alias for every field, its own name where none is given: messages go by aliases.
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=str)
