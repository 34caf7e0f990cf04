"""What calls may use: models, money, the cache, keys."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictInt, field_validator, model_validator

from remora.policy.globs import Glob
from remora.policy.model import ModelName, PolicyModel, ResourceName, RuleName
from remora.policy.quantities import Duration, Money, Quantity


class ModelRules(PolicyModel):
    """Which models may be asked for; nothing allowed by name allows all, a denial wins."""

    allow: tuple[Glob, ...] = ()
    deny: tuple[Glob, ...] = ()


class Cache(PolicyModel):
    """Whether answers are kept, and for how long.

    Attributes:
        max_size: On disk.
        scope: Who shares answers; ``namespace`` needs a shared cache.
        sampling: Whether calls that ask for a sample are cached too: any whose temperature
            is not 0 by its own word, or left to its default beside a seed.
        replay: Whether a cached stream comes at once, or paced as it was made.
    """

    mode: Literal["disabled", "read", "readwrite"]
    ttl: Duration = Duration(86_400_000)
    max_size: Quantity = Quantity(256 * 1024 * 1024)
    scope: Literal["pod", "namespace"] = "pod"
    sampling: StrictBool = False
    replay: Literal["immediate", "paced"] = "immediate"

    @field_validator("ttl")
    @classmethod
    def _ttl_is_some_time(cls, value: Duration) -> Duration:
        if value.milliseconds <= 0:
            raise ValueError("should be longer than nothing")
        return value


class Budget(PolicyModel):
    """A limit on money or tokens, for each of what ``per`` names."""

    name: RuleName
    per: Literal["call", "task", "session", "agent", "pod", "namespace"]
    max_cost_usd: Money | None = Field(default=None, alias="maxCostUSD")
    max_tokens: Annotated[StrictInt, Field(ge=0)] | None = None
    window: Duration | None = None
    on_exceed: Literal["block", "downgrade", "warn"] = "block"
    downgrade_to: ModelName | None = None
    on_unreachable: Literal["allow", "block"] = "allow"

    @model_validator(mode="after")
    def _fields_fit_each_other(self) -> Self:
        if self.max_cost_usd is None and self.max_tokens is None:
            raise ValueError("a budget needs maxCostUSD or maxTokens")
        if self.downgrade_to is not None and self.on_exceed != "downgrade":
            raise ValueError("downgradeTo is taken by onExceed: downgrade only")
        if self.window is not None and self.per == "call":
            raise ValueError("a budget per call has no window")
        return self

    @field_validator("window")
    @classmethod
    def _window_is_some_time(cls, value: Duration | None) -> Duration | None:
        if value is not None and value.milliseconds < 1_000:
            raise ValueError("should be one second or longer")
        return value


class SecretRef(PolicyModel):
    """Names a key of a Secret; the value never stands in a document."""

    name: ResourceName
    key: Annotated[str, Field(pattern=r"^[-._A-Za-z0-9]+$", max_length=253)]


class Credential(PolicyModel):
    """A key that calls to one provider carry, whatever the agent sent."""

    provider: ResourceName
    secret_ref: SecretRef
