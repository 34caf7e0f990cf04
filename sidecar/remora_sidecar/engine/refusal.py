"""Remora's own answers to agents, named for what happened; dialects word them. Pure."""

from remora_sidecar.model.refusal import Refusal


def misdirected(host: str, name: str) -> Refusal:
    """The Host differs from the name that TLS was terminated in (RFC 9110 §15.5.20)."""
    message = f"the request names the host {host!r}, the TLS connection was made to {name!r}"
    return Refusal(421, "invalid_request_error", "MISDIRECTED_REQUEST", message)


def no_provider(host: str) -> Refusal:
    """Plain HTTP to a host that is no provider, on a connection handed to the engine."""
    message = f"{host!r} is no registered provider; this connection carries LLM calls only"
    return Refusal(421, "invalid_request_error", "NOT_A_PROVIDER", message)


def bad_request(message: str, status: int = 400) -> Refusal:
    """A request that can't be carried."""
    return Refusal(status, "invalid_request_error", "BAD_REQUEST", message)


def too_large(limit_bytes: int) -> Refusal:
    """A body past the held limit, where policy blocks opaque calls."""
    message = (
        f"the body is larger than {limit_bytes} bytes, past which it can't be read, "
        "and policy says opaque: block"
    )
    return Refusal(413, "invalid_request_error", "BODY_TOO_LARGE", message)


def not_cached() -> Refusal:
    """The agent asked for a cached answer or none (RFC 9111 §5.2.1.7)."""
    message = "no answer to this call is cached, and it says Cache-Control: only-if-cached"
    return Refusal(504, "invalid_request_error", "NOT_CACHED", message)


def upstream_failed(message: str, kind: str) -> Refusal:
    """The provider gave no answer."""
    status = 504 if kind.endswith("timeout") else 502
    return Refusal(status, "api_connection_error", "UPSTREAM_FAILED", message, retry=True)
