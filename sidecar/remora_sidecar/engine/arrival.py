"""A request as it arrives: whose call it is, its head, and whether it may change. Pure."""

from remora.providers import Provider
from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.registry import UNKNOWN, dialect_for
from remora_sidecar.engine.headers import without_ours
from remora_sidecar.engine.target import Target
from remora_sidecar.model.exchange import Headers, RequestHead, header, wants_websocket
from remora_sidecar.model.signature import is_signed
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.policy.key_plan import KeyPlan


def request_head(method: str, target: Target, headers: Headers) -> RequestHead:
    """Read the head of a call that goes to a target; ``remora-*`` fields are left out."""
    path, _, query = target.origin_form.partition("?")
    return RequestHead(method, target.host, path, query, without_ours(headers))


def provider_for(
    policy: PolicySnapshot, target: Target, method: str, headers: Headers
) -> Provider | None:
    """Find whose call a request is; None if it is no provider's that policy intercepts."""
    if target.scheme == "https":
        return policy.tls_provider(target.host)
    provider = policy.plain_provider(target.host, target.port)
    if provider is None or not provider.claimed_only:
        return provider
    # Where the host may be somebody else's, only what is an LLM call is the provider's.
    head = request_head(method, target, headers)
    return None if dialect_for(provider.dialects, head) is UNKNOWN else provider


def sealed_by(head: RequestHead, request: CallRequest, keys: KeyPlan, *, is_held: bool) -> str:
    """Say why nothing in a request may change; empty if it may.

    Args:
        head: The call's.
        request: What it asks for.
        keys: What policy does with the keys of its provider's calls.
        is_held: The whole body is in memory.
    """
    if not is_held:
        return "its body is too large to be read"
    if request.problem:
        return "its body can't be read"
    if header(head.headers, b"content-encoding") is not None:
        return "its body is encoded"
    if wants_websocket(head):
        return "it is a WebSocket"
    return "it is signed" if keys.replace is None and is_signed(head.headers) else ""
