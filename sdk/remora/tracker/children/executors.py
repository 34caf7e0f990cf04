"""What is submitted to an executor runs within the session of whoever submitted it.

The executor's threads and processes themselves belong to no session, whoever's call it was that
happened to start them.
"""

import concurrent.futures
from concurrent.futures.process import ProcessPoolExecutor
from concurrent.futures.thread import ThreadPoolExecutor
from typing import Any

from remora.tracker.active import active_session, within
from remora.tracker.children.replacement import Function, Parameter, replace
from remora.tracker.children.work import SessionWork


def install() -> None:
    """Replace how executors are made and filled, and how futures are watched."""
    for executor in (ThreadPoolExecutor, ProcessPoolExecutor):
        replace(executor, "__init__", around_pool)
        replace(executor, "submit", _around_submit)
    replace(concurrent.futures.Future, "add_done_callback", _around_add_done_callback)


def around_pool(original: Function) -> Function:
    """Make a pool's constructor: its initializer runs within the session of who makes the pool."""
    initializer = Parameter(original, "initializer", skipped=1)

    def __init__(self: object, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it is one
        session = active_session.get()
        if session is None:
            original(self, *args, **kwargs)
            return
        changed, named = initializer.changed(session_work, args, kwargs)
        with within(None):
            original(self, *changed, **named)

    return __init__


def session_work(call: Any) -> Any:
    """Bind a callable to the session of this context; what is none is left to who takes it."""
    session = active_session.get()
    return SessionWork(session, call) if session is not None and callable(call) else call


def _around_submit(original: Function) -> Function:
    def submit(self: object, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if active_session.get() is None:
            return original(self, fn, *args, **kwargs)
        work = session_work(fn)
        with within(None):
            return original(self, work, *args, **kwargs)

    return submit


def _around_add_done_callback(original: Function) -> Function:
    def add_done_callback(self: object, fn: Any) -> None:
        original(self, session_work(fn))

    return add_done_callback
