"""The documents of the policy language, as users write them and as the CRDs are made of.

Three kinds: `LLMPolicy`, `ClusterLLMPolicy` and `LLMProvider`. The models say what is
well-formed; `remora.policy.support` says which fields this release enforces.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    model_validator,
)

from remora.policy.globs import Glob
from remora.policy.limits import Budget, Cache, Credential, ModelRules, Rate, Redaction
from remora.policy.model import MAX_ENTRIES, MAX_MERGED, PolicyModel, ResourceName
from remora.policy.quantities import Money, Quantity
from remora.policy.routing import Breaker, Route
from remora.policy.selector import LabelSelector
from remora.policy.signals import Signals
from remora.providers import DIALECTS
from remora.providers.hosts import (
    MAX_HOST_CHARACTERS,
    HostForm,
    HostPattern,
    breadth_problem,
)

Capture = Literal["metadata", "redacted", "full"]
"""What of prompts and answers is kept, strictest first."""

Opaque = Literal["allow", "block"]


class Metadata(PolicyModel):
    """Of Kubernetes' metadata, what a person writes."""

    name: ResourceName
    namespace: ResourceName | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)


Budgets = Annotated[
    tuple[Budget, ...],
    Field(max_length=MAX_MERGED, json_schema_extra={"maxItems": MAX_ENTRIES}),
]


def _refuse_repetition(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: {name!r} stands more than once")
        seen.add(name)


class CallRules(PolicyModel):
    """What is done with calls: all of a policy but whom it is for.

    Attributes:
        intercept: Names of the providers to intercept; None for every known one.
        opaque: Whether what can't be read may pass; None decides by what else the policy says.
        include_usage: Whether ``stream_options.include_usage`` may be added to calls.
        capture: What of prompts and answers is kept.
        redaction: What ``capture: redacted`` takes out of them.
        models: Which models may be asked for.
        max_request_body: Calls with a larger body are refused.
        require_task: Calls that name no task are refused.
        routes: Where calls go; the first that matches a call has it.
        breaker: When a failing provider's model is left alone.
        cache: Whether answers are kept.
        budgets: Limits on money and tokens.
        rates: Limits of calls and tokens per minute.
        credentials: Whose keys calls carry.
        signals: What is told of answers without their users.
    """

    intercept: Annotated[tuple[ResourceName, ...], Field(max_length=MAX_ENTRIES)] | None = None
    opaque: Opaque | None = None
    include_usage: Literal["auto", "never"] = "auto"
    capture: Capture = "metadata"
    redaction: Redaction = Redaction()
    models: ModelRules = ModelRules()
    max_request_body: Quantity | None = None
    require_task: StrictBool = False
    routes: Annotated[tuple[Route, ...], Field(max_length=MAX_ENTRIES)] = ()
    breaker: Breaker = Breaker()
    cache: Cache | None = None
    budgets: Budgets = ()
    rates: Annotated[tuple[Rate, ...], Field(max_length=MAX_ENTRIES)] = ()
    credentials: Annotated[tuple[Credential, ...], Field(max_length=MAX_ENTRIES)] = ()
    signals: Signals = Signals()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _refuse_repetition("intercept", self.intercept or ())
        _refuse_repetition("routes", (route.name for route in self.routes))
        _refuse_repetition("budgets", (budget.name for budget in self.budgets))
        _refuse_repetition("rates", (rate.name for rate in self.rates))
        _refuse_repetition("credentials", (key.provider for key in self.credentials))
        return self

    @property
    def restricts(self) -> bool:
        """Whether a call that can't be read could get round some restriction."""
        return bool(
            self.models.restricts
            or self.budgets
            or self.rates
            or self.credentials
            or self.max_request_body
            or self.require_task
        )


class PolicySpec(CallRules):
    """What an LLMPolicy says.

    Attributes:
        selector: Which pods; empty: all.
        priority: Of the policies that select a pod the highest has it, whole.
    """

    selector: LabelSelector = LabelSelector()
    priority: Annotated[StrictInt, Field(ge=-1_000_000_000, le=1_000_000_000)] = 0


class Floors(PolicyModel):
    """What no policy may go below.

    Attributes:
        models: A model has to be permitted here, too.
        budgets: Apply beside the policy's own.
        capture: The most that is kept of prompts and answers.
        opaque: ``block`` makes every policy block.
    """

    models: ModelRules = ModelRules()
    budgets: Budgets = ()
    capture: Capture | None = None
    opaque: Opaque | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _refuse_repetition("budgets", (budget.name for budget in self.budgets))
        return self


class ClusterLearning(PolicyModel):
    """What learned routing may do in a whole cluster.

    Attributes:
        across_namespaces: Whether namespaces learn from each other; of several documents one that
            says ``false`` counts.
    """

    across_namespaces: StrictBool | None = None


class ClusterPolicySpec(PolicyModel):
    """What a ClusterLLMPolicy says.

    Attributes:
        defaults: What applies where no LLMPolicy selects a pod.
        floors: What no policy may go below.
        learning: What learned routing may do.
    """

    defaults: CallRules | None = None
    floors: Floors = Floors()
    learning: ClusterLearning = ClusterLearning()


class Price(PolicyModel):
    """Prices in USD of a million tokens of the models that a glob takes."""

    model: Glob
    input_per_million_usd: Money = Field(alias="inputPerMillionUSD")
    output_per_million_usd: Money = Field(alias="outputPerMillionUSD")


def _host(text: str) -> str:
    pattern = HostPattern.parse(text)
    if pattern.form is HostForm.GLOB:
        raise ValueError(
            "only a leading '*.' may stand for many hosts: a certificate can't be "
            "constrained to other patterns"
        )
    problem = breadth_problem(pattern)
    if problem is not None:
        raise ValueError(problem)
    return pattern.text


def _dialect(name: str) -> str:
    if name not in DIALECTS:
        raise ValueError(f"no such dialect; known are {', '.join(sorted(DIALECTS))}")
    return name


Host = Annotated[str, Field(min_length=1, max_length=MAX_HOST_CHARACTERS), AfterValidator(_host)]
"""A host name, an IP address, or a name with a leading ``*.``."""

DialectName = Annotated[
    str,
    AfterValidator(_dialect),
    WithJsonSchema({"type": "string", "enum": sorted(DIALECTS)}),
]


class ProviderSpec(PolicyModel):
    """What an LLMProvider says.

    Attributes:
        hosts: Its names; nothing wider than one registrable domain.
        ports: Where it listens; default 443, or 80 without TLS.
        tls: Whether it is reached over TLS; otherwise in plain HTTP.
        dialects: The wire formats that it speaks, most usual first.
        prices: Of its models; the first that takes a model counts.
        allow_insecure: Whether keys may be sent to it in plain HTTP.
    """

    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=64)]
    ports: Annotated[
        tuple[Annotated[StrictInt, Field(ge=1, le=65535)], ...], Field(max_length=32)
    ] = ()
    tls: StrictBool = True
    dialects: Annotated[tuple[DialectName, ...], Field(min_length=1, max_length=32)]
    prices: Annotated[tuple[Price, ...], Field(max_length=256)] = ()
    allow_insecure: StrictBool = False

    @model_validator(mode="after")
    def _addresses_have_no_tls(self) -> Self:
        if self.tls and any(HostPattern.parse(host).is_ip for host in self.hosts):
            raise ValueError("an IP address can't be intercepted over TLS: give the host's name")
        return self

    @property
    def listening_ports(self) -> tuple[int, ...]:
        """The ports given, else the scheme's own."""
        return self.ports or ((443,) if self.tls else (80,))


class LLMPolicy(PolicyModel):
    """What is done with the calls of the pods that it selects."""

    api_version: Literal["remora.dev/v1alpha1"]
    kind: Literal["LLMPolicy"]
    metadata: Metadata
    spec: PolicySpec = PolicySpec()


class ClusterLLMPolicy(PolicyModel):
    """Defaults and floors of a whole cluster."""

    api_version: Literal["remora.dev/v1alpha1"]
    kind: Literal["ClusterLLMPolicy"]
    metadata: Metadata
    spec: ClusterPolicySpec = ClusterPolicySpec()


class LLMProvider(PolicyModel):
    """A provider that Remora does not know by itself."""

    api_version: Literal["remora.dev/v1alpha1"]
    kind: Literal["LLMProvider"]
    metadata: Metadata
    spec: ProviderSpec


Document = LLMPolicy | ClusterLLMPolicy | LLMProvider

KINDS: Mapping[str, type[LLMPolicy] | type[ClusterLLMPolicy] | type[LLMProvider]] = {
    "LLMPolicy": LLMPolicy,
    "ClusterLLMPolicy": ClusterLLMPolicy,
    "LLMProvider": LLMProvider,
}
"""The model of each kind."""

API_VERSION = "remora.dev/v1alpha1"
