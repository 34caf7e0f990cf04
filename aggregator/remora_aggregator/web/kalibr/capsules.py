"""Capsules: ``/api/ingest/capsule``, and the chain made of what is known: ``/api/capsule/ID``."""

from typing import Final

from aiohttp import web

from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_capsules import capsule_of, reconstructed
from remora_aggregator.signals.kalibr_spans import name_in
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.reading import (
    NothingAsked,
    bytes_of,
    json_in,
    key_or_password_shown,
    namespace_of,
)
from remora_aggregator.web.kalibr.room import room_of
from remora_aggregator.web.problems import ApiProblem


async def take(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Take what a runtime hands on."""
    del asked
    body = json_in(await bytes_of(request))
    room, namespace = room_of(request), namespace_of(request)
    capsule = capsule_of(body, room.now_unix_ns) if isinstance(body, dict) else None
    if capsule is None:
        raise ApiProblem(400, "The capsule names no trace.", "bad-member", where="trace_id")
    async with in_time(front_of(request).bounds):
        await room.spans.put_capsule(namespace, capsule, room.now_unix_ns)
    return json_answer(
        {"status": "accepted", "success": True, "capsule_id": capsule.trace_id,
         "trace_id": capsule.trace_id, "hop_count": len(capsule.hops)}
    )  # fmt: skip


async def show(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Give a trace's chain of operations."""
    del asked
    room, trace_id = room_of(request), name_in(request.match_info, "trace_id")
    namespaces = caller_of(request).namespaces
    async with in_time(front_of(request).bounds):
        capsules = await room.spans.capsules(namespaces, trace_id)
        spans = await room.spans.spans(namespaces, trace_id)
    if not capsules and not spans:
        raise ApiProblem(404, f"There is no capsule of trace {trace_id!r}.", "no-capsule")
    return json_answer(reconstructed(trace_id, capsules, spans, room.now_unix_ns))


async def export(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Give a trace's chain as a file."""
    answer = await show(request, asked)
    name = "".join(c for c in request.match_info["trace_id"] if c.isalnum() or c in "-_")[:64]
    answer.headers["Content-Disposition"] = f'attachment; filename="capsule-{name}.json"'
    return answer


_PATH: Final = "/api/capsule/{trace_id}"
OPERATIONS: Final = (
    operation("POST", "/api/ingest/capsule", "TakeCapsule", take, Act.SEND_SIGNALS),
    operation("GET", _PATH, "ShowCapsule", show, Act.READ_SIGNALS, shows=key_or_password_shown),
    operation(
        "GET",
        f"{_PATH}/export",
        "ExportCapsule",
        export,
        Act.READ_SIGNALS,
        shows=key_or_password_shown,
    ),
)
