"""What calls may use: models, money, the cache, keys."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictInt, field_validator, model_validator

from remora.policy.globs import Glob
from remora.policy.model import (
    MAX_MERGED,
    BudgetName,
    Globs,
    ModelName,
    PolicyModel,
    ResourceName,
    RuleName,
)
from remora.policy.quantities import Duration, Money, Quantity
from remora.policy.regexes import regex_problem

AllowList = Annotated[Globs, Field(min_length=1)]


class ModelRules(PolicyModel):
    """Which models may be asked for; nothing allowed by name allows all, a denial wins.

    Attributes:
        allow: Of which one has to take the model; empty takes all.
        within: More such lists, each of which has to take the model as well; where floors are
            merged in, theirs stand here.
        deny: Of which none may take the model.
    """

    allow: Globs = ()
    within: Annotated[
        tuple[AllowList, ...], Field(max_length=MAX_MERGED, json_schema_extra={"maxItems": 32})
    ] = ()
    deny: Globs = ()

    @property
    def restricts(self) -> bool:
        """Whether there may be a model that is not permitted."""
        return bool(self.allow or self.within or self.deny)

    def permits(self, name: str) -> bool:
        """Tell whether a model may be asked for."""
        lists = (self.allow, *self.within) if self.allow else self.within
        return all(_takes(globs, name) for globs in lists) and not _takes(self.deny, name)


def _takes(globs: Iterable[Glob], name: str) -> bool:
    return any(glob.matches(name) for glob in globs)


class Cache(PolicyModel):
    """Whether answers are kept, and for how long.

    Attributes:
        mode: Whether answers are taken from the cache, and whether new ones go into it.
        ttl: How long an answer is kept.
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
    """A limit on money or tokens, for each of what ``per`` names.

    Attributes:
        name: Unique in its policy.
        per: Whose spending is counted together.
        max_cost_usd: The most that may be spent.
        max_tokens: The most tokens that may be used, in and out.
        on_exceed: What happens to a call that does not fit in any more.
        window: Fixed and aligned to the epoch in UTC; None for the whole life.
        strict: Reserve the most that the model may answer, so that nothing is ever overspent.
        downgrade_to: Model of the same provider; None for the next cheaper candidate.
        on_unreachable: What happens where the budget is shared and nobody can be asked.
    """

    name: BudgetName
    per: Literal["call", "task", "session", "agent", "pod", "namespace"]
    max_cost_usd: Money | None = Field(default=None, alias="maxCostUSD")
    max_tokens: Annotated[StrictInt, Field(ge=0)] | None = None
    window: Duration | None = None
    strict: StrictBool = False
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


class Rate(PolicyModel):
    """A limit of a pod's calls per minute, for each model or for all that globs take.

    Attributes:
        models: Whose calls count together; empty: each model by itself.
        requests_per_minute: How many calls may begin.
        tokens_per_minute: How many tokens they may use, in and out.
    """

    name: RuleName
    models: Globs = ()
    requests_per_minute: Annotated[StrictInt, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[StrictInt, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            raise ValueError("a rate needs requestsPerMinute or tokensPerMinute")
        return self


Detector = Literal[
    "provider-key",
    "bearer-token",
    "cloud-key",
    "private-key",
    "email",
    "phone",
    "iban",
    "credit-card",
    "ip-address",
]
"""What redaction finds by itself."""

MAX_REDACTION_REGEX_CHARACTERS = 1024


class RedactionPattern(PolicyModel):
    """Text that is redacted beside what the detectors find."""

    name: RuleName
    regex: Annotated[str, Field(min_length=1, max_length=MAX_REDACTION_REGEX_CHARACTERS)]

    @field_validator("regex")
    @classmethod
    def _regex_can_be_read(cls, value: str) -> str:
        if problem := regex_problem(value):
            raise ValueError(problem)
        return value


class Redaction(PolicyModel):
    """What ``capture: redacted`` takes out of prompts and answers before they are kept.

    Attributes:
        skip: Detectors that are switched off.
        patterns: What else is taken out, in RE2's syntax.
        mode: ``mask`` leaves the kind of what was there; ``digest`` also a salted digest, so
            that equal values can be counted.
        max_body: The most that is kept of one body.
    """

    skip: Annotated[tuple[Detector, ...], Field(max_length=16)] = ()
    patterns: Annotated[tuple[RedactionPattern, ...], Field(max_length=64)] = ()
    mode: Literal["mask", "digest"] = "mask"
    max_body: Quantity = Quantity(256 * 1024)


class SecretRef(PolicyModel):
    """Names a key of a Secret; the value never stands in a document."""

    name: ResourceName
    key: Annotated[str, Field(pattern=r"^[-._A-Za-z0-9]+$", max_length=253)]


class Credential(PolicyModel):
    """Whose key calls to a provider carry, whatever the agent sent.

    Attributes:
        provider: Its name; ``*``, without a key, for all that have no entry of their own.
        secret_ref: The key that replaces the agent's; None: none does.
        only_from: ``policy`` strips the agent's key even where there is none to replace it.
    """

    provider: ResourceName | Literal["*"]
    secret_ref: SecretRef | None = None
    only_from: Literal["policy"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.secret_ref is None and self.only_from is None:
            raise ValueError("a credential needs secretRef, or onlyFrom: policy")
        if self.secret_ref is not None and self.provider == "*":
            raise ValueError("a key is for one provider: name it")
        return self
