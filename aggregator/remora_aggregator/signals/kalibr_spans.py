"""Spans that Kalibr's clients report: what is kept of their many fields. Pure.

Whatever is missing, null, of another type or unknown is passed over: the published exporter sends
fields that the published schema forbids. Texts (messages, stack traces, metadata) are dropped.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

NS: Final = 1_000_000_000
_NAME_CHARS: Final = 128
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_STATUSES: Final = frozenset({"success", "error", "timeout"})
_MOST_MS: Final = 10.0**12
_MOST_TOKENS: Final = 10**12


@dataclass(frozen=True, slots=True)
class Span:
    """One operation of one trace.

    Attributes:
        started_unix_ns: When it began; else when it came.
        status: ``success``, ``error`` or ``timeout``.
        duration_ms: None if unknown; so are tokens and cost.
    """

    trace_id: str
    span_id: str
    started_unix_ns: int
    parent_span_id: str = ""
    workflow_id: str = ""
    provider: str = ""
    model_id: str = ""
    operation: str = ""
    endpoint: str = ""
    status: str = "success"
    error_type: str = ""
    duration_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    goal: str = ""
    service: str = ""
    environment: str = ""
    data_class: str = ""
    modality: str = ""
    task_type: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON values, as the protocol names them; what is unknown is left out."""
        shown = {name: value for name, value in asdict(self).items() if value not in ("", None)}
        started = shown.pop("started_unix_ns")
        shown["ts_start"] = shown["timestamp"] = iso_of(started)
        shown["schema_version"] = "1.0"
        if self.duration_ms is not None:
            shown["latency_ms"] = self.duration_ms
        tokens = [n for n in (self.input_tokens, self.output_tokens) if n is not None]
        if tokens:
            shown["total_tokens"] = sum(tokens)
        if self.cost_usd is not None:
            shown["cost_usd"] = shown["total_cost_usd"] = float(self.cost_usd)
        if self.model_id:
            shown["model_name"] = self.model_id
        return shown


def span_of(event: object, received_unix_ns: int) -> Span | None:
    """Read an event; None where it is none or names no trace."""
    if not isinstance(event, Mapping):
        return None
    trace_id, span_id = name_in(event, "trace_id"), name_in(event, "span_id")
    if not trace_id:
        return None
    return Span(
        trace_id=trace_id,
        span_id=span_id or name_in(event, "request_id") or trace_id,
        started_unix_ns=_started(event, received_unix_ns),
        parent_span_id=name_in(event, "parent_span_id", "parent_id"),
        workflow_id=name_in(event, "workflow_id"),
        provider=name_in(event, "provider", "vendor"),
        model_id=name_in(event, "model_id", "model_name", "model"),
        operation=name_in(event, "operation"),
        endpoint=name_in(event, "endpoint"),
        status=_status(event),
        error_type=name_in(event, "error_type"),
        duration_ms=_number(event, "duration_ms", "latency_ms"),
        input_tokens=_tokens(event, "input_tokens"),
        output_tokens=_tokens(event, "output_tokens"),
        cost_usd=_cost(event),
        goal=name_in(event, "goal"),
        service=name_in(event, "service"),
        environment=name_in(event, "environment", "runtime_env"),
        data_class=name_in(event, "data_class"),
        modality=name_in(event, "modality"),
        task_type=name_in(event, "task_type"),
    )


def name_in(event: Mapping[str, Any], *names: str) -> str:
    """Read the first of some fields that holds a name: one short line."""
    for name in names:
        value = event.get(name)
        if isinstance(value, str) and value.strip():
            return _CONTROL.sub(" ", value.strip())[:_NAME_CHARS]
    return ""


def _status(event: Mapping[str, Any]) -> str:
    word = name_in(event, "status").lower()
    if word in _STATUSES:
        return word
    return "error" if word in ("failure", "failed") or event.get("error_type") else "success"


def _number(event: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = event.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if 0 <= value < _MOST_MS:  # which NaN is not
            return float(value)
    return None


def _tokens(event: Mapping[str, Any], name: str) -> int | None:
    """Read how many; 0 of both, which senders write for unknown, is unknown."""
    value = _number(event, name)
    others = _number(event, "input_tokens"), _number(event, "output_tokens")
    if value is None or not any(others):
        return None
    return int(min(value, _MOST_TOKENS))


def _cost(event: Mapping[str, Any]) -> Decimal | None:
    """Read the cost. A 0 is what rounding left, or what senders write for unknown."""
    for name in ("total_cost_usd", "cost_usd"):
        value = event.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        if cost := money_of(value):
            return cost
    return None


def money_of(value: float | str) -> Decimal | None:
    """Read an amount in US dollars as it is written; None if it is none."""
    try:
        amount = Decimal(str(value)[:40])
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10**9 else None


def _started(event: Mapping[str, Any], received_unix_ns: int) -> int:
    for name in ("ts_start", "timestamp", "ts_end"):
        moment = moment_of(event.get(name))
        if moment is not None and 0 <= moment <= received_unix_ns + 86_400 * NS:
            return moment
    return received_unix_ns


def moment_of(value: object) -> int | None:
    """Read a time in nanoseconds since 1970: ISO 8601, or seconds or milliseconds as a number."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return None
        return int(value * (NS if value < 10**11 else NS // 1_000))
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return int(aware.timestamp() * 1_000_000) * 1_000
    except (OverflowError, ValueError):
        return None


def iso_of(unix_ns: int) -> str:
    """Write a time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(unix_ns / NS, UTC).isoformat().replace("+00:00", "Z")
