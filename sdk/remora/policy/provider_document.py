"""Providers as `LLMProvider` documents define them."""

from remora.policy.spec import LLMProvider
from remora.providers import AuthScheme, Provider
from remora.providers.hosts import HostPattern

_AUTH = {
    "anthropic-messages": AuthScheme.X_API_KEY,
    "gemini-generate": AuthScheme.X_GOOG_API_KEY,
    "bedrock-converse": AuthScheme.SIGV4,
    "bedrock-invoke": AuthScheme.SIGV4,
}
"""Schemes by the provider's first dialect; elsewhere a bearer key."""


def own_price_id(document: LLMProvider) -> str | None:
    """Name the prices that a document states; None if it states none."""
    return f"LLMProvider/{document.metadata.name}" if document.spec.prices else None


def provider_of(document: LLMProvider) -> Provider:
    """Make the registry's entry of a document."""
    spec = document.spec
    return Provider(
        name=document.metadata.name,
        hosts=tuple(HostPattern.parse(host) for host in spec.hosts),
        ports=spec.listening_ports,
        tls=spec.tls,
        dialects=spec.dialects,
        base_paths={d: "/v1" if d.startswith("openai-") else "" for d in spec.dialects},
        price_id=own_price_id(document),
        auth=_AUTH.get(spec.dialects[0], AuthScheme.BEARER),
        allow_insecure=spec.allow_insecure,
    )
