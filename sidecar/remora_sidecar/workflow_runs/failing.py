"""What follows from a call that came to nothing. Pure."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from remora_sidecar.openai_api.failures import moves_on
from remora_sidecar.workflows.saved import BUDGET_EXCEEDED

_OURS: Final[Mapping[str, str]] = {
    "BUDGET_EXCEEDED": BUDGET_EXCEEDED,
    "TASK_BUDGET_EXCEEDED": BUDGET_EXCEEDED,
    "RATE_LIMITED": "rate_limited",
    "MODEL_DENIED": "model_denied",
    "CREDENTIAL_MISSING": "credential_missing",
    "NO_CANDIDATE": "no_model",
    "UPSTREAM_FAILED": "provider_error",
    "TASK_CANCELLED": "cancelled",
}
_MOVE: Final = frozenset({"rate_limited", "model_denied", "credential_missing", "provider_error"})
_RETRY: Final = frozenset({"rate_limited", "provider_error"})

_BY_STATUS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "rate_limited",
}


class FailureKind(NamedTuple):
    """What kind of failure it is.

    Attributes:
        code: For programs.
        message: For people; nothing of what the provider wrote, which may quote the prompt.
        may_retry: Whether another try may help.
        may_move: Whether another model may help.
        is_held: The task is paused: nothing failed.
    """

    code: str
    message: str
    may_retry: bool
    may_move: bool
    is_held: bool = False


def failure_of(status: int, answer: Any, provider: str) -> FailureKind:
    """Say what follows from an answer that is none.

    Args:
        status: Of the answer.
        answer: Its body, parsed.
        provider: Who was asked.
    """
    ours = answer.get("remora") if isinstance(answer, dict) else None
    if isinstance(ours, dict) and isinstance(ours.get("code"), str):
        return _refused(ours["code"], str(ours.get("why") or ours["code"]))
    code = _BY_STATUS.get(status, "provider_error" if status >= 500 else "bad_request")
    return FailureKind(
        code,
        f"{provider} answered with status {status}",
        may_retry=status >= 500 or status in (408, 409, 429),
        may_move=moves_on(status, answer),
    )


def _refused(code: str, why: str) -> FailureKind:
    if code == "TASK_PAUSED":
        return FailureKind("paused", why, may_retry=True, may_move=False, is_held=True)
    kind = _OURS.get(code, code.lower())
    return FailureKind(kind, why, may_retry=kind in _RETRY, may_move=kind in _MOVE)
