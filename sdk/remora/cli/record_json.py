"""Records and usage as JSON for programs: stable keys, money as text, null for unknown. Pure.

docs/cli.md names the keys; a test holds the two together.
"""

import base64
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from remora.cli.moments import iso_utc
from remora.cli.receipt_json import parameters_json, receipt_json
from remora.client.usage import Measure, UsageDimension, UsageRow
from remora.records import (
    Attempt,
    Body,
    CacheVerdict,
    CallError,
    Cost,
    Outcome,
    StoredRecord,
    Usage,
)


def record_json(stored: StoredRecord, *, with_bodies: bool = False) -> dict[str, Any]:
    """Show one record."""
    record = stored.record
    shown: dict[str, Any] = {
        "call_id": record.call_id,
        "revision": record.revision,
        "started_at": iso_utc(record.started_unix_ns),
        "received_at": iso_utc(stored.received_unix_ns),
        "namespace": stored.namespace or None,
        "pod_uid": stored.pod_uid or None,
        **_texts(record.attribution),
        **_texts(record.origin),
        "labels": dict(record.origin.labels),
        "provider": record.provider or None,
        "dialect": record.dialect or None,
        "operation": record.operation or None,
        "method": record.method or None,
        "url": record.url or None,
        "model": record.model or None,
        "requested_model": record.requested_model or None,
        "sent_model": record.sent_model or None,
        "response_model": record.response_model or None,
        "stream": record.stream,
        "status_code": record.status_code or None,
        "end_reason": record.end_reason.name.lower() if record.end_reason.value else None,
        "finish_reason": record.finish_reason or None,
        "error": _error(record.error),
        "response_id": record.response_id or None,
        "provider_request_id": record.provider_request_id or None,
        "tool_names": list(record.tool_names),
        "usage": _usage(record.usage),
        "cost": _cost(record.cost),
        "latency_s": record.latency_s,
        "ttft_s": record.ttft_s,
        "overhead_s": record.overhead_s,
        "request_bytes": record.request_bytes,
        "response_bytes": record.response_bytes,
        "cached": record.cached,
        "cache": _verdict(record.cache),
        "opaque": record.opaque,
        "attempts": [_attempt(attempt) for attempt in record.attempts],
        "receipt": receipt_json(record) if record.receipt is not None else None,
        "outcome": _outcome(record.outcome),
        "notes": list(record.notes),
        "capture": record.capture or None,
        "cursor": stored.cursor or None,
    }
    if with_bodies:
        shown["request_body"] = _body(record.request_body)
        shown["response_body"] = _body(record.response_body)
    return shown


def _texts(part: Any) -> dict[str, str | None]:
    return {name: getattr(part, name) or None for name in part.__slots__}


def _error(error: CallError | None) -> dict[str, str] | None:
    return None if error is None else {"type": error.type, "message": error.message}


def _usage(usage: Usage | None) -> dict[str, int | bool | None] | None:
    return None if usage is None else {name: getattr(usage, name) for name in usage.__slots__}


def _money(usd: Decimal) -> str:
    return format(usd, "f")


def _cost(cost: Cost | None) -> dict[str, str] | None:
    if cost is None:
        return None
    return {
        "total_usd": _money(cost.total_usd),
        "input_usd": _money(cost.input_usd),
        "output_usd": _money(cost.output_usd),
        "price_source": cost.price_source,
        "price_date": cost.price_date,
    }


def _verdict(verdict: CacheVerdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "result": verdict.result,
        "reason": verdict.reason or None,
        "age_s": verdict.age_s,
        "original_latency_s": verdict.original_latency_s,
        "saved_usd": None if verdict.saved_usd is None else format(verdict.saved_usd, "f"),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "provider": attempt.provider or None,
        "model": attempt.model or None,
        "parameters": parameters_json(attempt.parameters),
        "status_code": attempt.status_code or None,
        "duration_s": attempt.duration_s,
        "error": _error(attempt.error),
        "reused_connection": attempt.reused_connection,
        "failure": attempt.failure or None,
        "usage": _usage(attempt.usage),
        "cost": _cost(attempt.cost),
    }


def _outcome(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "kind": outcome.kind,
        "strength": outcome.strength,
        "confidence": outcome.confidence,
        "failure_category": outcome.failure_category or None,
        "failed_checks": list(outcome.failed_checks),
    }


def _body(body: Body | None) -> dict[str, Any] | None:
    """Show a body: as text where it is UTF-8, else as base64; the other key is null."""
    if body is None:
        return None
    text, encoded = None, None
    try:
        text = body.content.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(body.content).decode()
    return {
        "text": text,
        "base64": encoded,
        "original_bytes": body.original_bytes,
        "truncated": body.truncated,
        "content_type": body.content_type or None,
    }


def known_tokens(row: UsageRow, figure: str) -> int | None:
    """Return a sum of tokens; None where it is nothing and calls' usage could not be read."""
    number: int = getattr(row, figure)
    return None if number == 0 and row.unread_usage_calls else number


def usage_json(
    row: UsageRow,
    group_by: Sequence[UsageDimension],
    *,
    interval_s: int = 0,
    with_quantiles: bool = False,
) -> dict[str, Any]:
    """Show one group's sums.

    Args:
        row: The sums.
        group_by: What was grouped by.
        interval_s: The interval that was asked for; 0: none.
        with_quantiles: Whether quantiles were asked for.
    """
    names = [dimension.name.lower() for dimension in group_by]
    return {
        "group": {name: key or None for name, key in zip(names, row.keys, strict=True)},
        "starts_at": iso_utc(row.start_unix_ns) if interval_s else None,
        "calls": row.calls,
        "errors": row.errors,
        "cached_calls": row.cached_calls,
        "estimated_calls": row.estimated_calls,
        "unread_usage_calls": row.unread_usage_calls,
        "unpriced_calls": row.unpriced_calls,
        "priced_calls": row.priced_calls,
        "input_tokens": known_tokens(row, "input_tokens"),
        "output_tokens": known_tokens(row, "output_tokens"),
        "cache_read_tokens": known_tokens(row, "cache_read_tokens"),
        "cache_write_tokens": known_tokens(row, "cache_write_tokens"),
        "reasoning_tokens": known_tokens(row, "reasoning_tokens"),
        "cost_usd": None if row.cost_usd is None else _money(row.cost_usd),
        "saved_usd": None if row.saved_usd is None else _money(row.saved_usd),
        "saved_s": row.saved_s,
        "latency_sum_s": row.latency_sum_s,
        "quantiles": _quantiles(row) if with_quantiles else None,
    }


def _quantiles(row: UsageRow) -> dict[str, list[dict[str, float]]]:
    shown: dict[str, list[dict[str, float]]] = {
        f"{measure.name.lower()}_s": [] for measure in Measure
    }
    for one in row.quantiles:
        told = {"quantile": one.quantile, "value_s": one.value_s, "error": one.error}
        shown[f"{one.measure.name.lower()}_s"].append(told)
    return shown
