"""What all models of the policy language have in common, and the names they use."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

ResourceName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        max_length=253,
    ),
]
"""Name of a Kubernetes resource."""

RuleName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$", max_length=63)
]
"""Name of a route or budget within its policy."""

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^\S+$")]


class PolicyModel(BaseModel):
    """Base of all models: immutable, camelCase in documents, no field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)
