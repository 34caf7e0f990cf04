"""Which answer a verdict is about: kept for each user, and for each thread and asyncio task."""

import threading
from collections import OrderedDict
from contextvars import ContextVar
from typing import Final, NamedTuple

from remora.feedback.following import followed_call, next_number

MOST_USERS: Final = 10_000
"""Whose latest answers are remembered; those that were not used for longest go first."""


class Run(NamedTuple):
    """An answer that somebody may judge.

    Attributes:
        number: Grows with each call and run of this process.
    """

    call_id: str
    number: int


_of_context: ContextVar[Run | None] = ContextVar("remora_tracked_run", default=None)
_last_anchored: ContextVar[int] = ContextVar("remora_last_anchored", default=0)
"""Number of what a session of this context has already: it is not taken for another's."""


class Runs:
    """The latest answer of each user, and of each context."""

    def __init__(self) -> None:
        """Start without any."""
        self._lock = threading.Lock()
        self._by_user: OrderedDict[str, Run] = OrderedDict()

    def track(self, call_id: str, reporter: str) -> None:
        """Remember an answer for this context, and for its user if there is one."""
        run = Run(call_id, next_number())
        _of_context.set(run)
        if not reporter:
            return
        with self._lock:
            self._by_user[reporter] = run
            self._by_user.move_to_end(reporter)
            if len(self._by_user) > MOST_USERS:
                self._by_user.popitem(last=False)

    def forget(self, reporter: str) -> None:
        """Forget the answer before one that nothing is known of: it is not what is judged next."""
        _of_context.set(None)
        with self._lock:
            self._by_user.pop(reporter, None)

    def tracked(self, reporter: str) -> Run | None:
        """Give the latest answer of a user; of nobody in particular that of this context."""
        if not reporter:
            return _of_context.get()
        with self._lock:
            return self._by_user.get(reporter)

    def begin_anew_after_fork(self) -> None:
        """Let go of a lock that a thread of the parent may hold."""
        self._lock = threading.Lock()


def latest_unanchored() -> str:
    """Give the latest call of this context that no session has yet, and give it to one.

    Returns:
        Its id; empty if there is none.
    """
    known = [one for one in (_of_context.get(), followed_call()) if one is not None]
    latest = max(known, key=lambda one: one.number, default=None)
    if latest is None or latest.number <= _last_anchored.get():
        return ""
    _last_anchored.set(latest.number)
    return latest.call_id
