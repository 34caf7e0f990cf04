"""What calls of the client raise, and how answers of the sidecar become such errors. Pure.

RemoraError
├── ApiError                 the sidecar answered, and refused
│   ├── AuthenticationError  the key, the session, or policy
│   ├── BudgetExceededError  a budget is spent, or one call would cost too much
│   ├── RateLimitError       too many calls; when to come again
│   ├── ProviderError        the provider or the sidecar failed
│   ├── InvalidWorkflow      also a ConfigError: the document or its input, with every problem
│   └── RunTimeout           also a TimeoutError: the caller's own limit
└── Unavailable              no sidecar answers, or it went away
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from remora.errors import ConfigError, Problem, RemoraError, Unavailable

_TASK_CODES = frozenset({"TASK_CANCELLED", "TASK_PAUSED"})
_MAX_MESSAGE_CHARACTERS = 2_000


class ApiError(RemoraError):
    """The sidecar, or the provider behind it, refused a call."""

    def __init__(
        self, message: str, code: str | None = None, status_code: int | None = None
    ) -> None:
        """Keep a stable word for the reason and the HTTP status, where there is one."""
        super().__init__(message)
        self.code = code
        self.status_code = status_code


class AuthenticationError(ApiError):
    """The key is not taken, its session has ended, or policy does not permit the call."""


class BudgetExceededError(ApiError):
    """A budget of the policy or the task does not permit the call."""


class RateLimitError(ApiError):
    """Too many calls."""

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        *,
        code: str | None = "RATE_LIMIT_EXCEEDED",
        may_retry: bool = True,
    ) -> None:
        """Keep after how many seconds the next try may succeed, and whether to try at all."""
        super().__init__(message, code, 429)
        self.retry_after = retry_after
        self.may_retry = may_retry


class ProviderError(ApiError):
    """The provider failed, or the sidecar could not carry the call."""


class InvalidWorkflow(ConfigError, ApiError):
    """The workflow can't be run, or its input does not fit it; holds every problem."""

    def __init__(self, problems: Sequence[Problem], code: str, status_code: int) -> None:
        """Keep the problems; the text lists one a line."""
        ConfigError.__init__(self, problems)
        self.code = code
        self.status_code = status_code


class RunTimeout(ApiError, TimeoutError):
    """A run took longer than its caller wanted to wait.

    Attributes:
        execution_id: Of the run; empty if it did not begin.
    """

    def __init__(self, timeout_s: float, execution_id: str) -> None:
        """Say which run, and for how long it was waited for."""
        which = execution_id or "which did not begin"
        super().__init__(f"the run ({which}) was not over after {timeout_s:g} s", "RUN_TIMEOUT")
        self.execution_id = execution_id


class NotConnected(Unavailable):
    """Nobody took the connection, so nothing was sent."""


class CutOff(RemoraError):
    """Whoever waited for this call does not want it any more; seen by no caller."""


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> RemoraError:
    """Give the error that an answer other than a success means.

    Args:
        status: HTTP's.
        headers: Looked up without regard to case.
        content: The body.
    """
    error, own = _told(content)
    message = str(error.get("message") or f"the sidecar answered with status {status}")
    message = message[:_MAX_MESSAGE_CHARACTERS]
    code = str(error.get("code") or own.get("code") or "") or None
    problems = _problems(own)
    if problems:
        return InvalidWorkflow(problems, code or "INVALID_WORKFLOW", status)
    if status == 402 or (status == 429 and code == "BUDGET_EXCEEDED"):
        return BudgetExceededError(message, code, status)
    if status == 429:
        may_retry = headers.get("x-should-retry", "").lower() != "false"
        retry_after_s = _seconds(headers.get("Retry-After", ""))
        return RateLimitError(message, retry_after_s, code=code, may_retry=may_retry)
    if status in (401, 403) and code not in _TASK_CODES:
        return AuthenticationError(message, code, status)
    return (ProviderError if status >= 500 else ApiError)(message, code, status)


def _told(content: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give what a body says of the error, and what Remora's own part of it says."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return {}, {}
    if not isinstance(said, dict):
        return {}, {}
    error, own = said.get("error"), said.get("remora")
    told = error if isinstance(error, dict) else {"message": error}
    return told, own if isinstance(own, dict) else {}


def _problems(own: Mapping[str, Any]) -> list[Problem]:
    found = own.get("problems")
    entries = found if isinstance(found, list) else []
    return [
        Problem(str(entry.get("where", "")), str(entry.get("what", "")))
        for entry in entries
        if isinstance(entry, dict)
    ]


def _seconds(text: str) -> float | None:
    """Read a number of seconds; a date is none."""
    try:
        span_s = float(text)
    except ValueError:
        return None
    return span_s if 0 <= span_s < float("inf") else None
