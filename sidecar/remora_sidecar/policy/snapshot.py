"""The compiled policy that engine and interceptor ask on every connection and call.

Built once per change and replaced whole; no question parses anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from remora.policy import EffectivePolicy, PolicyDocuments, Preset, effective_policy
from remora.policy.limits import Cache
from remora.policy.provider_document import provider_of
from remora.policy.view import policy_view
from remora.providers import Provider, ProviderRegistry
from remora_sidecar.policy.redaction import RedactionRules
from remora_sidecar.policy.rulebook import Rulebook, rulebook


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What policy says about the cache.

    Attributes:
        reads: Calls may be answered from it.
        writes: Answers may be kept.
        sampling: So may those of calls that ask for a sample.
        ttl_s: How long answers are kept.
        max_bytes: How much of them is kept on disk.
        scope: Who shares them: ``pod`` or ``namespace``.
        paced: Streams are given at the times at which they came, not at once.
    """

    reads: bool
    writes: bool
    sampling: bool
    ttl_s: float
    max_bytes: int
    scope: str
    paced: bool


@dataclass(frozen=True)
class PolicySnapshot:
    """What the policy in force says; immutable.

    Attributes:
        effective: The policy, with its name and version.
        registry: The providers that it intercepts and those added at run time, no others.
        added: The providers added at run time, at most one of a name.
        capture: What of prompts and answers is kept.
        captures_bodies: Whether bodies are kept at all.
        redaction: What is taken out of them before; None where they are kept as they are.
        opaque_allowed: Whether what can't be read may pass.
        may_ask_usage: Whether streams may be asked for their usage.
        cache: What may come from the cache and go into it; None where it is off.
        rulebook: The rules that calls go by.
    """

    effective: EffectivePolicy
    registry: ProviderRegistry
    added: tuple[Provider, ...] = ()
    capture: str = field(init=False)
    captures_bodies: bool = field(init=False)
    redaction: RedactionRules | None = field(init=False)
    opaque_allowed: bool = field(init=False)
    may_ask_usage: bool = field(init=False)
    cache: CachePolicy | None = field(init=False)
    rulebook: Rulebook = field(init=False)

    def __post_init__(self) -> None:
        """Work out the answers that calls ask for."""
        object.__setattr__(self, "capture", self.effective.capture)
        object.__setattr__(self, "captures_bodies", self.effective.capture != "metadata")
        object.__setattr__(self, "redaction", _redaction(self.effective))
        object.__setattr__(self, "opaque_allowed", self.effective.opaque == "allow")
        object.__setattr__(self, "may_ask_usage", self.effective.include_usage == "auto")
        object.__setattr__(self, "cache", _cache_policy(self.effective.rules.cache))
        object.__setattr__(self, "rulebook", rulebook(self.effective, self._reachable()))

    def _reachable(self) -> ProviderRegistry:
        """Every provider that a call may be sent to, intercepted or not."""
        defined = map(provider_of, self.effective.providers)
        return ProviderRegistry.builtin().with_providers((*defined, *self.added))

    @property
    def name(self) -> str:
        """Name of the policy in force."""
        return self.effective.name

    @property
    def version(self) -> str:
        """Version of the policy in force."""
        return self.effective.version

    def tls_provider(self, host: str) -> Provider | None:
        """Return the provider whose TLS connections to this host are terminated."""
        return self.registry.match_tls(host)

    def plain_provider(self, host: str, port: int) -> Provider | None:
        """Return the provider that takes plain HTTP at this host and port."""
        return self.registry.match_plain(host, port)

    def terminates(self, host: str) -> bool:
        """Whether TLS to this host is a provider's."""
        return self.registry.match_tls(host) is not None

    def takes_plain(self, host: str, port: int) -> bool:
        """Whether plain HTTP to this host and port is a provider's.

        Not where only single requests may be: such a connection is relayed.
        """
        provider = self.registry.match_plain(host, port)
        return provider is not None and not provider.claimed_only

    def with_added(self, *providers: Provider) -> "PolicySnapshot":
        """Return a snapshot that intercepts these as well; each replaces one of its name.

        `remora_sidecar.policy.additions` says what may be added.
        """
        names = {provider.name for provider in providers}
        added = (*(p for p in self.added if p.name not in names), *providers)
        return replace(self, registry=self.registry.with_providers(providers), added=added)

    def view(self) -> Mapping[str, object]:
        """Describe the policy in force, ready for JSON."""
        return policy_view(self.effective)


def _redaction(effective: EffectivePolicy) -> RedactionRules | None:
    if effective.capture != "redacted":
        return None
    return RedactionRules(effective.rules.redaction)


def _cache_policy(cache: Cache | None) -> CachePolicy | None:
    if cache is None or cache.mode == "disabled":
        return None
    return CachePolicy(
        reads=True,
        writes=cache.mode == "readwrite",
        sampling=cache.sampling,
        ttl_s=cache.ttl.milliseconds / 1000,
        max_bytes=cache.max_size.bytes,
        scope=cache.scope,
        paced=cache.replay == "paced",
    )


def snapshot_from_documents(
    documents: PolicyDocuments, labels: Mapping[str, str], preset: Preset | None = None
) -> PolicySnapshot:
    """Compile documents for a pod.

    Args:
        documents: Valid documents, as `remora.policy.load_documents` returns them.
        labels: The pod's labels.
        preset: What applies where there is no policy document at all.
    """
    return snapshot_from_effective(effective_policy(documents, labels, preset))


def snapshot_from_effective(effective: EffectivePolicy) -> PolicySnapshot:
    """Compile the policy that applies to a pod."""
    known = ProviderRegistry.builtin().with_providers(map(provider_of, effective.providers))
    return PolicySnapshot(effective, known.only(effective.intercept))
