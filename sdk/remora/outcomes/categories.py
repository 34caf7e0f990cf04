"""Why calls fail: 13 categories, as clients of the field name them.

Providers, dialects and Remora itself have words of their own for the same; here they are sorted.
"""

from collections.abc import Sequence
from typing import Final

CATEGORIES: Final = (
    "timeout",
    "context_exceeded",
    "tool_error",
    "rate_limited",
    "validation_failed",
    "hallucination_detected",
    "user_unsatisfied",
    "empty_response",
    "malformed_output",
    "auth_error",
    "provider_error",
    "healed",
    "unknown",
)
"""Every category; others are refused."""

_BY_FAILURE: Final = {
    "connect": "provider_error",
    "timeout": "timeout",
    "disconnected": "provider_error",
    "rate_limited": "rate_limited",
    "overloaded": "provider_error",
    "server_error": "provider_error",
    "credential": "auth_error",
    "not_found": "provider_error",
}
"""By the one word that an attempt failed by; the request's own fault may be any category."""

_BY_STATUS: Final = {
    401: "auth_error",
    402: "auth_error",
    403: "auth_error",
    407: "auth_error",
    408: "timeout",
    413: "context_exceeded",
    422: "validation_failed",
    429: "rate_limited",
    504: "timeout",
    524: "timeout",
}

_Words = Sequence[tuple[str, Sequence[str]]]

_BY_TYPE: Final[_Words] = (
    ("rate_limited", ("rate_limit", "ratelimit", "throttl", "resource_exhausted", "too_many_req")),
    ("context_exceeded", ("context_length", "context_window", "too_large", "prompt_too_long")),
    ("timeout", ("timeout", "timed_out", "deadline")),
    ("tool_error", ("tool_use", "tool_call", "function_call", "tool_error")),
    ("auth_error", (
        "auth", "permission", "api_key", "access_denied", "accessdenied", "quota", "billing",
        "credential", "unrecognizedclient", "expiredtoken",
    )),
    ("empty_response", ("empty_response", "no_content")),
    ("malformed_output", ("malformed", "usage_unreadable")),
    ("provider_error", (
        "overload", "unavailable", "capacity", "server_error", "internal", "api_error",
        "not_found", "notfound", "provider_cut", "connect", "disconnected", "model_error",
    )),
    ("validation_failed", (
        "invalid", "validation", "bad_request", "content_filter", "content_policy", "safety",
        "unprocessable", "unsupported",
    )),
)  # fmt: skip
"""Parts of error types, in the order in which they are looked for."""

_BY_MESSAGE: Final[_Words] = (
    ("context_exceeded", (
        "context length", "context window", "maximum context", "prompt is too long",
        "input is too long", "too many tokens", "exceeds the maximum number of tokens",
        "input token count", "reduce the length",
    )),
    ("rate_limited", ("rate limit", "too many requests")),
    ("auth_error", ("api key", "credit balance", "exceeded your current quota")),
)  # fmt: skip
"""Parts of messages that say more than their types, which are often ``invalid_request_error``."""

_CONTEXT: Final = _BY_MESSAGE[:1]
_READ_CHARACTERS: Final = 2000


def category_of(status: int = 0, error_type: str = "", failure: str = "", message: str = "") -> str:
    """Sort a failed call or attempt; ``unknown`` where nothing tells.

    Args:
        status: Of the answer; 0 if none came.
        error_type: The provider's own word, or ours (`remora.records.CallError.type`).
        failure: What an attempt's `failure` says.
        message: The error's message, which is only searched.
    """
    said = message[:_READ_CHARACTERS].lower()
    kind = error_type.lower().replace("-", "_").replace(" ", "_")
    return (
        _found(_CONTEXT, said)
        or _BY_FAILURE.get(failure)
        or _found(_BY_TYPE[:-1], kind)
        or _BY_STATUS.get(status)
        or _found(_BY_MESSAGE, said)
        or _found(_BY_TYPE[-1:], kind)
        or _by_hundred(status)
    )


def _found(words: _Words, text: str) -> str:
    if not text:
        return ""
    return next((name for name, parts in words if any(part in text for part in parts)), "")


def _by_hundred(status: int) -> str:
    if status >= 500:
        return "provider_error"
    return "validation_failed" if 400 <= status < 500 else "unknown"
