"""Records as rows of a typed table, for Parquet: the keys of their JSON, with types. Pure.

Needs pyarrow (``remora[parquet]``). Money is ``decimal128(38, 18)``, so that it adds up exactly;
what has more digits is rounded to 18. Times are timestamps in UTC, to the microsecond. Parts of a
record are structs, labels a map, a body's bytes are as they were kept, parameters are JSON, since
they may have any name. What is not known is null.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import pyarrow as pa

from remora.cli.record_json import record_json
from remora.records import Body, StoredRecord

_PLACES: Final = 18
_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)
_UNIT: Final = Decimal(1).scaleb(-_PLACES)

_TEXT, _TRUTH, _WHOLE, _REAL = pa.string(), pa.bool_(), pa.int64(), pa.float64()
_SIZE, _MONEY, _TIME = pa.uint64(), pa.decimal128(38, _PLACES), pa.timestamp("us", "UTC")


def _texts(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, _TEXT)


_USAGE = pa.struct(
    {
        **dict.fromkeys(
            ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
             "reasoning_tokens", "input_audio_tokens", "output_audio_tokens",
             "input_image_tokens", "output_image_tokens", "cache_write_1h_tokens",
             "billed_input_tokens", "billed_output_tokens", "web_searches", "rerank_searches",
             "cache_read_audio_tokens", "cache_read_image_tokens"),
            _WHOLE,
        ),
        "input_audio_seconds": _REAL,
        "estimated": _TRUTH,
    }
)  # fmt: skip
_COST = pa.struct(
    {
        **dict.fromkeys(("total_usd", "input_usd", "output_usd"), _MONEY),
        **_texts("price_source", "price_date"),
    }
)
_ERROR = pa.struct(_texts("type", "message"))
_CACHE = pa.struct(
    {
        **_texts("result", "reason"),
        "age_s": _REAL,
        "original_latency_s": _REAL,
        "saved_usd": _MONEY,
    }
)
_OUTCOME = pa.struct(
    {
        "kind": _TEXT,
        "strength": _REAL,
        "confidence": _REAL,
        "failure_category": _TEXT,
        "failed_checks": pa.list_(_TEXT),
    }
)
_ATTEMPT = pa.struct(
    {
        **_texts("provider", "model", "parameters"),
        "status_code": _WHOLE,
        "duration_s": _REAL,
        "error": _ERROR,
        "reused_connection": _TRUTH,
        "failure": _TEXT,
        "usage": _USAGE,
        "cost": _COST,
    }
)
_CANDIDATE = pa.struct(
    {
        **_texts("model_id", "provider"),
        "score": _REAL,
        "est_cost_usd": _MONEY,
        "reasons": pa.list_(_TEXT),
        **_texts("filtered_out_by", "parameters"),
        "propensity": _REAL,
        "note": _TEXT,
    }
)
_DECISION = pa.struct(
    {
        **_texts("model_id", "provider", "requested_model_id", "strategy", "router"),
        "propensity": _REAL,
        **_texts("risk", "reason", "scores"),
        "fallback_chain": pa.list_(_TEXT),
        "prompt_rewritten": _TRUTH,
        **_texts("credential", "refused_by"),
    }
)
_BUDGET = pa.struct(
    {
        **_texts("name", "per", "result"),
        **dict.fromkeys(("spent_usd", "limit_usd"), _MONEY),
        **dict.fromkeys(("spent_tokens", "limit_tokens"), _WHOLE),
        "resets_at": _TIME,
    }
)
_TRY = pa.struct(
    {
        **_texts("provider", "model_id", "parameters"),
        "status_code": _WHOLE,
        **_texts("failure", "error"),
        "duration_ms": _REAL,
        "cost_usd": _MONEY,
    }
)
_RECEIPT = pa.struct(
    {
        **_texts("receipt_id", "policy", "policy_version", "rule", "classification"),
        "candidates": pa.list_(_CANDIDATE),
        "decision": _DECISION,
        "budgets": pa.list_(_BUDGET),
        "cache": _TEXT,
        "attempts": pa.list_(_TRY),
        "execution": pa.struct(
            {"actual_cost_usd": _MONEY, "actual_latency_ms": _REAL, "status": _TEXT}
        ),
    }
)
_BODY = pa.struct(
    {
        "content": pa.binary(),
        "original_bytes": _SIZE,
        "truncated": _TRUTH,
        "content_type": _TEXT,
    }
)

SCHEMA: Final = pa.schema(
    {
        "call_id": _TEXT,
        "revision": _WHOLE,
        "started_at": _TIME,
        "received_at": _TIME,
        **_texts("namespace", "pod_uid"),
        **_texts("session_id", "data_id", "combo_id", "agent_id", "task_id", "trace_id"),
        **_texts(
            "parent_span_id", "goal", "pod_name", "workload", "node", "sidecar_version", "mode"
        ),
        "original_destination": _TEXT,
        "labels": pa.map_(_TEXT, _TEXT),
        **_texts("provider", "dialect", "operation", "method", "url"),
        **_texts("model", "requested_model", "sent_model", "response_model"),
        "stream": _TRUTH,
        "status_code": _WHOLE,
        **_texts("end_reason", "finish_reason"),
        "error": _ERROR,
        **_texts("response_id", "provider_request_id"),
        "tool_names": pa.list_(_TEXT),
        "usage": _USAGE,
        "cost": _COST,
        **dict.fromkeys(("latency_s", "ttft_s", "overhead_s"), _REAL),
        **dict.fromkeys(("request_bytes", "response_bytes"), _SIZE),
        "cached": _TRUTH,
        "cache": _CACHE,
        "opaque": _TRUTH,
        "attempts": pa.list_(_ATTEMPT),
        "receipt": _RECEIPT,
        "outcome": _OUTCOME,
        "notes": pa.list_(_TEXT),
        "capture": _TEXT,
        "cursor": _TEXT,
    }
)
"""The columns, in the order of the JSON's keys."""

SCHEMA_WITH_BODIES: Final = SCHEMA.append(pa.field("request_body", _BODY)).append(
    pa.field("response_body", _BODY)
)


def row_of(stored: StoredRecord, *, with_bodies: bool = False) -> dict[str, Any]:
    """Make the row of a record, of values that the schema takes."""
    shown = record_json(stored)
    row = {field.name: _value(shown[field.name], field.type) for field in SCHEMA}
    if with_bodies:
        row["request_body"] = _body(stored.record.request_body)
        row["response_body"] = _body(stored.record.response_body)
    return row


def table_of(rows: list[dict[str, Any]], *, with_bodies: bool = False) -> Any:
    """Make a table of rows."""
    schema = SCHEMA_WITH_BODIES if with_bodies else SCHEMA
    return pa.Table.from_pylist(rows, schema=schema)


def _body(body: Body | None) -> dict[str, Any] | None:
    if body is None:
        return None
    return {
        "content": body.content,
        "original_bytes": body.original_bytes,
        "truncated": body.truncated,
        "content_type": body.content_type or None,
    }


def _value(value: Any, kind: Any) -> Any:
    """Turn a value of the JSON into one of its column's type."""
    if value is None:
        return None
    if kind == _MONEY:
        return Decimal(value).quantize(_UNIT, context=_EXACT)
    if kind == _TEXT:
        return value if isinstance(value, str) else json.dumps(value)
    if kind == _TIME:
        return datetime.fromisoformat(value)
    if pa.types.is_struct(kind):
        return _parts(value, kind)
    if pa.types.is_map(kind):
        return list(value.items())
    if pa.types.is_list(kind):
        return [_value(one, kind.value_type) for one in value]
    return value


def _parts(value: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    return {field.name: _value(value[field.name], field.type) for field in kind}
