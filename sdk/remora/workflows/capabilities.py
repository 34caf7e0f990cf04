"""What steps need of models, and what a namespace makes of each capability. Pure."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import Field, StrictInt, model_validator

from remora.policy.globs import Glob
from remora.workflows.catalogue import CatalogueModel
from remora.workflows.model import Capability, ProviderName, Tier, WorkflowModel
from remora.workflows.step import Need, Step

_TAKES: Mapping[str, Capability] = {"image": "vision", "audio": "audio_in"}
"""What a model has to have for each kind of attachment."""


class Requirement(WorkflowModel):
    """What a capability means for a namespace: every field that is given has to hold.

    Attributes:
        models: Patterns, of which one has to take the model.
        providers: Who may serve it.
        tiers: How strong it may be.
        min_context_tokens: Least context.
    """

    models: Annotated[tuple[Glob, ...], Field(max_length=128)] | None = None
    providers: Annotated[tuple[ProviderName, ...], Field(max_length=128)] | None = None
    tiers: tuple[Tier, ...] | None = None
    min_context_tokens: Annotated[StrictInt, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _requires_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("requires nothing: give models, providers, tiers or a context")
        return self

    def is_met_by(self, entry: CatalogueModel) -> bool:
        """Tell whether a model meets all of it."""
        return (
            (self.models is None or any(glob.matches(entry.model) for glob in self.models))
            and (self.providers is None or entry.provider in self.providers)
            and (self.tiers is None or entry.tier in self.tiers)
            and entry.context_tokens >= (self.min_context_tokens or 0)
        )

    def is_met_by_name(self, provider: str, model: str) -> bool:
        """Tell whether a model meets all of it of which nothing is known but its name."""
        return (
            self.tiers is None
            and self.min_context_tokens is None
            and (self.models is None or any(glob.matches(model) for glob in self.models))
            and (self.providers is None or provider in self.providers)
        )


class Overrides(WorkflowModel):
    """A namespace's own meanings of capabilities; those it does not name are the catalogue's."""

    capabilities: Mapping[Capability, Requirement] = Field(default_factory=dict)

    def has(self, entry: CatalogueModel, capability: Capability) -> bool:
        """Tell whether a model has a capability."""
        requirement = self.capabilities.get(capability)
        if requirement is None:
            return capability in entry.capabilities
        return requirement.is_met_by(entry)


NO_OVERRIDES = Overrides()


def needs_of(step: Step) -> tuple[Need, ...]:
    """Return what a step needs: what it says, and what follows from the rest of it."""
    said = {need.kind: need for need in step.capabilities}
    for need in _implied(step):
        if need.kind not in said or need.required:
            said[need.kind] = need
    return tuple(said.values())


def _implied(step: Step) -> Iterator[Need]:
    for message in step.conversation:
        for attachment in message.attachments:
            yield Need(kind=_TAKES[attachment.kind])
    if step.output.json_schema is not None:
        yield Need(kind="structured_output", required=False)
