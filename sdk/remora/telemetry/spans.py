"""Records as OpenTelemetry spans, by the GenAI conventions; never anything of a prompt.

Imported only where an exporter runs.
"""

import hashlib
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from remora.records import Attempt, CallRecord
from remora.telemetry.genai_names import error_type, provider_name, response_model

Value = str | int | float | bool | list[str]

_PORTS = {"https": 443, "http": 80}
_NS_PER_S = 1_000_000_000


def spans_of(
    record: CallRecord, resource: Resource, scope: InstrumentationScope
) -> Iterator[ReadableSpan]:
    """Make the span of a call, and one of each attempt where it took several.

    The span's id is the end of the call's id, so that a call exported twice is one span.
    Attempts are laid end to end: when each began is not recorded.
    """
    trace_id = _hex(record.attribution.trace_id) or _hex(record.call_id)
    context = _context(trace_id, _hex(record.call_id[-16:]))
    parent_id = _hex(record.attribution.parent_span_id)
    end_ns = record.started_unix_ns + round(record.latency_s * _NS_PER_S)
    error = error_type(record)
    yield ReadableSpan(
        name=f"{record.operation or 'call'} {record.requested_model}".strip(),
        context=context,
        parent=_context(trace_id, parent_id, is_remote=True) if parent_id else None,
        resource=resource,
        attributes=_stated(_attributes(record, error)),
        kind=SpanKind.CLIENT,
        status=Status(StatusCode.ERROR) if error else Status(StatusCode.UNSET),
        start_time=record.started_unix_ns,
        end_time=end_ns,
        instrumentation_scope=scope,
    )
    if len(record.attempts) > 1:
        yield from _attempts(record, context, resource, scope)


def _attempts(
    record: CallRecord, call: SpanContext, resource: Resource, scope: InstrumentationScope
) -> Iterator[ReadableSpan]:
    start_ns = record.started_unix_ns
    for number, attempt in enumerate(record.attempts, start=1):
        end_ns = start_ns + round(attempt.duration_s * _NS_PER_S)
        error = _attempt_error(attempt)
        digest = hashlib.sha256(f"{record.call_id}/{number}".encode()).digest()
        yield ReadableSpan(
            name=f"attempt {attempt.model}".strip(),
            context=_context(call.trace_id, int.from_bytes(digest[:8], "big") or 1),
            parent=call,
            resource=resource,
            attributes=_stated(
                {
                    "gen_ai.provider.name": provider_name(attempt.provider),
                    "gen_ai.request.model": attempt.model,
                    "http.response.status_code": attempt.status_code or None,
                    "error.type": error,
                    "remora.attempt": number,
                }
            ),
            kind=SpanKind.CLIENT,
            status=Status(StatusCode.ERROR) if error else Status(StatusCode.UNSET),
            start_time=start_ns,
            end_time=end_ns,
            instrumentation_scope=scope,
        )
        start_ns = end_ns


def _attempt_error(attempt: Attempt) -> str:
    if attempt.status_code >= 400:
        return str(attempt.status_code)
    return attempt.error.type if attempt.error is not None else ""


def _attributes(record: CallRecord, error: str) -> Mapping[str, Value | None]:
    attribution = record.attribution
    return {
        **_address(record.url),
        **_usage(record),
        "gen_ai.operation.name": record.operation,
        "gen_ai.provider.name": provider_name(record.provider),
        "gen_ai.request.model": record.requested_model,
        "gen_ai.request.stream": record.stream or None,
        "gen_ai.response.model": response_model(record),
        "gen_ai.response.id": record.response_id,
        "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": record.ttft_s if record.stream else None,
        "http.response.status_code": record.status_code or None,
        "error.type": error,
        "remora.call_id": record.call_id,
        "remora.session_id": attribution.session_id,
        "remora.task_id": attribution.task_id,
        "remora.agent_id": attribution.agent_id,
        "remora.data_id": attribution.data_id,
        "remora.combo_id": attribution.combo_id,
        "remora.goal": attribution.goal,
        "remora.provider": record.provider,
        "remora.dialect": record.dialect,
        "remora.sent_model": record.sent_model,
        "remora.end_reason": record.end_reason.name.lower(),
        "remora.cached": record.cached or None,
        "remora.cache_result": None if record.cache is None else record.cache.result,
        "remora.opaque": record.opaque or None,
        "remora.overhead_s": record.overhead_s,
        "remora.cost_usd": None if record.cost is None else format(record.cost.total_usd, "f"),
    }


def _usage(record: CallRecord) -> Mapping[str, Value | None]:
    """Return what the provider stated, also of a cached answer; estimates are marked."""
    usage = record.usage
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "gen_ai.usage.audio.input_tokens": usage.input_audio_tokens,
        "gen_ai.usage.audio.output_tokens": usage.output_audio_tokens,
        "gen_ai.usage.image.input_tokens": usage.input_image_tokens,
        "remora.usage.estimated": usage.estimated or None,
    }


def _address(url: str) -> Mapping[str, Value | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
        return {"server.address": parts.hostname, "server.port": port}
    except ValueError:
        return {}


def _stated(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _context(trace_id: int, span_id: int, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote, TraceFlags(TraceFlags.SAMPLED))


def _hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
