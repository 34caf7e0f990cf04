"""Routes: which calls go where, what is tried next, and for how long."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, field_validator, model_validator
from pydantic.alias_generators import to_camel

from remora.policy.learning_fields import GoalName, Parameters, Samples, Share
from remora.policy.model import (
    MAX_CONDITION_CHARACTERS,
    Globs,
    ModelName,
    PolicyModel,
    ResourceName,
    RuleName,
)
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

PROMPT_OPERATIONS = frozenset({"chat", "text_completion", "generate_content"})
"""Those that answer a prompt: what a route takes that names no operation."""


def _positive(value: Duration | None) -> Duration | None:
    if value is not None and value.milliseconds <= 0:
        raise ValueError("should be longer than nothing")
    return value


def _compiles(text: str) -> str:
    # Loaded on first use: most documents have no condition, and the CEL library is not small.
    from remora.policy.condition import Condition

    Condition.compile(text)
    return text


ConditionText = Annotated[
    str, Field(min_length=1, max_length=MAX_CONDITION_CHARACTERS), AfterValidator(_compiles)
]
"""A CEL expression over a call; see `remora.policy.condition`."""


class RouteMatch(PolicyModel):
    """What a call must be for the route to take it; nothing given takes every call.

    Attributes:
        models: Of which one takes the requested model.
        operations: Empty takes those that answer a prompt; embeddings, moderations, lists of
            models and files are taken by name only.
        condition: Must hold as well.
    """

    models: Globs = ()
    operations: Annotated[tuple[Operation, ...], Field(max_length=32)] = ()
    condition: ConditionText | None = None


class Target(PolicyModel):
    """Where a call may go: a model, at the provider it was asked of unless another is named."""

    provider: ResourceName | None = None
    model: ModelName


class Candidate(Target):
    """One target that a router chooses from.

    Attributes:
        weight: Its share, for ``policy: weighted``.
        condition: When it is chosen, for ``policy: conditional``; none given always holds.
        parameters: What is set in the request besides the model, such as ``temperature``; dots
            lead into objects, as in ``generationConfig.temperature``.
    """

    weight: Annotated[StrictInt, Field(ge=0, le=1_000_000)] | None = None
    condition: ConditionText | None = None
    parameters: Parameters = Field(default_factory=dict)


class Router(PolicyModel):
    """How the target is chosen.

    Attributes:
        policy: The way of choosing.
        candidates: What is chosen from.
        seed: Makes the choices of ``random`` and ``weighted`` the same in every run.
        by: What stays with one candidate, for ``policy: sticky``.
        plugin: Name of an entry point of the group ``remora.routers``, for ``policy: plugin``.
        goal: What the calls are for, whatever they say, for ``policy: learned`` as all below.
        risk: How much may be left to chance; ``high``: nothing, ``medium``: no exploring.
        exploration_rate: Share of the calls of low risk that go to any candidate.
        min_samples: Answers that have to be known of a candidate before it is taken for being
            cheaper, or at high risk.
        rollback_threshold: By how much a candidate's share of good answers has to fall for it to
            be left out.
        staleness: A candidate unheard of for so long counts as little known.
        band: Share of the best candidate's rate within which cost and latency decide.
        updates: ``live``: by all that was learned; ``gated``: by the router version in force.
    """

    policy: RouterPolicy
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1, max_length=32)]
    seed: StrictInt | None = None
    by: Literal["session", "task", "conversation"] | None = None
    plugin: RuleName | None = None
    goal: GoalName | None = None
    risk: Literal["low", "medium", "high"] | None = None
    exploration_rate: Share | None = None
    min_samples: Samples | None = None
    rollback_threshold: Share | None = None
    staleness: Duration | None = None
    band: Share | None = None
    updates: Literal["live", "gated"] | None = None

    _is_some_time = field_validator("staleness")(_positive)

    @model_validator(mode="after")
    def _fields_fit_the_policy(self) -> Self:
        self._check_weights()
        self._check_learning()
        if self.policy != "conditional" and any(c.condition for c in self.candidates):
            raise ValueError("conditions of candidates are taken by policy: conditional only")
        if self.seed is not None and self.policy not in ("random", "weighted"):
            raise ValueError("seed is taken by policy: random and weighted only")
        if self.by is not None and self.policy != "sticky":
            raise ValueError("by is taken by policy: sticky only")
        if (self.plugin is not None) != (self.policy == "plugin"):
            raise ValueError("policy: plugin needs the plugin's name, and no other takes one")
        return self

    def _check_weights(self) -> None:
        weights = [candidate.weight for candidate in self.candidates]
        if self.policy != "weighted":
            if any(weight is not None for weight in weights):
                raise ValueError("weights are taken by policy: weighted only")
        elif any(weight is None for weight in weights) or not any(weights):
            raise ValueError("every candidate needs a weight, and one of them more than 0")

    def _check_learning(self) -> None:
        if self.policy == "learned":
            self._check_arms()
            return
        given = [name for name in LEARNED_FIELDS if getattr(self, name) is not None]
        if given:
            said = " and ".join(map(to_camel, given))
            raise ValueError(f"{said}: taken by policy: learned only")

    def _check_arms(self) -> None:
        arms = [
            (one.provider, one.model, repr(sorted(one.parameters.items())))
            for one in self.candidates
        ]
        for at, arm in enumerate(arms):
            if arm in arms[:at]:
                raise ValueError(
                    f"candidates: {arm[1]!r} stands more than once with the same parameters, and "
                    "nothing could be learned of one that does not hold for the other"
                )


LEARNED_FIELDS = (
    "goal",
    "risk",
    "exploration_rate",
    "min_samples",
    "rollback_threshold",
    "staleness",
    "band",
    "updates",
)
"""Of a router, those that ``policy: learned`` alone takes."""


class Retry(PolicyModel):
    """How often and after what pause a candidate is tried.

    Attributes:
        attempts: Tries of each candidate, the first included.
        initial: The pause before the second try, from which pauses grow.
        max: The longest pause; a provider that asks for a longer one is left.
    """

    attempts: Annotated[StrictInt, Field(ge=1, le=10)] = 2
    initial: Duration = Duration(500)
    max: Duration = Duration(5_000)

    @model_validator(mode="after")
    def _pauses_grow(self) -> Self:
        if self.max < self.initial:
            raise ValueError("max should not be shorter than initial")
        return self


class Timeouts(PolicyModel):
    """How long things may take.

    Attributes:
        connect: Of each attempt, until its connection stands.
        first_byte: Of each attempt, from the request's end to the answer's first byte.
        idle: Of each attempt, between two pieces of its answer.
        total: Of the call, all attempts and pauses, until the answer begins that the agent gets.
    """

    connect: Duration | None = None
    first_byte: Duration | None = None
    idle: Duration | None = None
    total: Duration | None = None

    _are_positive = field_validator("connect", "first_byte", "idle", "total")(_positive)


class Breaker(PolicyModel):
    """When a provider's model is left alone for a while, and when it is tried again.

    Attributes:
        consecutive_failures: In a row that open the circuit.
        error_percent: Of the attempts in the window that open it as well.
        minimum_attempts: In the window, before the percentage counts.
        window: Over which the percentage is taken.
        open_for: Until one attempt may probe.
    """

    consecutive_failures: Annotated[StrictInt, Field(ge=1, le=1_000)] = 5
    error_percent: Annotated[StrictInt, Field(ge=1, le=100)] = 50
    minimum_attempts: Annotated[StrictInt, Field(ge=1, le=100_000)] = 20
    window: Duration = Duration(60_000)
    open_for: Duration = Duration(30_000)

    _are_positive = field_validator("window", "open_for")(_positive)


class Route(PolicyModel):
    """One rule; the first that matches a call has it.

    Attributes:
        name: Unique in its policy; records and receipts carry it.
        match: Which calls it takes.
        router: Chooses where they go; None: where they were sent.
        fallback: What is tried after what was chosen, in this order.
        retry: How often each of them is tried; None: once.
        timeouts: How long things may take.
    """

    name: RuleName
    match: RouteMatch = RouteMatch()
    router: Router | None = None
    fallback: Annotated[tuple[Target, ...], Field(max_length=16)] = ()
    retry: Retry | None = None
    timeouts: Timeouts | None = None
