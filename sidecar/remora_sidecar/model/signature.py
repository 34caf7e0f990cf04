"""Requests that their sender signed: a changed byte makes them invalid."""

from typing import Final

from remora_sidecar.model.exchange import Headers, header

_SCHEMES: Final = ("aws4-hmac-sha256", "aws4-ecdsa-p256-sha256")
_CONTENT_HASH: Final = b"x-amz-content-sha256"


def is_signed(headers: Headers) -> bool:
    """Tell whether a request carries an AWS signature (version 4 or 4a), which covers its body.

    Such a request is never rewritten: neither its body, nor its path, nor its host. Keys that
    are sent as they are, as Bedrock's API keys in ``Authorization: Bearer``, sign nothing.
    """
    # Schemes are told apart without regard to case, as HTTP has it (RFC 9110 §11.1).
    scheme = (header(headers, b"authorization") or "").lstrip().partition(" ")[0].lower()
    return scheme in _SCHEMES or header(headers, _CONTENT_HASH) is not None
