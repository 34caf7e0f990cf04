"""Remora's own refusals in the error shapes of the dialects, as the official SDKs read them.

Every body carries, beside the dialect's own error, a ``remora`` object that says why.
"""

import json
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from remora_sidecar.model.exchange import Headers
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

ErrorShape = Callable[[Refusal, str], ErrorAnswer]
"""Words a refusal; the second argument is the call's id, empty if it is not to be told."""

_ANTHROPIC_TYPES: Mapping[int, str] = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        504: "timeout_error",
    }
)
_DENIED = (403, "AccessDeniedException")
_AWS_EXCEPTIONS: Mapping[int, tuple[int, str]] = MappingProxyType(
    {
        401: _DENIED,
        402: (400, "ServiceQuotaExceededException"),
        403: _DENIED,
        404: (404, "ResourceNotFoundException"),
        429: (400, "ServiceQuotaExceededException"),
    }
)
"""Bedrock's own statuses and names; it answers keys that it does not know with 403."""

_GOOGLE_STATUSES: Mapping[int, str] = MappingProxyType(
    {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        402: "FAILED_PRECONDITION",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        413: "INVALID_ARGUMENT",
        429: "RESOURCE_EXHAUSTED",
        502: "UNAVAILABLE",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    }
)


def _message(refusal: Refusal) -> str:
    return f"remora: {refusal.message}"


def _answer(
    refusal: Refusal,
    call_id: str,
    content: Mapping[str, Any],
    *,
    status: int = 0,
    headers: Headers = (),
) -> ErrorAnswer:
    fields = [(b"Content-Type", b"application/json"), *headers]
    if not refusal.retry:
        fields.append((b"x-should-retry", b"false"))
    if refusal.retry_after_s is not None:
        fields.append((b"retry-after", b"%d" % math.ceil(refusal.retry_after_s)))
    why = {"code": refusal.code, "why": refusal.message, "call_id": call_id}
    remora = {**why, **refusal.details}
    body = json.dumps({**content, "remora": remora}).encode()
    return ErrorAnswer(status or refusal.status, fields, body)


def openai_error(refusal: Refusal, call_id: str) -> ErrorAnswer:
    """OpenAI's shape, whose message nearly every SDK can read; platform.openai.com/docs."""
    error = {
        "message": _message(refusal),
        "type": refusal.type,
        "param": None,
        "code": refusal.code,
    }
    return _answer(refusal, call_id, {"error": error})


def anthropic_error(refusal: Refusal, call_id: str) -> ErrorAnswer:
    """Anthropic's shape; docs.anthropic.com, "Errors"."""
    error = {
        "type": _ANTHROPIC_TYPES.get(refusal.status, "api_error"),
        "message": _message(refusal),
        "code": refusal.code,
    }
    return _answer(refusal, call_id, {"type": "error", "error": error})


def google_error(refusal: Refusal, call_id: str) -> ErrorAnswer:
    """Google's shape (google.rpc.Status, with ErrorInfo); cloud.google.com/apis/design/errors."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": refusal.code,
        "domain": "remora.dev",
    }
    error = {
        "code": refusal.status,
        "message": _message(refusal),
        "status": _GOOGLE_STATUSES.get(refusal.status, "UNKNOWN"),
        "details": [info],
    }
    return _answer(refusal, call_id, {"error": error})


def aws_error(refusal: Refusal, call_id: str) -> ErrorAnswer:
    """Bedrock's shape: the exception's name in a header; docs.aws.amazon.com, "CommonErrors"."""
    status, name = _aws_exception(refusal)
    headers = [(b"x-amzn-ErrorType", name.encode())]
    content = {"message": _message(refusal), "code": refusal.code}
    return _answer(refusal, call_id, content, status=status, headers=headers)


def _aws_exception(refusal: Refusal) -> tuple[int, str]:
    """Name the exception; SDKs try throttled calls again by themselves, but no used-up quota."""
    status = refusal.status
    if status == 429 and refusal.retry:
        return 429, "ThrottlingException"
    if status >= 500:  # SDKs try it again, whatever the answer says of that
        return (status, "ServiceUnavailableException") if refusal.retry else _DENIED
    return _AWS_EXCEPTIONS.get(status, (status, "ValidationException"))


def cohere_error(refusal: Refusal, call_id: str) -> ErrorAnswer:
    """Cohere's shape; docs.cohere.com/reference/errors."""
    return _answer(refusal, call_id, {"message": _message(refusal), "code": refusal.code})


def ollama_error(refusal: Refusal, call_id: str) -> ErrorAnswer:
    """Ollama's shape; docs.ollama.com/api/errors."""
    return _answer(refusal, call_id, {"error": _message(refusal), "code": refusal.code})
