"""Processes of `multiprocessing` run within the session in which they were started.

One that is forked has its parent's context in any case; to one that is not, the session is sent
along, in place of its ``run``.
"""

import multiprocessing
from multiprocessing.process import BaseProcess

from remora.tracker.active import active_session
from remora.tracker.children.replacement import Function, replace
from remora.tracker.children.work import put_run, session_run


def install() -> None:
    """Replace what starts processes."""
    replace(BaseProcess, "start", _around_start)


def _around_start(original: Function) -> Function:
    def start(self: BaseProcess) -> None:
        session = active_session.get()
        if session is None:
            original(self)
            return
        own = vars(self).get("run")
        put_run(self, session_run(session, self, multiprocessing.current_process))
        try:
            original(self)
        finally:
            put_run(self, own)

    return start
