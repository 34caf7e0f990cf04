"""The WebSocket by which another process routes a session's calls.

Whoever knows the session's id may open it. The newest connection is the session's router; the one
before is told so and closed. Nothing that comes here is run or imported: it is a model's name.
"""

import asyncio
import contextlib
from typing import Final, Protocol

from aiohttp import WSMsgType, web

from remora.ids import DEFAULT_SESSION_ID
from remora.router_messages import MAX_ANSWER_BYTES
from remora.task_owner import TaskOwner
from remora_sidecar.control.state import ControlState
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.engine.session_router import SessionRouter
from remora_sidecar.engine.sessions import Session
from remora_sidecar.model.refusal import Refusal

CLOSED_BY_US: Final = 4000
"""Close code where the sidecar ends the connection; the reason says why."""

_READS_WITHIN_S = 10.0
_CLOSES_WITHIN_S = 1.0

_NOT_FOR_THE_DEFAULT = "calls of no session can't have a router: open a session, and name it"
_NO_WEBSOCKET = "a router's connection is a WebSocket: ask for the upgrade"


class Routed(Protocol):
    """Whose calls a connection may route."""

    def attach_router(self, router: SessionRouter) -> None:
        """Ask it about calls from now on, and no other any more."""
        ...

    def detach_router(self, router: SessionRouter) -> None:
        """Ask it no more."""
        ...


async def connect_router(request: web.Request, routed: Routed) -> web.StreamResponse | Refusal:
    """Let a connection route a session's calls, or a tracker's, until it closes."""
    if isinstance(routed, Session) and routed.session_id == DEFAULT_SESSION_ID:
        return Refusal(403, "forbidden", "FORBIDDEN", _NOT_FOR_THE_DEFAULT)  # all know this id
    websocket = web.WebSocketResponse(
        timeout=_CLOSES_WITHIN_S, compress=False, max_msg_size=MAX_ANSWER_BYTES
    )
    if not websocket.can_prepare(request).ok:
        return bad_request(_NO_WEBSOCKET, 426)
    router, tasks = SessionRouter(), TaskOwner("router")
    routed.attach_router(router)
    try:
        await websocket.prepare(request)
        tasks.spawn(_send_asks(websocket, router), name="asks")
        await _take_answers(websocket, router)
    finally:
        routed.detach_router(router)
        router.close("left before it answered")
        await tasks.aclose()
    return websocket


def close_routers(state: ControlState) -> None:
    """End the connections of all routers: the sidecar stops."""
    routers = [session.router for session in state.sessions.all()]
    for router in (*routers, *(tracker.router for tracker in state.trackers.all())):
        if router is not None:
            router.close("was let go as the sidecar stopped")


async def _send_asks(websocket: web.WebSocketResponse, router: SessionRouter) -> None:
    """Send what is asked; a router that reads none of it is let go."""
    try:
        while (text := await router.next_message()) is not None:
            async with asyncio.timeout(_READS_WITHIN_S):
                await websocket.send_str(text)
    except TimeoutError:
        router.close("read nothing")
    except ConnectionError:
        return
    with contextlib.suppress(ConnectionError):
        reason = f"the session's router {router.closed_because}"
        await websocket.close(code=CLOSED_BY_US, message=reason.encode(), drain=False)


async def _take_answers(websocket: web.WebSocketResponse, router: SessionRouter) -> None:
    async for message in websocket:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            continue
        try:
            router.take(message.data)
        except ValueError:
            router.close("sent what is no answer")
