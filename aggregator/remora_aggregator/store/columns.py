"""A record as a row: the columns that queries ask by, beside the message itself. Pure.

The message is stored as it came, so that fields of a newer sidecar survive an older
aggregator. Bodies lie in a column of their own: most queries leave them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from remora_proto.v1 import records_pb2 as pb

USAGE_UNREAD = "usage_unreadable"
"""Type of the error on a call that succeeded and whose usage could not be read."""

_FAILED = frozenset({pb.END_REASON_PROVIDER_CUT, pb.END_REASON_NO_ANSWER, pb.END_REASON_REFUSED})

COLUMNS = (
    "namespace", "pod_uid", "call_id", "revision", "received_unix_ns", "started_unix_ns",
    "session_id", "data_id", "combo_id", "agent_id", "task_id",
    "provider", "dialect", "operation", "requested_model", "sent_model", "response_model", "model",
    "is_error", "is_usage_unread", "is_unpriced", "is_cached",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "cost_usd", "latency_s", "message", "bodies",
)  # fmt: skip
"""Every column but ``position``, which SQLite counts up with each commit."""

type Value = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the aggregator itself knows of a record's origin."""

    namespace: str
    pod_uid: str
    received_unix_ns: int


def row_of(record: pb.CallRecord, stamp: Stamp) -> tuple[Value, ...]:
    """Make the row of a record, in the order of `COLUMNS`."""
    who = record.attribution
    # What a cached answer states was used by the call that made it, and is counted with that.
    usage = pb.Usage() if record.cached else record.usage
    message, bodies = _parted(record)
    return (
        stamp.namespace, stamp.pod_uid, record.call_id, record.revision, stamp.received_unix_ns,
        record.started_unix_nano,
        who.session_id, who.data_id, who.combo_id, who.agent_id, who.task_id,
        record.provider, record.dialect, record.operation,
        record.requested_model, record.sent_model, record.response_model,
        record.response_model or record.sent_model or record.requested_model,
        is_error(record), record.error.type == USAGE_UNREAD,
        record.HasField("usage") and not record.cost.total_usd, record.cached,
        usage.input_tokens, usage.output_tokens, usage.cache_read_tokens,
        usage.cache_write_tokens, usage.reasoning_tokens,
        record.cost.total_usd or None, record.latency_s, message, bodies,
    )  # fmt: skip


def is_error(record: pb.CallRecord) -> bool:
    """Tell whether a call failed, whoever's fault it was."""
    return record.HasField("error") or record.status_code >= 400 or record.end_reason in _FAILED


def _parted(record: pb.CallRecord) -> tuple[bytes, bytes | None]:
    if not (record.HasField("request_body") or record.HasField("response_body")):
        return record.SerializeToString(), None
    bare = pb.CallRecord()
    bare.CopyFrom(record)
    bare.ClearField("request_body")
    bare.ClearField("response_body")
    bodies = pb.CallRecord(request_body=record.request_body, response_body=record.response_body)
    return bare.SerializeToString(), bodies.SerializeToString()


STORED_COLUMNS = ("position", "namespace", "pod_uid", "received_unix_ns", "message")
"""What `stored_of` reads, in its order; ``bodies`` may follow."""


def stored_of(row: Sequence[Value]) -> pb.StoredRecord:
    """Read a row back, with its bodies if they were asked for."""
    position, namespace, pod_uid, received_unix_ns, message, *bodies = row
    stored = pb.StoredRecord(
        namespace=str(namespace),
        pod_uid=str(pod_uid),
        received_unix_nano=int(received_unix_ns or 0),
        cursor=cursor_of(int(position or 0)),
    )
    stored.record.ParseFromString(_bytes(message))
    if bodies and bodies[0] is not None:
        stored.record.MergeFromString(_bytes(bodies[0]))
    return stored


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("the column holds no bytes")
    return value


def cursor_of(position: int) -> str:
    """Write a position as a cursor."""
    return f"r{position:x}"


def position_of(cursor: str) -> int:
    """Read a cursor; raises ValueError if it is none of ours."""
    if not cursor.startswith("r"):
        raise ValueError("not a cursor of this aggregator")
    try:
        position = int(cursor[1:], 16)
    except ValueError:
        raise ValueError("not a cursor of this aggregator") from None
    if not 0 <= position < 1 << 63:
        raise ValueError("not a cursor of this aggregator")
    return position
