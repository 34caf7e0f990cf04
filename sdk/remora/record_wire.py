"""Records to and from the wire form of ``remora.v1``."""

from dataclasses import fields
from decimal import Decimal
from typing import Any

from remora.records import (
    Attempt,
    Attribution,
    Body,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Origin,
    StoredRecord,
    Usage,
)
from remora_proto.v1 import records_pb2 as pb

_PLAIN = tuple(
    f.name
    for f in fields(CallRecord)
    if f.name
    not in {
        "started_unix_ns", "attribution", "origin", "end_reason", "error", "tool_names", "usage",
        "cost", "attempts", "notes", "request_body", "response_body", "ttft_s", "overhead_s",
    }
)  # fmt: skip
_USAGE_FIGURES = tuple(f.name for f in fields(Usage) if f.name != "estimated")


def _values(value: Any) -> dict[str, Any]:
    return {name: v for name in value.__slots__ if (v := getattr(value, name)) is not None}


def _error_message(error: CallError | None) -> pb.CallError | None:
    return None if error is None else pb.CallError(type=error.type, message=error.message)


def _attempt_message(attempt: Attempt) -> pb.Attempt:
    return pb.Attempt(
        provider=attempt.provider,
        model=attempt.model,
        status_code=attempt.status_code,
        error=_error_message(attempt.error),
        duration_s=attempt.duration_s,
        reused_connection=attempt.reused_connection,
    )


def _cost_message(cost: Cost) -> pb.Cost:
    return pb.Cost(
        total_usd=format(cost.total_usd, "f"),
        input_usd=format(cost.input_usd, "f"),
        output_usd=format(cost.output_usd, "f"),
        price_source=cost.price_source,
        price_date=cost.price_date,
    )


def to_message(record: CallRecord) -> pb.CallRecord:
    """Make the wire form of a record."""
    message = pb.CallRecord(
        started_unix_nano=record.started_unix_ns,
        attribution=pb.Attribution(**_values(record.attribution)),
        origin=pb.Origin(**_values(record.origin)),
        end_reason=record.end_reason.value,  # type: ignore[arg-type]  # the enum's wire number
        error=_error_message(record.error),
        tool_names=record.tool_names,
        usage=None if record.usage is None else pb.Usage(**_values(record.usage)),
        cost=None if record.cost is None else _cost_message(record.cost),
        attempts=[_attempt_message(attempt) for attempt in record.attempts],
        notes=record.notes,
        request_body=None if record.request_body is None else pb.Body(**_values(record.request_body)),
        response_body=(
            None if record.response_body is None else pb.Body(**_values(record.response_body))
        ),
        **{name: getattr(record, name) for name in _PLAIN},
    )
    if record.ttft_s is not None:
        message.ttft_s = record.ttft_s
    if record.overhead_s is not None:
        message.overhead_s = record.overhead_s
    return message


def _usage(message: pb.Usage) -> Usage:
    figures: dict[str, Any] = {
        name: getattr(message, name) for name in _USAGE_FIGURES if message.HasField(name)  # type: ignore[arg-type]  # names come from the dataclass
    }
    return Usage(estimated=message.estimated, **figures)


def _error(message: pb.CallError) -> CallError:
    return CallError(type=message.type, message=message.message)


def _attempt(message: pb.Attempt) -> Attempt:
    return Attempt(
        provider=message.provider,
        model=message.model,
        status_code=message.status_code,
        duration_s=message.duration_s,
        error=_error(message.error) if message.HasField("error") else None,
        reused_connection=message.reused_connection,
    )


def _cost(message: pb.Cost) -> Cost:
    return Cost(
        total_usd=Decimal(message.total_usd),
        input_usd=Decimal(message.input_usd or "0"),
        output_usd=Decimal(message.output_usd or "0"),
        price_source=message.price_source,
        price_date=message.price_date,
    )


def _body(message: pb.Body) -> Body:
    return Body(
        content=message.content,
        original_bytes=message.original_bytes,
        truncated=message.truncated,
        content_type=message.content_type,
    )


def _end_reason(number: int) -> EndReason:
    try:
        return EndReason(number)
    except ValueError:  # a newer sidecar's word
        return EndReason.UNSPECIFIED


def from_message(message: pb.CallRecord) -> CallRecord:
    """Read the wire form; raises `decimal.InvalidOperation` where money is no decimal."""
    return CallRecord(
        started_unix_ns=message.started_unix_nano,
        attribution=Attribution(
            **{name: getattr(message.attribution, name) for name in Attribution.__slots__}
        ),
        origin=Origin(**{name: getattr(message.origin, name) for name in Origin.__slots__}),
        end_reason=_end_reason(message.end_reason),
        error=_error(message.error) if message.HasField("error") else None,
        tool_names=tuple(message.tool_names),
        usage=_usage(message.usage) if message.HasField("usage") else None,
        cost=_cost(message.cost) if message.HasField("cost") else None,
        ttft_s=message.ttft_s if message.HasField("ttft_s") else None,
        overhead_s=message.overhead_s if message.HasField("overhead_s") else None,
        attempts=tuple(_attempt(attempt) for attempt in message.attempts),
        notes=tuple(message.notes),
        request_body=_body(message.request_body) if message.HasField("request_body") else None,
        response_body=_body(message.response_body) if message.HasField("response_body") else None,
        **{name: getattr(message, name) for name in _PLAIN},
    )


def stored_from_message(message: pb.StoredRecord) -> StoredRecord:
    """Read a record with the aggregator's stamps."""
    return StoredRecord(
        record=from_message(message.record),
        namespace=message.namespace,
        pod_uid=message.pod_uid,
        received_unix_ns=message.received_unix_nano,
        cursor=message.cursor,
    )
