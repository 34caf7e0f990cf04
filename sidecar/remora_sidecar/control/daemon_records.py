"""A call as the published tracker's client takes it: fourteen fields, no more and no less. Pure.

That client hands each object to a constructor by its keys, so that one key more or one less is an
error there.
"""

from typing import Any, Final

from remora.records import Body, CallRecord, EndReason
from remora.tracker.call_record import json_object, shown_latency_s, shown_model, timestamp
from remora_sidecar.journal.plain_bodies import plain

UNREAD_USAGE: Final = "agentopt proxy could not extract token usage: "
"""What the error of a call begins with whose answer came, but not what it used."""

_CUT: Final = {
    EndReason.CLIENT_GONE: "the agent left before the answer's end",
    EndReason.PROVIDER_CUT: "the provider broke the answer off",
    EndReason.STOPPED: "the call was ended before its answer was whole",
}


def daemon_record(record: CallRecord) -> dict[str, Any]:
    """Show a record in the published client's fields, in its order, ready for JSON."""
    whose, usage = record.attribution, record.usage
    return {
        "data_id": whose.data_id or None,
        "combo_id": whose.combo_id or None,
        "agent_id": whose.agent_id or None,
        "model": shown_model(record),
        "prompt_tokens": usage.input_tokens or 0 if usage is not None else 0,
        "completion_tokens": usage.output_tokens or 0 if usage is not None else 0,
        "latency_seconds": shown_latency_s(record),
        "request_url": record.url,
        "request_body": _json_of(record.request_body),
        "response_body": {} if record.stream else _json_of(record.response_body),
        "timestamp": timestamp(record.started_unix_ns),
        "cached": record.cached,
        "status_code": record.status_code,
        "error": _error(record),
    }


def _is_unread(record: CallRecord) -> bool:
    return record.error is not None and record.error.type == "usage_unreadable"


def _error(record: CallRecord) -> str | None:
    """Say in one line what went wrong; also that a cut answer's tokens are no whole count."""
    if record.status_code >= 400:
        return f"HTTP {record.status_code}"
    if record.error is None:
        return _CUT.get(record.end_reason)
    text = record.error.message or record.error.type
    return f"{UNREAD_USAGE}{text}. URL={record.url}" if _is_unread(record) else text


def _json_of(body: Body | None) -> dict[str, Any]:
    """Read a body as a JSON object, as it was sent or compressed; empty if it is none."""
    if body is None or body.truncated:
        return {}
    content = plain(body.content)
    return {} if content is None else json_object(Body(content, body.original_bytes))
