"""What the table says of one record, cell by cell. Pure."""

from collections.abc import Callable
from datetime import tzinfo
from urllib.parse import urlsplit

from remora.cli.figures import NONE, UNKNOWN, money, seconds, tokens, visible
from remora.cli.moments import local_time
from remora.records import CallRecord, EndReason

USAGE_UNREADABLE = "usage_unreadable"
"""The error type of a call that succeeded and whose usage could not be read."""

_ENDS = {
    EndReason.CLIENT_GONE: "client gone",
    EndReason.PROVIDER_CUT: "cut",
    EndReason.NO_ANSWER: "no answer",
    EndReason.REFUSED: "refused",
    EndReason.STOPPED: "stopped",
}


def is_usage_unread(record: CallRecord) -> bool:
    """Tell whether the provider's figures should be known and are not."""
    return record.error is not None and record.error.type == USAGE_UNREADABLE


def is_bad(record: CallRecord) -> bool:
    """Tell whether the call went wrong for its agent."""
    return record.error is not None or record.status_code >= 400


def model_cell(record: CallRecord) -> str:
    """Name the model as requested and, where it is another, as served."""
    requested, served = record.requested_model, record.response_model or record.sent_model
    if requested and served and not served.startswith(requested):
        return visible(f"{requested} → {served}")
    return visible(served or requested or _without_model(record))


def _without_model(record: CallRecord) -> str:
    path = urlsplit(record.url).path
    return f"{record.method} {path}".strip() or record.provider or UNKNOWN


def status_cell(record: CallRecord) -> str:
    """Say how the call ended: the status, and what it does not tell."""
    parts = [str(record.status_code)] if record.status_code else []
    if record.end_reason in _ENDS:
        parts.append(_ENDS[record.end_reason])
    elif record.error is not None:
        parts.append("no usage" if is_usage_unread(record) else visible(record.error.type))
    parts += [word for word in ("cached", "opaque") if getattr(record, word)]
    return " ".join(part for part in parts if part) or UNKNOWN


def _figure(record: CallRecord, name: str) -> str:
    if record.usage is None:
        return UNKNOWN if is_usage_unread(record) else NONE
    figure: int | None = getattr(record.usage, name)
    if figure is None:
        return NONE
    return f"~{tokens(figure)}" if record.usage.estimated else tokens(figure)


def cost_cell(record: CallRecord) -> str:
    """Say what the call cost; unknown where there is usage and no price for it."""
    if record.cost is not None:
        is_guess = record.usage is not None and record.usage.estimated
        return f"~{money(record.cost.total_usd)}" if is_guess else money(record.cost.total_usd)
    return UNKNOWN if record.usage is not None or is_usage_unread(record) else NONE


def _session(record: CallRecord) -> str:
    return visible(record.attribution.session_id) or NONE


CELLS: dict[str, Callable[[CallRecord], str]] = {
    "model": model_cell,
    "operation": lambda record: visible(record.operation) or NONE,
    "status": status_cell,
    "in": lambda record: _figure(record, "input_tokens"),
    "cached": lambda record: _figure(record, "cache_read_tokens"),
    "out": lambda record: _figure(record, "output_tokens"),
    "cost": cost_cell,
    "ttft": lambda record: NONE if record.ttft_s is None else seconds(record.ttft_s),
    "latency": lambda record: seconds(record.latency_s),
    "session": _session,
    "task": lambda record: visible(record.attribution.task_id) or NONE,
    "call": lambda record: record.call_id,
}


def time_cell(record: CallRecord, zone: tzinfo | None) -> str:
    """Say at what time of the day the call was made."""
    return f"{local_time(record.started_unix_ns, zone):%H:%M:%S}"
