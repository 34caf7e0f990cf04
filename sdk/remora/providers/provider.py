"""What is known of one provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from remora.providers.hosts import HostPattern

DIALECTS = frozenset(
    {
        "anthropic-messages",
        "bedrock-converse",
        "bedrock-invoke",
        "cohere-chat",
        "gemini-generate",
        "ollama-chat",
        "openai-audio",
        "openai-chat",
        "openai-completions",
        "openai-embeddings",
        "openai-images",
        "openai-moderations",
        "openai-realtime",
        "openai-responses",
    }
)
"""Every wire format that a provider may be said to speak; sidecars read some of them."""


class AuthScheme(Enum):
    """How a provider takes its key."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    API_KEY = "api-key"
    X_GOOG_API_KEY = "x-goog-api-key"
    SIGV4 = "sigv4"


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves: one entry of the registry.

    Attributes:
        name: Stable, such as ``openai``.
        hosts: Every host that is this provider's.
        ports: Where it listens; only these are taken for plain HTTP.
        tls: Reached over TLS; otherwise plain HTTP.
        dialects: What it speaks, most usual first.
        base_paths: Path in front of a dialect's own, as the official SDKs' base URLs
            have it (``/v1`` for OpenAI itself); where calls of that dialect are sent.
        auth: How it takes its key.
        price_id: The provider's id in genai-prices; None if its prices are unknown there.
        takes_include_usage: Whether ``stream_options.include_usage`` may be sent to it.
        built_in: From the package's own list rather than a document.
        claimed_only: Only requests that one of its dialects claims are taken for its own,
            since its host and port are often somebody else's; anybody may define them anew.
        path_patterns: Parts of paths, besides the dialects' own, under which a POST is an
            LLM call.
        run_time: Added while the sidecar ran, by whoever could reach its control listener:
            no policy credential may ever be sent to it.
        allow_insecure: Whether a policy credential may be sent to it without TLS.
    """

    name: str
    hosts: tuple[HostPattern, ...]
    ports: tuple[int, ...] = (443,)
    tls: bool = True
    dialects: tuple[str, ...] = ()
    base_paths: Mapping[str, str] = field(default_factory=dict, hash=False)
    auth: AuthScheme = AuthScheme.BEARER
    price_id: str | None = None
    takes_include_usage: bool = False
    built_in: bool = False
    claimed_only: bool = False
    path_patterns: tuple[str, ...] = ()
    run_time: bool = False
    allow_insecure: bool = False

    def clash_with(self, other: "Provider") -> HostPattern | None:
        """Return the pattern by which this provider takes calls that are the other's.

        A host reached over TLS is its provider's on every port. Plain HTTP ones may share
        a host (``localhost``) on different ports, and a host may serve TLS and plain HTTP
        as two providers, but for hosts that are built in.
        """
        if not self._meets(other):
            return None
        return next((h for h in self.hosts if any(h.overlaps(o) for o in other.hosts)), None)

    def _meets(self, other: "Provider") -> bool:
        if other.claimed_only:
            return False
        if self.tls != other.tls:
            return other.tls and other.built_in
        return self.tls or not set(self.ports).isdisjoint(other.ports)
