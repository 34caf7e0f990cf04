"""Which pods a policy is for: Kubernetes' label selectors."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from remora.policy.model import PolicyModel

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


class LabelRequirement(PolicyModel):
    """One requirement of a selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()

    @model_validator(mode="after")
    def _values_fit_the_operator(self) -> Self:
        if bool(self.values) != (self.operator in ("In", "NotIn")):
            raise ValueError("values are needed with In and NotIn, and not taken by the others")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet the requirement."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(PolicyModel):
    """All requirements must be met; an empty selector takes everything."""

    match_labels: Mapping[LabelKey, LabelValue] = Field(default_factory=dict, max_length=64)
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=64)] = ()

    @property
    def requirements(self) -> tuple[LabelRequirement, ...]:
        """All that is required, the labels as requirements as well."""
        labels = (
            LabelRequirement(key=key, operator="In", values=(value,))
            for key, value in self.match_labels.items()
        )
        return (*labels, *self.match_expressions)

    def meets(self, other: "LabelSelector") -> bool:
        """Tell whether there may be a pod that both select."""
        requirements = (*self.requirements, *other.requirements)
        return all(
            _can_be_met([r for r in requirements if r.key == key])
            for key in {requirement.key for requirement in requirements}
        )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a pod with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


def _can_be_met(requirements: Sequence[LabelRequirement]) -> bool:
    """Tell whether some value of their one label, or its absence, meets all requirements."""
    key = requirements[0].key
    values = {value for requirement in requirements for value in requirement.values}
    # Of the values that nobody names, one stands for all.
    unnamed = "x" * (1 + max(map(len, values), default=0))
    tries: list[Mapping[str, str]] = [{}, *({key: value} for value in (*values, unnamed))]
    return any(all(r.matches(labels) for r in requirements) for labels in tries)
