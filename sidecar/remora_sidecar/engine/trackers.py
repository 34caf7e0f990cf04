"""Trackers: programs that open many sessions, and what those have in common.

A tracker is one program's for as long as that holds it. Kept in memory, bounded.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from remora.ids import new_tracker_id
from remora.routing import RouteContext
from remora_sidecar.engine.session_router import Advice, SessionRouter, unrouted
from remora_sidecar.engine.sessions import Advisor, Session, Sessions

MAX_TRACKERS = 1_000
"""More than this many: the oldest that nobody holds are forgotten first, then the oldest."""


class TrackerRouter:
    """Routes the calls of all sessions of a tracker over whichever connection it has."""

    def __init__(self) -> None:
        """Start without a connection."""
        self._connected: Advisor | None = None

    async def ask(self, context: RouteContext, *, has_body: bool = True) -> Advice:
        """Ask the program at the other end; it tells its sessions apart by their ids."""
        if self._connected is None:
            return unrouted("is not connected")
        return await self._connected.ask(context, has_body=has_body)

    def close(self, why: str) -> None:
        """Let all calls that wait go on as they were."""
        if self._connected is not None:
            self._connected.close(why)

    def attach_router(self, router: SessionRouter) -> None:
        """Ask over this connection from now on, and no other any more."""
        older, self._connected = self._connected, router
        if older is not None:
            older.close("was replaced by another connection")

    def detach_router(self, router: SessionRouter) -> None:
        """Ask over this connection no more."""
        if self._connected is router:
            self._connected = None


@dataclass(slots=True)
class Tracker:
    """A program that opens sessions.

    Attributes:
        sessions: Those that are open, by their ids.
        holders: Connections that keep it.
    """

    tracker_id: str
    router: TrackerRouter = field(default_factory=TrackerRouter)
    sessions: dict[str, Session] = field(default_factory=dict)
    holders: int = 0

    def adopt(self, session: Session, *, is_routed: bool) -> None:
        """Count a session among its own, with its router where it wants one."""
        self.sessions[session.session_id] = session
        if is_routed:
            session.keep_history()
            session.router = self.router


class Trackers:
    """All trackers of this sidecar."""

    def __init__(self, sessions: Sessions) -> None:
        """Take the sessions that trackers open."""
        self._sessions = sessions
        self._by_id: OrderedDict[str, Tracker] = OrderedDict()

    def open(self) -> Tracker:
        """Make a tracker with a new unguessable id."""
        if len(self._by_id) >= MAX_TRACKERS:
            unheld = (key for key, known in self._by_id.items() if not known.holders)
            self.close(next(unheld, next(iter(self._by_id))))
        tracker = Tracker(new_tracker_id())
        self._by_id[tracker.tracker_id] = tracker
        return tracker

    def get(self, tracker_id: str) -> Tracker | None:
        """Find a tracker."""
        return self._by_id.get(tracker_id)

    def all(self) -> list[Tracker]:
        """List every tracker."""
        return list(self._by_id.values())

    def end_session(self, session: Session) -> None:
        """End a session, whoever opened it."""
        self._sessions.end(session.session_id)
        if (tracker := self._by_id.get(session.tracker_id)) is not None:
            tracker.sessions.pop(session.session_id, None)

    def close(self, tracker_id: str) -> None:
        """Forget a tracker, and end what it left open; its records stay."""
        tracker = self._by_id.pop(tracker_id, None)
        if tracker is None:
            return
        tracker.router.close("left with its program")
        for session in list(tracker.sessions.values()):
            self._sessions.end(session.session_id)
