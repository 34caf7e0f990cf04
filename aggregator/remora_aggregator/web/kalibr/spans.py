"""Spans as the clients send them: ``/api/ingest`` in lines or an envelope, ``/api/v1/traces``."""

import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from aiohttp import web

from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_models import call_id_of, provider_and_model
from remora_aggregator.signals.kalibr_runs import Run, Spent, trials_of, with_spent
from remora_aggregator.signals.kalibr_spans import Span, span_of
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.reading import (
    MOST_SPAN_BYTES,
    NothingAsked,
    bytes_of,
    json_in,
    namespace_of,
)
from remora_aggregator.web.kalibr.room import Room, room_of
from remora_aggregator.web.problems import ApiProblem

MOST_EVENTS: Final = 5_000
"""In one request."""

_MOST_RUNS: Final = 500
_LINES: Final = "application/x-ndjson"
_SIGNATURE: Final = "X-Signature"


async def ingest(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Take spans, one in a line or all in an envelope."""
    del asked
    body = await bytes_of(request, MOST_SPAN_BYTES)
    return await _stored(request, list(_events(request, body)))


async def traces(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Take spans in an envelope, signed where a key for that is set."""
    del asked
    body = await bytes_of(request, MOST_SPAN_BYTES)
    key = room_of(request).signature_key
    if key and not is_signed(body, request.headers.get(_SIGNATURE, ""), key):
        detail = "The spans are not signed with the key of this aggregator."
        raise ApiProblem(401, detail, "bad-signature", where=_SIGNATURE)
    return await _stored(request, list(_events(request, body)))


def is_signed(body: bytes, signature: str, key: bytes) -> bool:
    """Tell whether a body is signed: HMAC-SHA256 in hex.

    The client signs JSON with blanks after commas and colons, and sends it without.
    """
    try:
        written = json.dumps(json.loads(body)).encode()
    except (ValueError, RecursionError):
        written = body
    given = signature.strip().lower().encode("utf-8", "replace")
    return any(
        hmac.compare_digest(hmac.new(key, signed, "sha256").hexdigest().encode(), given)
        for signed in (written, body)
    )


def _events(request: web.Request, body: bytes) -> Iterator[Any]:
    if request.content_type != _LINES:
        found = json_in(body)
        events = found.get("events", found) if isinstance(found, dict) else found
        yield from events if isinstance(events, list) else [events]
        return
    for line in body.splitlines():
        if line.strip():
            try:
                yield json_in(line)
            except ApiProblem:
                yield None


async def _stored(request: web.Request, events: list[Any]) -> web.StreamResponse:
    if len(events) > MOST_EVENTS:
        detail = f"There are {len(events)} spans in one request: send {MOST_EVENTS} at most."
        raise ApiProblem(413, detail, "too-many")
    room, namespace = room_of(request), namespace_of(request)
    now = room.now_unix_ns
    spans: list[Span] = []
    for event in events:
        span = span_of(event, now)
        if span is not None:
            spans.append(span)
    if spans:
        async with in_time(front_of(request).bounds):
            await room.spans.put(namespace, spans, now)
            await _told(room, namespace, spans)
    rejected = len(events) - len(spans)
    answer = {"status": "accepted", "success": True, "accepted": len(spans), "rejected": rejected}
    return json_answer(answer)


async def _told(room: Room, namespace: str, spans: Sequence[Span]) -> None:
    """Have runs know what their answers cost and took."""
    found: dict[str, Callable[[Run], Run]] = {}
    for span in spans:
        spent = spent_of(span)
        if spent is not None and len(found) < _MOST_RUNS:
            found[call_id_of(span.trace_id)] = partial(with_spent, spent=spent)
    if found:
        for run in await room.runs.change_known(namespace, found):
            await room.signals.take_trials(namespace, trials_of(run))


def spent_of(span: Span) -> Spent | None:
    """Say what an answer cost and took; None where the span is of none."""
    is_answer = span.status == "success" and span.model_id
    if not is_answer or (span.cost_usd is None and not span.duration_ms):
        return None
    provider, model = provider_and_model(span.model_id)
    return Spent(provider, model, span.cost_usd, span.duration_ms or None)


OPERATIONS: Final = (
    operation("POST", "/api/ingest", "Ingest", ingest, Act.SEND_SIGNALS),
    operation("POST", "/api/v1/traces", "Traces", traces, Act.SEND_SIGNALS),
)
