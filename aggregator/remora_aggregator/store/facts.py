"""A record as a row of columns that can be asked by and summed up. Pure.

The message itself is stored beside them as it came, so that fields of a newer sidecar survive an
older aggregator. Empty text is null: what nobody stated takes no place in an index.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Final

from remora.wire_money import usd_of
from remora_proto.v1 import records_pb2 as pb

USAGE_UNREAD = "usage_unreadable"
"""Type of the error on a call that succeeded and whose usage could not be read."""

_FAILED = frozenset({pb.END_REASON_PROVIDER_CUT, pb.END_REASON_NO_ANSWER, pb.END_REASON_REFUSED})
_MOST_TOKENS = 1 << 40
"""One absurd figure must not end all sums."""

FACTS: Final = (
    "namespace", "pod_uid", "call_id", "revision", "received_unix_ns", "clock_skew_s",
    "started_unix_ns",
    "session_id", "data_id", "combo_id", "agent_id", "task_id",
    "workload", "pod_name",
    "provider", "dialect", "operation", "requested_model", "sent_model", "response_model", "model",
    "status_code", "error_type", "rule", "cache_result",
    "is_error", "is_usage_unread", "is_unpriced", "is_cached", "is_estimated",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "cost_usd", "saved_usd", "saved_s", "latency_s", "ttft_s", "overhead_s",
)  # fmt: skip
"""The columns, in the order of a row. ``message`` follows them, and ``position`` is the store's."""

AT: Final = {name: number for number, name in enumerate(FACTS)}
"""Where in a row each column stands."""

MOST_TEXT_BYTES: Final = 512
"""Of one column's text: five of them fit into PostgreSQL's largest key."""

_SHORT_CHARS = MOST_TEXT_BYTES // 4
_KEPT_BYTES = MOST_TEXT_BYTES - 32

type Value = str | int | float | bytes | bool | Decimal | None
type Facts = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the aggregator itself knows of a record's origin.

    Attributes:
        clock_skew_s: How far the sender's clock was ahead; None where it did not say.
    """

    namespace: str
    pod_uid: str
    received_unix_ns: int
    clock_skew_s: float | None = None


def facts_of(record: pb.CallRecord, stamp: Stamp) -> Facts:
    """Make the row of a record, in the order of `FACTS`."""
    who, origin, usage, cost = record.attribution, record.origin, record.usage, record.cost
    cached = record.cached
    # What a cached answer states was used by the call that made it, and is counted with that.
    tokens = (0, 0, 0, 0, 0) if cached else _tokens(usage)
    requested, sent, served = record.requested_model, record.sent_model, record.response_model
    error_type = record.error.type
    return (
        stamp.namespace, stamp.pod_uid, record.call_id, record.revision, stamp.received_unix_ns,
        stamp.clock_skew_s, record.started_unix_nano,
        _stated(who.session_id), _stated(who.data_id), _stated(who.combo_id),
        _stated(who.agent_id), _stated(who.task_id), _name(origin.workload),
        _name(origin.pod_name),
        _name(record.provider), _name(record.dialect), _name(record.operation),
        _name(requested), _name(sent), _name(served), _name(served or sent or requested),
        record.status_code or None, _name(error_type), _name(record.receipt.rule),
        _name(record.cache.result),
        is_error(record), error_type == USAGE_UNREAD,
        not cost.total_usd and record.HasField("usage"), cached,
        usage.estimated and not cached, *tokens,
        usd_of(cost.total_usd) if cost.total_usd else None, *_saved(record),
        record.latency_s,
        record.ttft_s if record.HasField("ttft_s") else None,
        record.overhead_s if record.HasField("overhead_s") else None,
    )  # fmt: skip


def _stated(text: str) -> str | None:
    return column_text(text) if text else None


_name = lru_cache(maxsize=2_048)(_stated)
"""For what comes again and again: a look is quicker than a check."""


def column_text(text: str) -> str:
    """Give a text as a column holds it; the message has it as it came.

    NUL is text to few databases, and long text to no index: of that the beginning is kept, and
    what tells it from others that begin alike.
    """
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if len(text) <= _SHORT_CHARS or len(written := text.encode()) <= MOST_TEXT_BYTES:
        return text
    kept = written[:_KEPT_BYTES].decode(errors="ignore")
    return f"{kept}…{sha256(written).hexdigest()[:16]}"


def _tokens(usage: pb.Usage) -> tuple[int, ...]:
    stated = (
        usage.input_tokens, usage.output_tokens, usage.cache_read_tokens,
        usage.cache_write_tokens, usage.reasoning_tokens,
    )  # fmt: skip
    if min(stated) >= -_MOST_TOKENS and max(stated) <= _MOST_TOKENS:
        return stated
    return tuple(max(-_MOST_TOKENS, min(tokens, _MOST_TOKENS)) for tokens in stated)


def _saved(record: pb.CallRecord) -> tuple[Decimal | None, float | None]:
    """What a cached answer would have cost and taken beyond what it did."""
    if not record.cached:
        return None, None
    verdict = record.cache
    usd = usd_of(verdict.saved_usd) if verdict.saved_usd else None
    if not verdict.HasField("original_latency_s"):
        return usd, None
    return usd, max(0.0, verdict.original_latency_s - record.latency_s)


def is_error(record: pb.CallRecord) -> bool:
    """Tell whether a call failed, whoever's fault it was."""
    return record.HasField("error") or record.status_code >= 400 or record.end_reason in _FAILED


def parted(record: pb.CallRecord) -> tuple[bytes, bytes | None]:
    """Write a record without its bodies, and its bodies; None where it has none."""
    if not (record.HasField("request_body") or record.HasField("response_body")):
        return record.SerializeToString(), None
    bare, bodies = pb.CallRecord(), pb.CallRecord()
    bare.CopyFrom(record)
    if record.HasField("request_body"):
        bodies.request_body.CopyFrom(record.request_body)
        bare.ClearField("request_body")
    if record.HasField("response_body"):
        bodies.response_body.CopyFrom(record.response_body)
        bare.ClearField("response_body")
    return bare.SerializeToString(), bodies.SerializeToString()
