"""The one policy that applies to a pod: selected, with the cluster's floors merged in.

A pure function of documents and labels, used by sidecar, operator and CLI alike.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Literal

from remora.policy.consistency import named_providers
from remora.policy.document import PolicyDocuments
from remora.policy.floors import with_floors
from remora.policy.limits import Cache
from remora.policy.reachability import shadowed_routes
from remora.policy.spec import (
    API_VERSION,
    CallRules,
    Capture,
    ClusterLLMPolicy,
    LLMPolicy,
    LLMProvider,
    Opaque,
    PolicySpec,
)
from remora.providers import ProviderRegistry

Preset = Literal["tracker", "tracker-cached"]

_PRESETS: Mapping[Preset, CallRules] = MappingProxyType(
    {
        "tracker": CallRules(capture="full"),
        "tracker-cached": CallRules(capture="full", cache=Cache(mode="readwrite", sampling=True)),
    }
)


class PolicySource(Enum):
    """Where the effective policy came from."""

    POLICY = "LLMPolicy"
    CLUSTER_DEFAULTS = "ClusterLLMPolicy"
    PRESET = "preset"
    NONE = "none"


@dataclass(frozen=True)
class EffectivePolicy:
    """What applies to one pod.

    Attributes:
        name: Of the selected policy or preset; ``default`` where nothing was selected.
        source: What was selected.
        version: SHA-256 of `canonical`, in hex.
        canonical: The document that travels: canonical JSON of the policy with floors
            merged, and of `providers`.
        rules: The selected rules with floors merged, without selector and priority.
        intercept: Names of the providers to intercept, sorted.
        capture: What of prompts and answers is kept.
        opaque: Whether what can't be read may pass.
        include_usage: Whether ``stream_options.include_usage`` may be added to calls.
        providers: The `LLMProvider` documents of those that are intercepted, or that
            routes or credentials name.
        across_namespaces: Whether learned routing learns from other namespaces, and they from
            this one.
        notes: What a person should know of: conflicts, routes that no call can reach.
    """

    name: str
    source: PolicySource
    version: str
    canonical: bytes
    rules: PolicySpec
    intercept: tuple[str, ...]
    capture: Capture
    opaque: Opaque
    include_usage: Literal["auto", "never"]
    providers: tuple[LLMProvider, ...]
    notes: tuple[str, ...]
    across_namespaces: bool = False


@dataclass(frozen=True)
class _Selection:
    name: str
    source: PolicySource
    rules: CallRules
    notes: tuple[str, ...] = ()


def effective_policy(
    documents: PolicyDocuments, labels: Mapping[str, str], preset: Preset | None = None
) -> EffectivePolicy:
    """Select and merge the policy of a pod.

    The matching LLMPolicy of the highest priority wins whole; of equal ones the first by
    name. Where none matches, the defaults of the first ClusterLLMPolicy apply. Namespaces
    are not looked at: in a cluster the caller passes the documents of the pod's own.

    Args:
        documents: Valid documents.
        labels: The pod's labels.
        preset: What applies where there is no policy document at all.
    """
    selected = _select(documents, labels, preset)
    rules = with_floors(selected.rules, _by_name(documents.cluster_policies))
    intercept = _intercepted(rules, documents.providers)
    used = {*intercept, *(name for _, name in named_providers(rules))}
    providers = tuple(p for p in _by_name(documents.providers) if p.metadata.name in used)
    across = _across_namespaces(documents.cluster_policies)
    canonical = _canonical(selected.name, rules, providers, across_namespaces=across)
    return EffectivePolicy(
        name=selected.name,
        source=selected.source,
        version=hashlib.sha256(canonical).hexdigest(),
        canonical=canonical,
        rules=rules,
        intercept=intercept,
        capture=rules.capture,
        opaque=rules.opaque or ("block" if rules.restricts else "allow"),
        include_usage=rules.include_usage,
        providers=providers,
        notes=(*selected.notes, *(f"{s.where}: {s.what}" for s in shadowed_routes(rules))),
        across_namespaces=across,
    )


def _select(
    documents: PolicyDocuments, labels: Mapping[str, str], preset: Preset | None
) -> _Selection:
    matching = [p for p in documents.policies if p.spec.selector.matches(labels)]
    if matching:
        return _highest(matching)
    defaults = [p for p in _by_name(documents.cluster_policies) if p.spec.defaults is not None]
    if defaults:
        return _first_defaults(defaults)
    if preset is not None and not documents.policies and not documents.cluster_policies:
        return _Selection(preset, PolicySource.PRESET, _PRESETS[preset])
    return _Selection("default", PolicySource.NONE, CallRules())


def _highest(matching: Sequence[LLMPolicy]) -> _Selection:
    priority = max(policy.spec.priority for policy in matching)
    tied = _by_name(p for p in matching if p.spec.priority == priority)
    winner = tied[0]
    notes = tuple(
        f"Conflicted: LLMPolicy {_called(other)} matches with the same priority {priority} as "
        f"{_called(winner)}, which applies as the first by name"
        for other in tied[1:]
    )
    return _Selection(winner.metadata.name, PolicySource.POLICY, winner.spec, notes)


def _first_defaults(policies: Sequence[ClusterLLMPolicy]) -> _Selection:
    winner = policies[0]
    notes = tuple(
        f"Conflicted: ClusterLLMPolicy {other.metadata.name!r} has defaults as "
        f"{winner.metadata.name!r} has, which apply as the first by name"
        for other in policies[1:]
    )
    rules = winner.spec.defaults or CallRules()
    return _Selection(winner.metadata.name, PolicySource.CLUSTER_DEFAULTS, rules, notes)


def _by_name[D: (LLMPolicy, ClusterLLMPolicy, LLMProvider)](documents: Iterable[D]) -> list[D]:
    return sorted(documents, key=lambda d: (d.metadata.name, d.metadata.namespace or ""))


def _called(policy: LLMPolicy) -> str:
    namespace = policy.metadata.namespace
    return repr(f"{namespace}/{policy.metadata.name}" if namespace else policy.metadata.name)


def _intercepted(rules: CallRules, providers: Iterable[LLMProvider]) -> tuple[str, ...]:
    """Return the named providers; without names, all that are built in or defined."""
    if rules.intercept is not None:
        return tuple(sorted(rules.intercept))
    defined = (provider.metadata.name for provider in providers)
    return tuple(sorted((*ProviderRegistry.builtin().names, *defined)))


def _across_namespaces(policies: Iterable[ClusterLLMPolicy]) -> bool:
    """Tell whether some document lets namespaces learn from each other, and none forbids it."""
    said = {policy.spec.learning.across_namespaces for policy in policies}
    return True in said and False not in said


def _canonical(
    name: str, rules: CallRules, providers: Sequence[LLMProvider], *, across_namespaces: bool
) -> bytes:
    """Write the effective document; equal meaning gives equal bytes.

    Only what was set is written, so that a version of Remora which knows more fields
    gives the same version to the same policy.
    """
    policy = {
        "apiVersion": API_VERSION,
        "kind": "LLMPolicy",
        "metadata": {"name": name},
        "spec": rules.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }
    document: dict[str, object] = {
        "policy": policy,
        "providers": [_provider_json(provider) for provider in providers],
    }
    if across_namespaces:
        document["learning"] = {"acrossNamespaces": True}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _provider_json(provider: LLMProvider) -> dict[str, object]:
    spec = provider.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {
        "apiVersion": API_VERSION,
        "kind": "LLMProvider",
        "metadata": {"name": provider.metadata.name},
        "spec": spec,
    }
