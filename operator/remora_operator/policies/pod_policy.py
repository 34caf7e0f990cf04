"""The policy of one pod, with all that follows from it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remora.policy import (
    ClusterLLMPolicy,
    EffectivePolicy,
    LLMPolicy,
    LLMProvider,
    PolicyDocuments,
    PolicySource,
    effective_policy,
)
from remora.policy.provider_document import provider_of
from remora.providers import ProviderRegistry
from remora.providers.certificate_hosts import certificate_hosts
from remora_operator.inject import PolicyNeeds, policy_needs
from remora_operator.policies.credentials import ProviderOfSecret, Withheld, permitted
from remora_operator.policies.history import Standing
from remora_operator.policies.reading import ObjectKey

NOT_READ_YET = "the operator has not read all of the cluster's policies yet"


@dataclass(frozen=True, slots=True)
class PodPolicy:
    """What a pod is sent, and what it needs for it.

    Attributes:
        effective: The policy; its `canonical` travels, under its `version`.
        source: The object that was selected; None: nothing selects the pod.
        tied: Objects that might as well have been selected, the one that was included; empty:
            there is no conflict.
        withheld: Credentials that are not used.
        hosts: What the sidecar's certificate has to permit.
        needs: What only the pod's spec can give.
    """

    effective: EffectivePolicy
    source: ObjectKey | None
    tied: tuple[ObjectKey, ...]
    withheld: tuple[Withheld, ...]
    hosts: tuple[str, ...]
    needs: PolicyNeeds

    @property
    def version(self) -> str:
        """SHA-256 of the document, in hex."""
        return self.effective.version


@dataclass(frozen=True, slots=True)
class Held:
    """A pod gets no policy for now.

    Attributes:
        why: For people, with what to do.
        by: The object that is to be mended; None: it is only a matter of waiting.
    """

    why: str
    by: ObjectKey | None = None


@dataclass(frozen=True, slots=True)
class ClusterPart:
    """What holds for every namespace alike.

    Attributes:
        policies: The ClusterLLMPolicies in force.
        providers: The LLMProviders in force.
        held: Why nothing is sent to anybody.
    """

    policies: tuple[ClusterLLMPolicy, ...] = ()
    providers: tuple[LLMProvider, ...] = ()
    held: Held | None = None


def pod_policy(
    matching: Sequence[Standing], cluster: ClusterPart, provider_of_secret: ProviderOfSecret
) -> PodPolicy | Held:
    """Work out what applies to pods that these LLMPolicies of their namespace select.

    Where a policy has no usable version at all, and would rule the pods if it had, nothing else
    takes its place: what it forbids would be allowed meanwhile.
    """
    if cluster.held is not None:
        return cluster.held
    policies = [one.document for one in matching if isinstance(one.document, LLMPolicy)]
    held = _held_by(matching, policies)
    if held is not None:
        return held
    cut, withheld = _without_keys(policies, cluster, provider_of_secret)
    effective = effective_policy(cut, labels={})
    source, tied = _selected(effective, policies, cluster)
    return PodPolicy(
        effective=effective,
        source=source,
        tied=tied if len(tied) > 1 else (),
        withheld=() if source is None else withheld.get(source, ()),
        hosts=_hosts(effective),
        needs=policy_needs(effective),
    )


def _held_by(matching: Sequence[Standing], policies: Sequence[LLMPolicy]) -> Held | None:
    best = min((_rank(p.spec.priority, p.metadata.name) for p in policies), default=None)
    for one in matching:
        priority = one.claim.priority
        if one.document is None and (
            priority is None or best is None or _rank(priority, one.key.name) < best
        ):
            return held_by(one)
    return None


def held_by(standing: Standing) -> Held:
    """Say that pods wait for an object to be mended."""
    first = standing.problems[0] if standing.problems else "it can't be used"
    return Held(f"{standing.key} rules this pod and can't be used: {first}", standing.key)


def _rank(priority: int, name: str) -> tuple[int, str]:
    return -priority, name


def _without_keys(
    policies: Sequence[LLMPolicy], cluster: ClusterPart, provider_of_secret: ProviderOfSecret
) -> tuple[PolicyDocuments, Mapping[ObjectKey, tuple[Withheld, ...]]]:
    """Take out keys that may not be used; whom the policies select was asked before."""
    withheld: dict[ObjectKey, tuple[Withheld, ...]] = {}
    own = []
    for policy in policies:
        rules, missing = permitted(policy.spec, provider_of_secret)
        withheld[key_of(policy)] = missing
        everybody = rules.model_copy(update={"selector": type(rules.selector)()})
        own.append(policy.model_copy(update={"spec": everybody}))
    clusters = []
    for one in cluster.policies:
        if one.spec.defaults is None:
            clusters.append(one)
            continue
        defaults, missing = permitted(one.spec.defaults, provider_of_secret)
        withheld[key_of(one)] = missing
        spec = one.spec.model_copy(update={"defaults": defaults})
        clusters.append(one.model_copy(update={"spec": spec}))
    return PolicyDocuments(tuple(own), tuple(clusters), cluster.providers), withheld


def key_of(document: LLMPolicy | ClusterLLMPolicy) -> ObjectKey:
    """Return the key of a document."""
    namespace = document.metadata.namespace if isinstance(document, LLMPolicy) else None
    return ObjectKey(document.kind, namespace or "", document.metadata.name)


def _selected(
    effective: EffectivePolicy, policies: Sequence[LLMPolicy], cluster: ClusterPart
) -> tuple[ObjectKey | None, tuple[ObjectKey, ...]]:
    match effective.source:
        case PolicySource.POLICY:
            by_name = {policy.metadata.name: policy for policy in policies}
            priority = by_name[effective.name].spec.priority
            tied = [key_of(p) for p in policies if p.spec.priority == priority]
            return key_of(by_name[effective.name]), tuple(sorted(tied))
        case PolicySource.CLUSTER_DEFAULTS:
            tied = [key_of(p) for p in cluster.policies if p.spec.defaults is not None]
            return ObjectKey("ClusterLLMPolicy", "", effective.name), tuple(sorted(tied))
        case PolicySource.PRESET | PolicySource.NONE:
            return None, ()


def _hosts(effective: EffectivePolicy) -> tuple[str, ...]:
    registry = ProviderRegistry.builtin().with_providers(map(provider_of, effective.providers))
    return certificate_hosts(registry.only(effective.intercept))


def kept_while_held(before: PodPolicy | Held | None, now: PodPolicy | Held) -> PodPolicy | Held:
    """Let a pod keep the policy that it has while it would get none."""
    return before if isinstance(now, Held) and isinstance(before, PodPolicy) else now
