"""A session around a block of code."""

import asyncio
from contextvars import Token
from types import TracebackType
from typing import Protocol

from remora.tracker.active import ActiveSession, active_session
from remora.tracker.session import SessionInfo


class SessionSource(Protocol):
    """Opens one session, and ends it."""

    def open(self) -> SessionInfo:
        """Open it."""
        ...

    def end(self, session: SessionInfo) -> None:
        """End it; once is enough."""
        ...


class Tracking:
    """A session for as long as a ``with`` or ``async with`` block runs."""

    def __init__(self, source: SessionSource) -> None:
        """Take who opens the session."""
        self._source = source
        self._session: SessionInfo | None = None
        self._token: Token[ActiveSession | None] | None = None

    def __enter__(self) -> SessionInfo:
        """Open the session; the calls made from here on are its own."""
        return self._entered(self._source.open())

    async def __aenter__(self) -> SessionInfo:
        """Open the session, without holding up the loop."""
        return self._entered(await asyncio.to_thread(self._source.open))

    def _entered(self, session: SessionInfo) -> SessionInfo:
        self._session = session
        self._token = active_session.set(session.active)
        return session

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the session; calls that are under way are still its own."""
        if (session := self._left()) is not None:
            self._source.end(session)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the session, without holding up the loop."""
        if (session := self._left()) is not None:
            await asyncio.to_thread(self._source.end, session)

    def _left(self) -> SessionInfo | None:
        session, self._session = self._session, None
        if self._token is not None:
            try:
                active_session.reset(self._token)
            except ValueError:  # closed from another context, as generators are
                active_session.set(None)
            self._token = None
        return session
