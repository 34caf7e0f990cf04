"""Which providers may be added while the sidecar runs. Pure.

What may not: to take a name or host from a provider that is built in, that a document
defines or that a credential names; to take more than one registrable domain; to take a host
for which the sidecar's CA may sign no certificate.
"""

from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, urlsplit

from remora.providers import Provider, ProviderRegistry
from remora.providers.hosts import HostForm, HostPattern, breadth_problem
from remora_sidecar.policy.snapshot import PolicySnapshot

MAX_ADDED = 100

_DIALECTS = (
    "openai-chat",
    "openai-responses",
    "openai-completions",
    "openai-embeddings",
    "anthropic-messages",
    "gemini-generate",
    "cohere-chat",
)
"""Told apart by their paths; Bedrock's is left out, since its hosts are all built in."""

_PORTS = {"https": 443, "http": 80}


def provider_to_add(name: str, base_url: str, path_patterns: Sequence[str]) -> Provider:
    """Make the registry's entry of what is asked for.

    Raises:
        ValueError: The URL is not one of a provider; the message says why.
    """
    url = urlsplit(base_url)
    host = _host(url)
    base = url.path.rstrip("/")
    openai_base = base or "/v1"
    return Provider(
        name=name,
        hosts=(host,),
        ports=(url.port or _PORTS[url.scheme],),
        tls=url.scheme == "https",
        dialects=_DIALECTS,
        base_paths={d: openai_base if d.startswith("openai-") else base for d in _DIALECTS},
        path_patterns=tuple(path_patterns),
        run_time=True,
    )


def _host(url: SplitResult) -> HostPattern:
    if url.scheme not in _PORTS or not url.hostname:
        raise ValueError("base_url should be an http:// or https:// URL with a host")
    if url.username is not None or url.password is not None:
        raise ValueError("base_url should carry no credentials")
    if url.query or url.fragment:
        raise ValueError("base_url should have no query and no fragment")
    host = HostPattern.parse(url.hostname)
    if host.form is HostForm.GLOB:
        raise ValueError("only a leading '*.' may stand for many hosts")
    if problem := breadth_problem(host):
        raise ValueError(problem)
    if url.scheme == "https" and host.is_ip:
        raise ValueError("an IP address can't be intercepted over TLS: give the host's name")
    return host


def is_known(asked: Provider, snapshot: PolicySnapshot) -> bool:
    """Tell whether what is asked for is so already: nothing is to be done then."""
    if asked in snapshot.added:
        return True
    known = snapshot.registry.get(asked.name)
    return known is not None and not known.run_time and _serves(known, asked)


def _serves(known: Provider, asked: Provider) -> bool:
    is_reached_alike = known.tls if asked.tls else set(asked.ports) <= set(known.ports)
    return is_reached_alike and any(h.matches(asked.hosts[0].text) for h in known.hosts)


def addition_problem(
    asked: Provider, snapshot: PolicySnapshot, may_sign: Callable[[str], bool]
) -> str | None:
    """Say why a provider can't be added; None if it can.

    Args:
        asked: As `provider_to_add` makes it.
        snapshot: The policy in force.
        may_sign: Whether the sidecar's CA may sign for a host or a ``*.`` pattern.
    """
    others = _others(snapshot)
    named = {credential.provider for credential in snapshot.effective.rules.credentials}
    if asked.name in others or asked.name in named:
        return f"the provider {asked.name!r} is not one added at run time and can't be replaced"
    for other in (*others.values(), *(p for p in snapshot.added if p.name != asked.name)):
        if asked.clash_with(other) is not None:
            return f"{asked.hosts[0].text!r} is or holds a host of the provider {other.name!r}"
    if asked.tls and not may_sign(asked.hosts[0].text):
        return (
            f"this sidecar's CA may not sign for {asked.hosts[0].text!r}: define an LLMProvider "
            "in the cluster, whose hosts its certificate then covers"
        )
    if len(snapshot.added) >= MAX_ADDED and snapshot.registry.get(asked.name) is None:
        return f"{MAX_ADDED} providers were added already; define others as LLMProvider documents"
    return None


def _others(snapshot: PolicySnapshot) -> dict[str, Provider]:
    """Every provider that was not added at run time, intercepted or not."""
    known = (*ProviderRegistry.builtin(), *snapshot.registry)
    return {provider.name: provider for provider in known if not provider.run_time}


def carried_over(old: PolicySnapshot, new: PolicySnapshot) -> PolicySnapshot:
    """Give a changed policy the providers that were added before and may still be."""
    for provider in old.added:
        if addition_problem(provider, new, lambda _: True) is None:
            new = new.with_added(provider)
    return new
