"""Which failures of a model let the next one be tried. Pure."""

from typing import Any, Final

_PROVIDERS: Final = frozenset({401, 403, 404, 408, 409, 422, 429})
"""What a provider says of itself, its key or its model, and not of what was asked."""

_PARAMETERS: Final = frozenset(
    {"unsupported_parameter", "unsupported_value", "model_not_found", "context_length_exceeded"}
)
_OURS: Final = frozenset({"UPSTREAM_FAILED", "NO_CANDIDATE", "CREDENTIAL_MISSING"})
"""Refusals of the sidecar that are about one provider; the others are policy's last word."""


def moves_on(status: int, answer: Any) -> bool:
    """Tell whether another model may be tried.

    Args:
        status: Of the answer.
        answer: Its body, parsed.
    """
    if status < 400:
        return False
    fields = answer if isinstance(answer, dict) else {}
    ours = fields.get("remora")
    if isinstance(ours, dict) and "code" in ours:
        return ours["code"] in _OURS
    if status >= 500 or status in _PROVIDERS:
        return True
    error = fields.get("error")
    return isinstance(error, dict) and error.get("code") in _PARAMETERS
