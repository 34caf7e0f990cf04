"""The types of fields of learned routing: goals, parameters of candidates, shares."""

import math
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    StrictFloat,
    StringConstraints,
    WithJsonSchema,
)

MAX_GOAL_CHARACTERS = 128
MAX_PARAMETERS = 16
_MAX_NAME_CHARACTERS = 128
_MAX_VALUE_CHARACTERS = 1024
_EXACT = 2**53
"""Past it not every whole number is one of JSON's everywhere."""

GoalName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9]([-_.:/A-Za-z0-9 ]*[A-Za-z0-9])?$", max_length=MAX_GOAL_CHARACTERS
    ),
]
"""Name of a kind of work."""

Share = Annotated[StrictFloat, Field(ge=0, le=1, allow_inf_nan=False)]
"""From nothing to all: 0 to 1."""

Samples = Annotated[StrictFloat, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
"""A number of answers."""

type ParameterValue = str | bool | int | float
"""What a parameter may be set to."""

_NAME = re.compile(r"[A-Za-z_][-\w]*(?:\.[A-Za-z_][-\w]*)*", re.ASCII)
_KEPT = frozenset({"model", "modelId", "stream"})
_SCALAR = "should be a text, a number, true or false"


def _parameters(value: object) -> object:
    """Check a mapping of names to scalars; numbers come in one form, however they are written."""
    if not isinstance(value, Mapping):
        return value
    read = {_name(name): _scalar(name, one) for name, one in value.items()}
    if len(read) > MAX_PARAMETERS:
        raise ValueError(f"{len(read)} parameters are too many: {MAX_PARAMETERS} are the most")
    for name in read:
        for end in (at for at, letter in enumerate(name) if letter == "."):
            if name[:end] in read:
                raise ValueError(f"{name!r} leads into {name[:end]!r}, which is set itself")
    return read


def _name(name: object) -> str:
    if not isinstance(name, str) or len(name) > _MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise ValueError(
            f"{str(name)[:_MAX_NAME_CHARACTERS]!r} should be a field's name, with dots between "
            "those that lead into objects"
        )
    if name.partition(".")[0] in _KEPT:
        raise ValueError(
            f"{name!r} can't be set: the model is the candidate's own, and whether an answer is "
            "streamed is the agent's to say"
        )
    return name


def _scalar(name: object, value: object) -> ParameterValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > _MAX_VALUE_CHARACTERS:
            raise ValueError(f"{name!r} has more than {_MAX_VALUE_CHARACTERS} characters")
        return _encodable(name, value)
    if not isinstance(value, int | float):
        raise ValueError(f"{name!r} {_SCALAR}")
    if not math.isfinite(value) or (abs(value) > _EXACT and isinstance(value, int)):
        raise ValueError(f"{name!r} is a number that JSON can't tell exactly")
    # Kubernetes writes 1.0 as 1: one arm should not become two on its way.
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT
    return int(value) if is_whole else value


def _encodable(name: object, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name!r} holds text that is no Unicode") from error
    return value


Parameters = Annotated[
    Mapping[str, ParameterValue],
    BeforeValidator(_parameters),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_PARAMETERS,
            "additionalProperties": {"x-kubernetes-preserve-unknown-fields": True},
        }
    ),
]
"""Fields of a request and what they are set to."""
