"""What is read of spans: ``/api/traces``, ``/api/traces/ID`` and ``/api/analytics/…``."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_capsules import reconstructed
from remora_aggregator.signals.kalibr_spans import NS, iso_of, name_in
from remora_aggregator.store.kalibr_spans import Group, SpanSelection, SpanSums
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import Number, Text
from remora_aggregator.web.kalibr.reading import TENANT, LenientParameters, NothingAsked
from remora_aggregator.web.kalibr.room import room_of
from remora_aggregator.web.problems import ApiProblem

_HOURS: Final = 24.0
_MOST_HOURS: Final = 24.0 * 366
_MOST_GROUPS: Final = 1_000
_GROUPS: Final[Mapping[str, Group]] = {
    "workflow": "workflow_id", "tenant": "namespace", "provider": "provider", "model": "model_id",
}  # fmt: skip


class TraceParameters(LenientParameters):
    """Which traces; `tenant_id` is a namespace."""

    workflow_id: Text = ""
    tenant_id: Text = ""
    status: Text = ""
    hours: Number = _HOURS
    limit: int = Field(default=100, ge=1, le=_MOST_GROUPS)
    group_by: Text = "model"


async def list_traces(request: web.Request, asked: TraceParameters) -> web.StreamResponse:
    """List traces, the newest first."""
    async with in_time(front_of(request).bounds):
        chosen = _chosen(request, asked)
        found = await room_of(request).spans.traces(chosen, limit=asked.limit)
    shown = [
        {
            "trace_id": one.trace_id, "tenant_id": one.namespace,
            "timestamp": iso_of(one.started_unix_ns),
            "status": "error" if one.sums.failed else "success", **sums_json(one.sums),
        }
        for one in found
    ]  # fmt: skip
    return json_answer({"traces": shown, "total": len(shown)})


async def show_trace(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Give the spans of one trace."""
    del asked
    room, trace_id = room_of(request), name_in(request.match_info, "trace_id")
    async with in_time(front_of(request).bounds):
        spans = await room.spans.spans(_namespaces(request, ""), trace_id)
    if not spans:
        raise ApiProblem(404, f"There is no trace {trace_id!r}.", "not-found", where="trace_id")
    shown = reconstructed(trace_id, (), spans, room.now_unix_ns)
    return json_answer({**shown, "spans": shown["events"]})


async def summary(request: web.Request, asked: TraceParameters) -> web.StreamResponse:
    """Sum up all spans."""
    spans, chosen = room_of(request).spans, _chosen(request, asked)
    async with in_time(front_of(request).bounds):
        sums, number = await spans.totals(chosen), await spans.trace_count(chosen)
    return json_answer({"hours": _hours(asked), "total_traces": number, **sums_json(sums)})


async def cost(request: web.Request, asked: TraceParameters) -> web.StreamResponse:
    """Sum up costs by workflow, tenant, provider or model."""
    group = _GROUPS.get(asked.group_by)
    if group is None:
        detail = f"group_by is none of {', '.join(_GROUPS)}."
        raise ApiProblem(400, detail, "bad-parameter", where="group_by")
    shown = await _grouped(request, asked, asked.group_by, group)
    answer = {"group_by": asked.group_by, "hours": _hours(asked), "groups": shown, "costs": shown}
    return json_answer(answer)


async def workflows(request: web.Request, asked: TraceParameters) -> web.StreamResponse:
    """Sum up each workflow."""
    shown = await _grouped(request, asked, "workflow_id", "workflow_id")
    return json_answer({"workflows": shown, "total": len(shown)})


async def tenants(request: web.Request, asked: TraceParameters) -> web.StreamResponse:
    """Sum up each namespace that the caller may look at."""
    shown = await _grouped(request, asked, "tenant_id", "namespace")
    return json_answer({"tenants": shown, "total": len(shown)})


async def _grouped(
    request: web.Request, asked: TraceParameters, name: str, group: Group
) -> list[dict[str, Any]]:
    async with in_time(front_of(request).bounds):
        found = await room_of(request).spans.by_group(
            _chosen(request, asked), (group,), limit=asked.limit
        )
    return [{name: key or None, **sums_json(sums)} for (key,), sums in found.items()]


def sums_json(sums: SpanSums) -> dict[str, Any]:
    """Give sums; what is unknown is null, and how many spans a cost is of is said."""
    tokens = [n for n in (sums.input_tokens, sums.output_tokens) if n is not None]
    ended = sums.spans - sums.failed
    return {
        "span_count": sums.spans,
        "error_count": sums.failed,
        "success_rate": ended / sums.spans if sums.spans else None,
        "total_cost_usd": None if sums.cost_usd is None else float(sums.cost_usd),
        "priced_spans": sums.priced,
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "total_tokens": sum(tokens) if tokens else None,
        "avg_duration_ms": sums.mean_duration_ms,
    }


def _chosen(request: web.Request, asked: TraceParameters) -> SpanSelection:
    since = room_of(request).now_unix_ns - int(_hours(asked) * 3_600 * NS)
    namespaces = _namespaces(request, asked.tenant_id)
    return SpanSelection(namespaces, asked.workflow_id, asked.status, max(since, 0))


def _hours(asked: TraceParameters) -> float:
    return min(asked.hours, _MOST_HOURS) if asked.hours and asked.hours > 0 else _HOURS


def _namespaces(request: web.Request, tenant: str) -> frozenset[str] | None:
    """Say whose spans are asked for: a tenant's, else all that the caller may look at.

    Raises:
        BadRequest: The caller may not look at the tenant's (status 403).
    """
    caller, named = caller_of(request), tenant or request.headers.get(TENANT, "").strip()
    return frozenset({caller.namespace_of(named)}) if named else caller.namespaces


_ANALYTICS: Final = "/api/analytics"
OPERATIONS: Final = (
    operation("GET", "/api/traces", "ListTraces", list_traces, Act.READ_SIGNALS, TraceParameters),
    operation("GET", "/api/traces/{trace_id}", "ShowTrace", show_trace, Act.READ_SIGNALS),
    *(
        operation("GET", f"{_ANALYTICS}/{word}", name, handler, Act.READ_SIGNALS, TraceParameters)
        for word, name, handler in (
            ("summary", "Summary", summary),
            ("cost", "Cost", cost),
            ("workflows", "Workflows", workflows),
            ("tenants", "Tenants", tenants),
        )
    ),
)
