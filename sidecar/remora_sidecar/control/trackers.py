"""Control calls of trackers: programs that open many sessions and ask for their records.

A tracker's id is unguessable, and is all that it takes to ask for its records.
"""

import asyncio
from typing import Any

from aiohttp import web
from google.protobuf import json_format

from remora.errors import Unavailable
from remora_proto.v1 import journal_pb2 as pb
from remora_sidecar.control.admission import Kind
from remora_sidecar.control.handling import STATE, guarded, hold, refused
from remora_sidecar.control.router_connection import connect_router
from remora_sidecar.control.session_view import NewSession
from remora_sidecar.control.state import ControlState
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.engine.sessions import Session
from remora_sidecar.engine.trackers import Tracker
from remora_sidecar.journal.entry import Numbered
from remora_sidecar.journal.journal import PAGE_BYTES, PAGE_CALLS
from remora_sidecar.journal.plain_bodies import make_bodies_plain
from remora_sidecar.journal.selection import JournalSelection
from remora_sidecar.model.refusal import Refusal

PROTOBUF = "application/x-protobuf"

_UNKNOWN = Refusal(404, "not_found", "UNKNOWN_TRACKER", "there is no tracker of this id")
_NO_ROUTER = "a session has a router only within its tracker: give its tracker_id"


def add_trackers(app: web.Application) -> None:
    """Serve the calls of trackers."""
    app.router.add_post("/v1/trackers", guarded(Kind.SESSION, _open))
    at = "/v1/trackers/{id}"
    app.router.add_get(f"{at}/hold", guarded(Kind.SESSION, _hold))
    app.router.add_get(f"{at}/router", guarded(Kind.SESSION, _route))
    app.router.add_get(f"{at}/providers", guarded(Kind.SESSION, _providers))
    app.router.add_get(f"{at}/records", guarded(Kind.SESSION, _records))
    app.router.add_delete(f"{at}/records", guarded(Kind.SESSION, _forget_records))
    app.router.add_get(f"{at}/usage", guarded(Kind.SESSION, _usage))


def open_tracked(wanted: NewSession, state: ControlState) -> Session | Refusal:
    """Open a session, a tracker's if it names one."""
    names = ("data_id", "combo_id", "agent_id", "task_id", "goal")
    fields = {name: value for name in names if (value := getattr(wanted, name))}
    tracker = state.trackers.get(wanted.tracker_id) if wanted.tracker_id else None
    if wanted.tracker_id and tracker is None:
        return _UNKNOWN
    if wanted.router and tracker is None:
        return bad_request(_NO_ROUTER)
    session = state.sessions.open(
        state.clock.now_unix_ns(),
        tracker_id=wanted.tracker_id or "",
        is_cached=wanted.cache,
        **fields,
    )
    if tracker is not None:
        tracker.adopt(session, is_routed=wanted.router)
    return session


async def _open(request: web.Request) -> web.Response:
    state = request.app[STATE]
    tracker = state.trackers.open()
    opened = {
        "tracker_id": tracker.tracker_id,
        "proxy": state.proxy_address,
        "ca_pem": state.ca_pem,
        "trust_dir": str(state.trust_dir),
        "mode": state.mode,
        "version": state.version,
        **_providers_view(state),
    }
    return web.json_response(opened, status=201)


def _tracker(request: web.Request) -> Tracker | None:
    return request.app[STATE].trackers.get(request.match_info["id"])


async def _hold(request: web.Request) -> web.StreamResponse:
    """Keep a tracker for as long as this connection stands; then end its sessions."""
    tracker, state = _tracker(request), request.app[STATE]
    if tracker is None:
        return refused(_UNKNOWN)
    tracker.holders += 1
    try:
        return await hold(request, state)
    finally:
        tracker.holders -= 1
        if not tracker.holders:
            state.trackers.close(tracker.tracker_id)


async def _route(request: web.Request) -> web.StreamResponse:
    """Let this connection route the calls of the tracker's sessions for as long as it stands."""
    if (tracker := _tracker(request)) is None:
        return refused(_UNKNOWN)
    served = await connect_router(request, tracker.router)
    return refused(served) if isinstance(served, Refusal) else served


async def _providers(request: web.Request) -> web.Response:
    if _tracker(request) is None:
        return refused(_UNKNOWN)
    return web.json_response(_providers_view(request.app[STATE]))


def _providers_view(state: ControlState) -> dict[str, Any]:
    """List whose calls are taken."""
    hosts = state.providers.hosts()
    return {"providers": hosts.providers, "providers_version": hosts.version}


def _selection(request: web.Request) -> JournalSelection:
    # The tracker is not looked up: its records can be asked for after it has ended.
    return JournalSelection(
        tracker_id=request.match_info["id"],
        data_id=request.query.get("data_id"),
        combo_id=request.query.get("combo_id"),
        agent_id=request.query.get("agent_id"),
        session_id=request.query.get("session_id"),
    )


async def _records(request: web.Request) -> web.Response:
    """Give the next records, by the order in which they were last written."""
    try:
        above = int(request.query.get("after", "0"))
    except ValueError:
        return refused(bad_request("after is a number of an earlier answer"))
    journal, has_bodies = request.app[STATE].journal, request.query.get("bodies") != "0"
    try:
        calls = await journal.page(
            _selection(request), by="change", above=above, limit=PAGE_CALLS, has_bodies=has_bodies
        )
    except Unavailable as error:
        return _unavailable(error)
    page = await asyncio.to_thread(_page, calls, above)
    if request.headers.get("Accept") == PROTOBUF:
        return web.Response(body=page.SerializeToString(), content_type=PROTOBUF)
    text = json_format.MessageToJson(page, indent=None, preserving_proto_field_name=True)
    return web.json_response(text=text)


def _page(calls: list[Numbered], above: int) -> pb.JournalPage:
    is_full = len(calls) >= PAGE_CALLS or sum(len(c.written) for c in calls) >= PAGE_BYTES
    page = pb.JournalPage(last_change=calls[-1].change if calls else above, more=is_full)
    for call in calls:
        kept = page.calls.add(number=call.number)
        kept.record.MergeFromString(call.written)
        make_bodies_plain(kept.record)
    return page


async def _forget_records(request: web.Request) -> web.Response:
    try:
        await request.app[STATE].journal.forget(_selection(request))
    except Unavailable as error:
        return _unavailable(error)
    return web.Response(status=204)


async def _usage(request: web.Request) -> web.Response:
    """Sum tokens by model, and what cached answers took when they were made."""
    journal, selection = request.app[STATE].journal, _selection(request)
    try:
        usage = await journal.usage(selection)
        cached_s = await journal.cached_latency_s(selection)
    except Unavailable as error:
        return _unavailable(error)
    return web.json_response({"models": usage, "cached_latency_s": cached_s})


def _unavailable(error: Unavailable) -> web.Response:
    return refused(Refusal(503, "unavailable", "JOURNAL_UNAVAILABLE", str(error)))
