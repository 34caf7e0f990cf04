"""Routers of a tracker's sessions, which decide in the program's own process.

One connection to the sidecar serves all sessions of a tracker; each session has its own router.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import overload

from remora.records import CallRecord as Recorded
from remora.routing import RouteContext, Router
from remora.routing_client import ServedRouter
from remora.tracker.call_record import CallRecord, call_record


class SessionRouters:
    """Asks each session's own router; itself one, as the sidecar sees it."""

    def __init__(self) -> None:
        """Start without sessions, and without a connection."""
        self._routers: dict[str, Router] = {}
        self._served: ServedRouter | None = None
        self._lock = threading.Lock()

    def connect(self, url: str) -> None:
        """Answer the sidecar from now on, where that is not so yet.

        Raises:
            Unavailable: The sidecar can't be reached.
        """
        with self._lock:
            if self._served is not None and self._served.is_open:
                return
            served = ServedRouter(url, self)
            served.open()
            self._served = served

    def add(self, session_id: str, router: Router) -> None:
        """Let a router decide about a session's calls."""
        self._routers[session_id] = router

    def remove(self, session_id: str) -> None:
        """Decide about a session's calls no more."""
        self._routers.pop(session_id, None)

    def route(self, ctx: RouteContext) -> str | None:
        """Ask the router of the call's session; None where it has none any more."""
        router = self._routers.get(ctx.session.session_id)
        if router is None:
            return None
        return router.route(replace(ctx, history=_Shown(ctx.history)))  # type: ignore[arg-type]  # as users of the tracker know them

    def close(self) -> None:
        """Answer no more."""
        with self._lock:
            served, self._served = self._served, None
        self._routers.clear()
        if served is not None:
            served.close()


class _Shown(Sequence[CallRecord]):
    """Records as the tracker shows them, made when somebody looks: most routers do not."""

    def __init__(self, recorded: Sequence[Recorded]) -> None:
        self._recorded = recorded

    @overload
    def __getitem__(self, index: int) -> CallRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CallRecord]: ...
    def __getitem__(self, index: int | slice) -> CallRecord | Sequence[CallRecord]:
        if isinstance(index, slice):
            return tuple(map(call_record, self._recorded[index]))
        return call_record(self._recorded[index])

    def __len__(self) -> int:
        return len(self._recorded)

    def __iter__(self) -> Iterator[CallRecord]:
        return map(call_record, self._recorded)
