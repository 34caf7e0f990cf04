"""How an attempt failed, and what may be done about it. Pure.

Classes as gateways of the field have them: what another try may mend, what another candidate may,
and what is the request's own fault and stays the agent's to hear.
"""

import email.utils
from enum import Enum

from remora.records import CallError


class Failure(Enum):
    """Why an attempt gave no answer that an agent should get."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER = "server_error"
    CREDENTIAL = "credential"
    NOT_FOUND = "not_found"
    REQUEST = "request"

    @property
    def may_retry(self) -> bool:
        """Whether the same candidate may be tried again."""
        return self not in (Failure.CREDENTIAL, Failure.NOT_FOUND, Failure.REQUEST)

    @property
    def may_fall_back(self) -> bool:
        """Whether another candidate may do better."""
        return self is not Failure.REQUEST

    @property
    def harms_health(self) -> bool:
        """Whether it says something of the provider rather than of the call."""
        return self.may_retry


CREDENTIAL_MISSING = "credential_missing"
"""Kind of an `UpstreamError`: policy names a key that nobody has."""

UNASKABLE = "unaskable"
"""Kind of an `UpstreamError`: no request can be made that asks for a candidate."""

_BY_STATUS = {
    401: Failure.CREDENTIAL,
    402: Failure.CREDENTIAL,
    403: Failure.CREDENTIAL,
    404: Failure.NOT_FOUND,
    408: Failure.TIMEOUT,
    409: Failure.SERVER,
    425: Failure.SERVER,
    429: Failure.RATE_LIMITED,
    503: Failure.OVERLOADED,
    529: Failure.OVERLOADED,
}

_RATE_WORDS = ("rate_limit", "ratelimit", "throttl", "resource_exhausted", "too_many_requests")
_OVERLOAD_WORDS = ("overload", "unavailable", "capacity")
_CREDENTIAL_WORDS = ("auth", "permission", "api_key", "quota", "billing", "access_denied")
_REQUEST_WORDS = ("invalid", "validation", "bad_request", "content_filter", "context_length")


def failure_of_status(status: int) -> Failure | None:
    """Say how an answer of this status failed; None for one that did not."""
    if status < 400:
        return None
    if status >= 500:
        return _BY_STATUS.get(status, Failure.SERVER)
    return _BY_STATUS.get(status, Failure.REQUEST)


def failure_of_kind(kind: str) -> Failure:
    """Say how an attempt without an answer failed, by the kind of its `UpstreamError`."""
    if kind.endswith("timeout"):
        return Failure.TIMEOUT
    if kind == CREDENTIAL_MISSING:
        return Failure.CREDENTIAL
    if kind == UNASKABLE:
        return Failure.NOT_FOUND
    return Failure.CONNECT if kind == "connect" else Failure.DISCONNECTED


def failure_of_error(error: CallError) -> Failure:
    """Say how an answer failed that is no error by its status, but by what it says.

    Providers name such errors as they name those with a status (Anthropic's errors guide,
    OpenAI's error codes, AWS' exceptions); what names nothing is the provider's fault.
    """
    said = error.type.lower().replace("-", "_")
    for words, failure in (
        (_RATE_WORDS, Failure.RATE_LIMITED),
        (_OVERLOAD_WORDS, Failure.OVERLOADED),
        (_CREDENTIAL_WORDS, Failure.CREDENTIAL),
        (_REQUEST_WORDS, Failure.REQUEST),
    ):
        if any(word in said for word in words):
            return failure
    return Failure.SERVER


def retry_after_s(value: str | None, now_unix_s: float) -> float | None:
    """Read a Retry-After field (RFC 9110 §10.2.3): seconds, or a date; None if it says nothing.

    Fractions of a second are taken, since providers send them.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value, now_unix_s)
    return seconds if 0 <= seconds < 1e9 else None


def _until(date: str, now_unix_s: float) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(date)
        return max(0.0, moment.timestamp() - now_unix_s)
    except (ValueError, TypeError, OverflowError):
        return None


def pause_s(retry: int, initial_s: float, max_s: float, chance: float) -> float:
    """Say how long to wait before a try: twice as long each time, with jitter.

    Args:
        retry: How many tries of the candidate have failed, from 1.
        initial_s: Before the second try.
        max_s: At most.
        chance: From 0 to 1, drawn by the caller; moves the pause by up to a fifth.
    """
    pause = min(max_s, initial_s * 2 ** min(retry - 1, 30))
    return float(min(max_s, pause * (0.8 + 0.4 * chance)))
