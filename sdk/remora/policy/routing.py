"""Routes: which calls go where, what is tried next, and for how long."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, field_validator, model_validator

from remora.policy.globs import Glob
from remora.policy.model import ModelName, PolicyModel, ResourceName, RuleName
from remora.policy.quantities import Duration

RouterPolicy = Literal[
    "random",
    "weighted",
    "round-robin",
    "cheapest",
    "fastest",
    "sticky",
    "conditional",
    "plugin",
    "learned",
]

Operation = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$", max_length=64)]
"""OpenTelemetry's word, such as ``chat``."""

MAX_CONDITION_CHARACTERS = 4096
"""Bound of a CEL expression: conditions run in the path of calls and can't be interrupted."""


def _positive(value: Duration | None) -> Duration | None:
    if value is not None and value.milliseconds <= 0:
        raise ValueError("should be longer than nothing")
    return value


class RouteMatch(PolicyModel):
    """What a call must be for the route to take it; nothing given takes every call."""

    models: tuple[Glob, ...] = ()
    operations: tuple[Operation, ...] = ()
    condition: Annotated[str, Field(min_length=1, max_length=MAX_CONDITION_CHARACTERS)] | None = (
        None
    )


class Target(PolicyModel):
    """Where a call may go: a model, at the provider it was asked of unless another is named."""

    provider: ResourceName | None = None
    model: ModelName


class Candidate(Target):
    """One target that a router chooses from."""

    weight: Annotated[StrictInt, Field(ge=0, le=1_000_000)] | None = None


class Router(PolicyModel):
    """How the target is chosen."""

    policy: RouterPolicy
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _weights_fit_the_policy(self) -> Self:
        weights = [candidate.weight for candidate in self.candidates]
        if self.policy != "weighted":
            if any(weight is not None for weight in weights):
                raise ValueError("weights are taken by policy: weighted only")
        elif any(weight is None for weight in weights) or not any(weights):
            raise ValueError("every candidate needs a weight, and one of them more than 0")
        return self


class Retry(PolicyModel):
    """How often and after what pause a candidate is tried."""

    attempts: Annotated[StrictInt, Field(ge=1, le=10)] = 2
    initial: Duration = Duration(500)
    max: Duration = Duration(5_000)

    @model_validator(mode="after")
    def _pauses_grow(self) -> Self:
        if self.max < self.initial:
            raise ValueError("max should not be shorter than initial")
        return self


class Timeouts(PolicyModel):
    """How long an attempt may take to connect, to its first byte, and between bytes."""

    connect: Duration | None = None
    first_byte: Duration | None = None
    idle: Duration | None = None

    _are_positive = field_validator("connect", "first_byte", "idle")(_positive)


class Route(PolicyModel):
    """One rule; the first that matches a call has it."""

    name: RuleName
    match: RouteMatch = RouteMatch()
    router: Router | None = None
    fallback: tuple[Target, ...] = ()
    retry: Retry | None = None
    timeouts: Timeouts | None = None
