"""Threads run within the session in which they were started."""

import _thread
import threading
from typing import Any

from remora.tracker.active import active_session
from remora.tracker.children.replacement import Function, replace
from remora.tracker.children.work import SessionWork, put_run, session_run


def install() -> None:
    """Replace what starts threads."""
    replace(threading.Thread, "start", _around_start)
    replace(_thread, "start_new_thread", _around_start_new_thread)


def _around_start(original: Function) -> Function:
    def start(self: threading.Thread, *args: Any, **kwargs: Any) -> None:
        session = active_session.get()
        # From Python 3.14 on a thread can be given a context, which then says it all.
        if session is None or getattr(self, "_context", None) is not None:
            original(self, *args, **kwargs)
            return
        own = vars(self).get("run")
        put_run(self, session_run(session, self, threading.current_thread))
        try:
            original(self, *args, **kwargs)
        except BaseException:
            put_run(self, own)
            raise

    return start


def _around_start_new_thread(original: Function) -> Function:
    def start_new_thread(*args: Any) -> int:
        session = active_session.get()
        if session is not None and args and callable(args[0]):
            args = (SessionWork(session, args[0]), *args[1:])
        identity: int = original(*args)
        return identity

    return start_new_thread
