"""Where sessions are kept between their turns: in memory."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from remora.feedback.conversation import Conversation

MOST_SESSIONS: Final = 10_000
"""Those that nothing happened in for longest go first."""

type Change = Callable[[Conversation], Conversation | None]
"""Gives what becomes of a session; None: it has ended."""


class SessionStore(Protocol):
    """Keeps sessions; each method is whole against those of other threads and processes."""

    def change(self, session_id: str, change: Change) -> None:
        """Change a session, a new one if there is none."""
        ...

    def take_expired(self, now_s: float) -> list[Conversation]:
        """Remove the sessions that have expired, and give them."""
        ...

    def begin_anew_after_fork(self) -> None:
        """Go on in a child of the process."""
        ...


class SessionsInMemory:
    """Sessions of this process alone."""

    def __init__(self) -> None:
        """Start without any."""
        self._lock = threading.RLock()
        self._sessions: OrderedDict[str, Conversation] = OrderedDict()

    def change(self, session_id: str, change: Change) -> None:
        """Change a session, a new one if there is none."""
        with self._lock:
            known = self._sessions.pop(session_id, None)
            if (changed := change(known or Conversation(session_id))) is not None:
                self._sessions[session_id] = changed
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)

    def take_expired(self, now_s: float) -> list[Conversation]:
        """Remove the sessions that have expired, and give them."""
        expired = []
        with self._lock:
            while self._sessions:
                oldest = next(iter(self._sessions.values()))
                if not oldest.has_expired(now_s):
                    break
                expired.append(self._sessions.pop(oldest.session_id))
        return expired

    def begin_anew_after_fork(self) -> None:
        """Leave the parent's sessions to the parent."""
        self._lock = threading.RLock()
        self._sessions = OrderedDict()
