"""A call as the tracker shows it: flat, with the names that users of AgentOpt know, and more.

The first fourteen fields are those of AgentOpt's ``CallRecord``, in its order and meanings. Pure.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from remora.records import PARSE_FAILED_MODEL, Body, Usage
from remora.records import CallRecord as Recorded

UNKNOWN_MODEL = "unknown"
UNREAD_USAGE = "usage_unreadable"
"""Type of the error of an answer whose usage could not be read."""
_NS = 1_000_000_000
_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call to an LLM.

    Attributes:
        model: As asked for after routing; else as the answer says.
        prompt_tokens: All of the prompt, what was cached at the provider included; 0 if unknown.
        completion_tokens: All that was generated; 0 if unknown.
        latency_seconds: Of an answer out of the cache: what it took when it was made.
        request_body: The JSON object that was sent; empty if it was none, or is not kept.
        response_body: The JSON object of the answer; empty for streams.
        timestamp: When the call began: ISO 8601, UTC.
        cached: The answer came out of the cache.
        status_code: 0 if there was no answer.
        error: Why the call failed, or why its usage is unknown; None if all is well.
        cost_usd: What it cost; 0 out of the cache, None where no price is known.
        saved_usd: What an answer out of the cache would have cost; None where that is unknown.
        attempts: Tries that it took; 0 out of the cache.
        usage_known: Whether the provider stated what was used.
        estimated: The usage is a guess of ours: the stream was cut before it was stated.
        ttft_seconds: From the request to the first byte of the answer's body.
        overhead_seconds: Spent in Remora.
        number: Counts the calls of a sidecar in order of their ends.
        goal: What the call was for; None if nobody said.
    """

    data_id: str | None
    combo_id: str | None
    agent_id: str | None
    model: str
    prompt_tokens: int
    completion_tokens: int
    latency_seconds: float
    request_url: str
    request_body: dict[str, Any] = field(default_factory=dict)
    response_body: dict[str, Any] = field(default_factory=dict)
    timestamp: str = ""
    cached: bool = False
    status_code: int = 200
    error: str | None = None
    call_id: str = ""
    session_id: str = ""
    task_id: str | None = None
    provider: str = ""
    dialect: str = ""
    operation: str = ""
    requested_model: str = ""
    sent_model: str = ""
    response_model: str = ""
    stream: bool = False
    usage_known: bool = True
    estimated: bool = False
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    ttft_seconds: float | None = None
    overhead_seconds: float | None = None
    attempts: int = 0
    finish_reason: str = ""
    request_id: str = ""
    notes: tuple[str, ...] = ()
    number: int = 0
    goal: str | None = None


def call_record(recorded: Recorded, number: int = 0) -> CallRecord:
    """Show a record as the tracker does."""
    whose, usage = recorded.attribution, recorded.usage or _NO_USAGE
    return CallRecord(
        data_id=whose.data_id or None,
        combo_id=whose.combo_id or None,
        agent_id=whose.agent_id or None,
        model=shown_model(recorded),
        prompt_tokens=usage.input_tokens or 0,
        completion_tokens=usage.output_tokens or 0,
        latency_seconds=shown_latency_s(recorded),
        request_url=recorded.url,
        request_body=json_object(recorded.request_body),
        response_body={} if recorded.stream else json_object(recorded.response_body),
        timestamp=timestamp(recorded.started_unix_ns),
        cached=recorded.cached,
        status_code=recorded.status_code,
        error=shown_error(recorded),
        call_id=recorded.call_id,
        session_id=whose.session_id,
        task_id=whose.task_id or None,
        goal=whose.goal or None,
        provider=recorded.provider,
        dialect=recorded.dialect,
        operation=recorded.operation,
        requested_model=recorded.requested_model,
        sent_model=recorded.sent_model,
        response_model=recorded.response_model,
        stream=recorded.stream,
        usage_known=recorded.usage is not None,
        estimated=usage.estimated,
        cache_read_tokens=usage.cache_read_tokens or 0,
        cache_write_tokens=usage.cache_write_tokens or 0,
        reasoning_tokens=usage.reasoning_tokens or 0,
        cost_usd=_cost_usd(recorded),
        saved_usd=recorded.cache.saved_usd if recorded.cache is not None else None,
        ttft_seconds=recorded.ttft_s,
        overhead_seconds=recorded.overhead_s,
        attempts=len(recorded.attempts),
        finish_reason=recorded.finish_reason,
        request_id=recorded.provider_request_id,
        notes=recorded.notes,
        number=number,
    )


def shown_model(recorded: Recorded) -> str:
    """Name the model as asked for after routing, else as served, else say that none is known.

    Where the usage could not be read and no model was asked for, that is what is said.
    """
    asked = recorded.sent_model or recorded.requested_model
    if not asked and recorded.status_code == 200 and _is_unread(recorded):
        return PARSE_FAILED_MODEL
    return asked or recorded.response_model or UNKNOWN_MODEL


def _is_unread(recorded: Recorded) -> bool:
    return recorded.error is not None and recorded.error.type == UNREAD_USAGE


def shown_latency_s(recorded: Recorded) -> float:
    """Give what the answer took, which for one out of the cache is what it took once."""
    original_s = recorded.cache.original_latency_s if recorded.cache is not None else None
    return original_s if recorded.cached and original_s is not None else recorded.latency_s


def shown_error(recorded: Recorded) -> str | None:
    """Say in one line what went wrong: the status, else what is known of it."""
    if recorded.status_code >= 400:
        return f"HTTP {recorded.status_code}"
    return recorded.error.message or recorded.error.type if recorded.error is not None else None


def timestamp(unix_ns: int) -> str:
    """Write a time as ISO 8601 in UTC, to the microsecond."""
    seconds, rest_ns = divmod(unix_ns, _NS)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)
    return moment.isoformat(timespec="microseconds")


def json_object(body: Body | None) -> dict[str, Any]:
    """Read a captured body as a JSON object; empty if it is none, or was cut."""
    if body is None or body.truncated:
        return {}
    try:
        value = json.loads(body.content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _cost_usd(recorded: Recorded) -> Decimal | None:
    if recorded.cost is not None:
        return recorded.cost.total_usd
    return Decimal(0) if recorded.cached else None
