"""Records to and from the wire form of ``remora.v1``."""

from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from remora.receipt import Receipt
from remora.receipt_wire import fill_receipt, receipt_of
from remora.records import (
    Attempt,
    Attribution,
    Body,
    CacheVerdict,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Origin,
    Outcome,
    StoredRecord,
    Usage,
)
from remora.wire_money import usd_of
from remora_proto.v1 import records_pb2 as pb

_PLAIN = tuple(
    f.name
    for f in fields(CallRecord)
    if f.name
    not in {
        "started_unix_ns", "attribution", "origin", "end_reason", "error", "tool_names", "usage",
        "cache", "cost", "attempts", "notes", "request_body", "response_body", "ttft_s",
        "overhead_s", "receipt", "outcome",
    }
)  # fmt: skip
_USAGE_FIGURES = tuple(f.name for f in fields(Usage) if f.name != "estimated")
_figures_of = attrgetter(*_USAGE_FIGURES)
_KEPT_REPEATED = 1024


def _fill_attribution(message: pb.Attribution, attribution: Attribution) -> None:
    message.session_id = attribution.session_id
    message.trace_id = attribution.trace_id
    # What is empty is not written: to look is quicker than to set.
    if attribution.data_id:
        message.data_id = attribution.data_id
    if attribution.combo_id:
        message.combo_id = attribution.combo_id
    if attribution.agent_id:
        message.agent_id = attribution.agent_id
    if attribution.task_id:
        message.task_id = attribution.task_id
    if attribution.parent_span_id:
        message.parent_span_id = attribution.parent_span_id
    if attribution.goal:
        message.goal = attribution.goal


def _fill_origin(message: pb.Origin, origin: Origin) -> None:
    message.pod_name = origin.pod_name
    message.workload = origin.workload
    message.node = origin.node
    message.sidecar_version = origin.sidecar_version
    message.mode = origin.mode
    message.original_destination = origin.original_destination
    if origin.labels:
        message.labels.update(origin.labels)


def _fill_error(message: pb.CallError, error: CallError) -> None:
    message.SetInParent()  # present even where both texts are empty
    message.type = error.type
    message.message = error.message


def _fill_usage(message: pb.Usage, usage: Usage) -> None:
    message.estimated = usage.estimated
    message.SetInParent()
    for name, figure in zip(_USAGE_FIGURES, _figures_of(usage), strict=True):
        if figure is not None:
            setattr(message, name, figure)


def _fill_cost(message: pb.Cost, cost: Cost) -> None:
    message.total_usd = format(cost.total_usd, "f")
    message.input_usd = format(cost.input_usd, "f")
    message.output_usd = format(cost.output_usd, "f")
    message.price_source = cost.price_source
    message.price_date = cost.price_date


def _fill_verdict(message: pb.CacheVerdict, verdict: CacheVerdict) -> None:
    message.result = verdict.result
    message.reason = verdict.reason
    if verdict.age_s is not None:
        message.age_s = verdict.age_s
    if verdict.original_latency_s is not None:
        message.original_latency_s = verdict.original_latency_s
    if verdict.saved_usd is not None:
        message.saved_usd = format(verdict.saved_usd, "f")


def _fill_attempt(message: pb.Attempt, attempt: Attempt) -> None:
    message.provider = attempt.provider
    message.model = attempt.model
    message.status_code = attempt.status_code
    message.duration_s = attempt.duration_s
    message.reused_connection = attempt.reused_connection
    if attempt.error is not None:
        _fill_error(message.error, attempt.error)
    if attempt.failure:
        message.failure = attempt.failure
    if attempt.usage is not None:
        _fill_usage(message.usage, attempt.usage)
    if attempt.cost is not None:
        _fill_cost(message.cost, attempt.cost)
    if attempt.parameters:
        message.parameters = attempt.parameters


def _fill_outcome(message: pb.Outcome, outcome: Outcome) -> None:
    message.kind = outcome.kind
    message.strength = outcome.strength
    message.confidence = outcome.confidence
    message.failure_category = outcome.failure_category
    message.failed_checks.extend(outcome.failed_checks)


def _fill_body(message: pb.Body, body: Body) -> None:
    message.SetInParent()
    message.content = body.content
    message.original_bytes = body.original_bytes
    message.truncated = body.truncated
    message.content_type = body.content_type


def _fill_facts(message: pb.CallRecord, record: CallRecord) -> None:
    message.call_id = record.call_id
    message.revision = record.revision
    message.provider = record.provider
    message.dialect = record.dialect
    message.operation = record.operation
    message.method = record.method
    message.url = record.url
    message.requested_model = record.requested_model
    message.sent_model = record.sent_model
    message.response_model = record.response_model
    message.stream = record.stream
    message.status_code = record.status_code
    message.end_reason = record.end_reason._value_  # type: ignore[assignment]  # the enum's wire number
    message.finish_reason = record.finish_reason
    message.response_id = record.response_id
    message.provider_request_id = record.provider_request_id
    message.started_unix_nano = record.started_unix_ns
    message.latency_s = record.latency_s
    message.request_bytes = record.request_bytes
    message.response_bytes = record.response_bytes
    message.cached = record.cached
    message.opaque = record.opaque
    message.capture = record.capture


def _fill_optional(message: pb.CallRecord, record: CallRecord) -> None:
    if record.ttft_s is not None:
        message.ttft_s = record.ttft_s
    if record.overhead_s is not None:
        message.overhead_s = record.overhead_s
    if record.error is not None:
        _fill_error(message.error, record.error)
    if record.cache is not None:
        _fill_verdict(message.cache, record.cache)
    if record.outcome is not None:
        _fill_outcome(message.outcome, record.outcome)


def _fill_repeated(
    message: pb.CallRecord, usage: Usage | None, cost: Cost | None, receipt: Receipt | None
) -> None:
    if usage is not None:
        _fill_usage(message.usage, usage)
    if cost is not None:
        _fill_cost(message.cost, cost)
    if receipt is not None:
        fill_receipt(message.receipt, receipt)


@lru_cache(maxsize=_KEPT_REPEATED)
def _written_repeated(usage: Usage | None, cost: Cost | None, receipt: Receipt | None) -> bytes:
    message = pb.CallRecord()
    _fill_repeated(message, usage, cost, receipt)
    return message.SerializeToString()


def write_without_bodies(record: CallRecord) -> bytes:
    """Write the wire form of a record, its captured bodies left out.

    A call that the cache answered states what was stated before, mostly for the same reasons.
    That is written once, and joined to the rest: protobuf messages merge when their bytes are
    joined.

    Raises:
        ValueError: A text or number that the wire form can't hold.
    """
    if not record.cached:
        return to_message_without_bodies(record).SerializeToString()
    repeated = _written_repeated(record.usage, record.cost, record.receipt)
    return _message_of_its_own(record).SerializeToString() + repeated


def to_message_without_bodies(record: CallRecord) -> pb.CallRecord:
    """Make the wire form of a record, its captured bodies left out.

    Raises:
        ValueError: A text or number that the wire form can't hold.
    """
    message = _message_of_its_own(record)
    _fill_repeated(message, record.usage, record.cost, record.receipt)
    return message


def _message_of_its_own(record: CallRecord) -> pb.CallRecord:
    """Fill in what hardly any other record says, field by field.

    It runs on the event loop once per call: one setter costs a tenth of a keyword argument to the
    generated constructor.
    """
    message = pb.CallRecord()
    _fill_facts(message, record)
    _fill_optional(message, record)
    _fill_attribution(message.attribution, record.attribution)
    _fill_origin(message.origin, record.origin)
    for attempt in record.attempts:
        _fill_attempt(message.attempts.add(), attempt)
    if record.tool_names:
        message.tool_names.extend(record.tool_names)
    if record.notes:
        message.notes.extend(record.notes)
    return message


def add_bodies(message: pb.CallRecord, record: CallRecord) -> None:
    """Put the record's captured bodies into the message."""
    if record.request_body is not None:
        _fill_body(message.request_body, record.request_body)
    if record.response_body is not None:
        _fill_body(message.response_body, record.response_body)


def to_message(record: CallRecord) -> pb.CallRecord:
    """Make the wire form of a record.

    Raises:
        ValueError: A text or number that the wire form can't hold.
    """
    message = to_message_without_bodies(record)
    add_bodies(message, record)
    return message


def _usage(message: pb.Usage) -> Usage:
    figures: dict[str, Any] = {
        name: getattr(message, name)
        for name in _USAGE_FIGURES
        if message.HasField(name)  # type: ignore[arg-type]  # names come from the dataclass
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
        failure=message.failure,
        usage=_usage(message.usage) if message.HasField("usage") else None,
        cost=_cost(message.cost) if message.HasField("cost") else None,
        parameters=message.parameters,
    )


def _cost(message: pb.Cost) -> Cost:
    return Cost(
        total_usd=usd_of(message.total_usd),
        input_usd=usd_of(message.input_usd or "0"),
        output_usd=usd_of(message.output_usd or "0"),
        price_source=message.price_source,
        price_date=message.price_date,
    )


def _verdict(message: pb.CacheVerdict) -> CacheVerdict:
    latency = message.original_latency_s
    return CacheVerdict(
        result=message.result,
        reason=message.reason,
        age_s=message.age_s if message.HasField("age_s") else None,
        original_latency_s=latency if message.HasField("original_latency_s") else None,
        saved_usd=usd_of(message.saved_usd) if message.saved_usd else None,
    )


def _outcome(message: pb.Outcome) -> Outcome:
    return Outcome(
        kind=message.kind,
        strength=message.strength,
        confidence=message.confidence,
        failure_category=message.failure_category,
        failed_checks=tuple(message.failed_checks),
    )


def _body(message: pb.Body) -> Body:
    return Body(
        content=message.content,
        original_bytes=message.original_bytes,
        truncated=message.truncated,
        content_type=message.content_type,
    )


def _origin(message: pb.Origin) -> Origin:
    return Origin(
        **{name: getattr(message, name) for name in Origin.__slots__ if name != "labels"},
        labels=dict(message.labels),
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
        origin=_origin(message.origin),
        end_reason=_end_reason(message.end_reason),
        error=_error(message.error) if message.HasField("error") else None,
        tool_names=tuple(message.tool_names),
        usage=_usage(message.usage) if message.HasField("usage") else None,
        cost=_cost(message.cost) if message.HasField("cost") else None,
        cache=_verdict(message.cache) if message.HasField("cache") else None,
        ttft_s=message.ttft_s if message.HasField("ttft_s") else None,
        overhead_s=message.overhead_s if message.HasField("overhead_s") else None,
        attempts=tuple(_attempt(attempt) for attempt in message.attempts),
        receipt=receipt_of(message.receipt) if message.HasField("receipt") else None,
        outcome=_outcome(message.outcome) if message.HasField("outcome") else None,
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
