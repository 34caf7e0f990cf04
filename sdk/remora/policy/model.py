"""What all models of the policy language have in common, and the names they use."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from remora.policy.globs import Glob

ResourceName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        max_length=253,
    ),
]
"""Name of a Kubernetes resource."""

_RULE_NAME = r"[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?"
MAX_RULE_NAME_CHARACTERS = 63

RuleName = Annotated[
    str, StringConstraints(pattern=f"^{_RULE_NAME}$", max_length=MAX_RULE_NAME_CHARACTERS)
]
"""Name of a route or rate within its policy."""

BudgetName = Annotated[
    str,
    StringConstraints(
        pattern=rf"^([-.a-z0-9]+/)?{_RULE_NAME}$", max_length=253 + 1 + MAX_RULE_NAME_CHARACTERS
    ),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{_RULE_NAME}$",
            "maxLength": MAX_RULE_NAME_CHARACTERS,
        }
    ),
]
"""Name of a budget within its policy; a floor's has the name of its ClusterLLMPolicy before it."""

MAX_ENTRIES = 128
"""Of a list whose entries are compared with each other, so that admission stays cheap."""

MAX_MERGED = 1024
"""Of a list that floors are merged into, whatever a document may have by itself."""

MAX_GLOBS = 256

Globs = Annotated[tuple[Glob, ...], Field(max_length=MAX_GLOBS)]
"""Patterns of models' names, of which one has to take a model."""

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^\S+$")]

MAX_CONDITION_CHARACTERS = 4096
"""Bound of a CEL expression: conditions run in the path of calls and can't be interrupted."""


class PolicyModel(BaseModel):
    """Base of all models: immutable, camelCase in documents, no field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)
