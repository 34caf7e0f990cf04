"""What was read of a cluster about one workload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from remora.policy.selector import LabelSelector
from remora_operator.inject import InjectionConfig
from remora_operator.policies import Reading
from remora_operator.policies.answers import Refusal

type Json = Mapping[str, Any]


class Part(Enum):
    """What is asked of the cluster besides the workload; the values are for people."""

    NAMESPACE = "the namespace"
    WEBHOOK = "the webhook configuration"
    OPERATOR = "the operator's endpoints"
    CONFIG = "the operator's configuration"
    TRUST = "the ConfigMap remora-trust"
    POLICIES = "the policies"
    EVENTS = "Events"
    PODS = "all pods"
    OWNERS = "the pod's owners"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of a container ended.

    Attributes:
        code: Its exit code.
        reason: The kubelet's word, such as ``OOMKilled``.
        message: The end of its log, or what the kubelet says.
    """

    code: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SeenContainer:
    """The state of a container.

    Attributes:
        waiting: Why it does not run yet; empty: it does, or did.
        message: More about that.
        running_since: When it was started; None: it does not run.
        is_started: The startup probe has succeeded.
        is_ready: The readiness probe succeeds.
        restarts: How often it was started again.
        ended: How it ended, if it does not run any more.
        before: How the run before this one ended.
    """

    waiting: str = ""
    message: str = ""
    running_since: datetime | None = None
    is_started: bool = False
    is_ready: bool = False
    restarts: int = 0
    ended: Ended | None = None
    before: Ended | None = None


@dataclass(frozen=True, slots=True)
class SeenPod:
    """A pod that exists.

    Attributes:
        created: None where it does not say.
        is_injected: It has a sidecar.
        is_over: All its containers have ended for good.
        is_going: It was deleted, and is not gone yet.
        digest: Of what it was given, as its annotation says; empty: it does not say.
        policy_version: In force there, as the operator wrote on it; empty: it wrote nothing.
        refusal: What its sidecar refused, as the operator wrote on it.
        unscheduled: Why it has no node; empty: it has one.
        states: Of its containers, by name.
        json: The pod itself, for injection.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    is_injected: bool = False
    is_over: bool = False
    is_going: bool = False
    mode: str = ""
    digest: str = ""
    policy_version: str = ""
    refusal: Refusal | None = None
    unscheduled: str = ""
    states: Mapping[str, SeenContainer] = field(default_factory=dict)
    json: Json = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"pod {self.name}"


@dataclass(frozen=True, slots=True)
class SeenHook:
    """One entry of the MutatingWebhookConfiguration.

    Attributes:
        ca_bundle: PEM; None: it can't be read.
        namespaces: Which namespaces it is for; None: that can't be read.
        objects: Which pods, alike.
    """

    name: str
    ca_bundle: bytes | None
    fails_closed: bool
    namespaces: LabelSelector | None
    objects: LabelSelector | None


@dataclass(frozen=True, slots=True)
class SeenHooks:
    """The MutatingWebhookConfiguration."""

    created: datetime | None
    hooks: Mapping[str, SeenHook]


@dataclass(frozen=True, slots=True)
class SeenNamespace:
    """The namespace of the workload.

    Attributes:
        labels: Its labels.
        label_changed: When whoever set our label changed its labels last; None: not known.
    """

    labels: Mapping[str, str]
    label_changed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was read; what could not be asked has its default, and stands in `unasked`.

    Attributes:
        top: The object that pods are made of: a workload, or a pod without one.
        namespace: Its name.
        pods: The pods that were asked about.
        now: An aware time.
        seen_namespace: None: there is none.
        hooks: None: there is no configuration.
        ready_operators: How many endpoints of the webhook's Service are ready.
        trust_keys: Of the ConfigMap in the namespace; None: there is none.
        config: How pods are injected.
        config_problem: Why it can't be read; empty: it can.
        policies: The policy objects of the cluster and of the namespace.
        failures: Why pods could not be created, as their controllers were told.
        unasked: What could not be asked, and why.
        operator_namespace: Where the operator is.
    """

    top: Json
    namespace: str
    pods: tuple[SeenPod, ...]
    now: datetime
    seen_namespace: SeenNamespace | None = None
    hooks: SeenHooks | None = None
    ready_operators: int = 0
    trust_keys: frozenset[str] | None = None
    config: InjectionConfig = field(default_factory=InjectionConfig)
    config_problem: str = ""
    policies: tuple[Reading, ...] = ()
    failures: tuple[str, ...] = ()
    unasked: Mapping[Part, str] = field(default_factory=dict)
    operator_namespace: str = "remora-system"

    @property
    def kind(self) -> str:
        """Of the object that pods are made of."""
        return str(self.top.get("kind") or "")

    @property
    def name(self) -> str:
        """Its name."""
        metadata = self.top.get("metadata")
        return str(metadata.get("name") or "") if isinstance(metadata, Mapping) else ""

    @property
    def knows_configuration(self) -> bool:
        """Whether it is known what the operator writes into pods, policy aside."""
        needed = (Part.NAMESPACE, Part.CONFIG, Part.POLICIES)
        return not self.config_problem and all(map(self.was_asked, needed))

    def was_asked(self, part: Part) -> bool:
        """Tell whether a part could be asked."""
        return part not in self.unasked
