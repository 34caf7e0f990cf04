"""Remora's own answers to agents, named for what happened; dialects word them. Pure."""

from datetime import UTC, datetime

from remora_sidecar.model.refusal import Refusal
from remora_sidecar.policy.budget_verdict import BudgetVerdict
from remora_sidecar.policy.rates import RateVerdict


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


def body_over_policy(size: int, limit_bytes: int) -> Refusal:
    """A body larger than policy takes (maxRequestBody)."""
    message = (
        f"the body has {size} bytes, and policy takes at most {limit_bytes} (maxRequestBody): "
        "send less, or ask who owns the policy for more"
    )
    return Refusal(413, "invalid_request_error", "BODY_TOO_LARGE", message)


def model_denied(model: str, policy: str) -> Refusal:
    """A model that policy does not permit."""
    what = f"the model {model!r} is" if model else "a call that names no model can't be"
    message = f"{what} not permitted by the policy {policy!r} (models): ask for another one"
    if not model:
        message = f"{what} checked against the models that the policy {policy!r} permits: name one"
    return Refusal(403, "permission_error", "MODEL_DENIED", message, details={"model": model})


def task_required(policy: str) -> Refusal:
    """A call without a task, where policy wants one."""
    message = (
        f"the policy {policy!r} takes calls of tasks only (requireTask): send the header "
        "remora-task, or open a session with a task"
    )
    return Refusal(403, "permission_error", "TASK_REQUIRED", message)


def task_held(task_id: str, control: str, by: str, reason: str) -> Refusal:
    """A task that was paused or cancelled, or has used up the budget that it was given."""
    status, kind, code, what = _HELD_TASKS[control]
    who = f" by {by}" if by else ""
    why = f" ({reason})" if reason else ""
    message = f"the task {task_id!r} {what[0]}{who}{why}: {what[1]}"
    return Refusal(status, kind, code, message, details={"task": task_id, "reason": reason or None})


_HELD_TASKS = {
    "paused": (403, "permission_error", "TASK_PAUSED",
               ("was paused", "its calls go on once it is resumed")),
    "cancelled": (403, "permission_error", "TASK_CANCELLED",
                  ("was cancelled", "it makes no more calls")),
    "budget_exceeded": (429, "insufficient_quota", "BUDGET_EXCEEDED",
                        ("has used up its own budget", "raise it, or begin another task")),
}  # fmt: skip
"""Status, type, code and words of each."""


def no_candidate(route: str, dropped: str) -> Refusal:
    """A route none of whose candidates can take the call."""
    message = f"no candidate of the route {route!r} can take this call: {dropped}"
    return Refusal(503, "api_error", "NO_CANDIDATE", message, details={"rule": route})


def key_missing(reason: str) -> Refusal:
    """A key that policy names and nobody has."""
    return Refusal(503, "api_error", "CREDENTIAL_MISSING", reason)


def budget_exceeded(verdict: BudgetVerdict) -> Refusal:
    """A budget that the call does not fit in."""
    resets = _moment(verdict.resets_unix_ns)
    if verdict.per == "call":
        said, status = "the call is likely to cost more than", 402
    elif verdict.unreachable:
        said, status = "nobody can be asked for a share of", 429
    else:
        said, status = "what is left does not cover the call in", 429
    message = f"{said} the budget {verdict.name!r} ({_limit(verdict)} per {verdict.per})"
    if resets is not None:
        message += f"; it begins anew at {resets}"
    details = {
        "budget": verdict.name,
        "per": verdict.per,
        "limit": _limit(verdict),
        "resets_at": resets,
    }
    kind = "insufficient_quota" if status == 429 else "billing_error"
    return Refusal(status, kind, "BUDGET_EXCEEDED", message, details=details)


def _moment(unix_ns: int | None) -> str | None:
    if unix_ns is None:
        return None
    return datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC).isoformat()


def _limit(verdict: BudgetVerdict) -> str:
    limit = verdict.limit
    money = f"{limit.cost_usd:f} USD" if limit.cost_usd is not None else ""
    tokens = f"{limit.tokens} tokens" if limit.tokens is not None else ""
    return " and ".join(filter(None, (money, tokens)))


def limit_required(budget: str) -> Refusal:
    """A call that a strict budget can't hold enough for."""
    message = (
        f"the budget {budget!r} is strict, and how long the answer may become is not known: "
        "say max_tokens"
    )
    return Refusal(400, "invalid_request_error", "MAX_TOKENS_REQUIRED", message)


def rate_limited(verdict: RateVerdict, model: str) -> Refusal:
    """A pod that asks more often than policy lets it."""
    message = (
        f"the rate {verdict.name!r} ({verdict.limit_per_minute} {verdict.of} per minute) is used "
        f"up for {model!r}; there is room again in {verdict.retry_after_s:.1f} s"
    )
    return Refusal(
        429,
        "rate_limit_error",
        "RATE_LIMITED",
        message,
        details={"rate": verdict.name},
        retry_after_s=verdict.retry_after_s,
    )


def not_cached() -> Refusal:
    """The agent asked for a cached answer or none (RFC 9111 §5.2.1.7)."""
    message = "no answer to this call is cached, and it says Cache-Control: only-if-cached"
    return Refusal(504, "invalid_request_error", "NOT_CACHED", message)


def upstream_failed(message: str, kind: str) -> Refusal:
    """The provider gave no answer."""
    status = 504 if kind.endswith("timeout") else 502
    return Refusal(status, "api_connection_error", "UPSTREAM_FAILED", message, retry=True)
