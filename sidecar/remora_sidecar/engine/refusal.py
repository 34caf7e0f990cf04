"""Remora's own answers to agents: refusals and failures as the caller's SDK expects. Pure."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that Remora itself gives.

    Attributes:
        status: HTTP status that official SDKs map to a sensible exception.
        type: The error's type in the provider's own sense.
        code: Stable machine-readable code.
        message: What happened and what to do.
        retry: Whether SDKs should try again by themselves.
    """

    status: int
    type: str
    code: str
    message: str
    retry: bool = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Header fields beside the framing."""
        fields = [(b"Content-Type", b"application/json")]
        if not self.retry:
            fields.append((b"x-should-retry", b"false"))
        return fields

    def body(self, call_id: str) -> bytes:
        """The body: OpenAI's error shape, with a ``remora`` object that says why.

        Other dialects' SDKs read at least the message of this shape.
        """
        content = {
            "error": {
                "message": f"remora: {self.message}",
                "type": self.type,
                "param": None,
                "code": self.code,
            },
            "remora": {"code": self.code, "why": self.message, "call_id": call_id},
        }
        return json.dumps(content).encode()


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


def upstream_failed(message: str, kind: str) -> Refusal:
    """The provider gave no answer."""
    status = 504 if kind.endswith("timeout") else 502
    return Refusal(status, "api_connection_error", "UPSTREAM_FAILED", message, retry=True)
