"""One thread that does the work of feedback in order, so that no caller waits for it.

It is started with the first job, ends with the process, and is started anew in a fork's child.
"""

import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

from remora.tracker.active import within

logger = logging.getLogger(__name__)

MOST_JOBS: Final = 10_000
EXIT_FLUSH_S: Final = 2.0
"""How long a process waits at its end for what is still to be done."""

type Job = Callable[[], None]
type Upkeep = Callable[[bool], float | None]
"""Does what is due, or all of it if told so; gives after how many seconds to call it again."""


class Worker:
    """Does jobs one after the other; for use from any thread.

    Attributes:
        dropped_total: Jobs for which there was no room.
        failed_total: Jobs that raised.
    """

    def __init__(self, upkeep: Upkeep, after_fork: Job) -> None:
        """Take what is to be called between jobs, and in the child of a fork before the next."""
        self.dropped_total = self.failed_total = 0
        self._upkeep = upkeep
        self._after_fork = after_fork
        self._begin()
        _workers.add(self)

    def _begin(self) -> None:
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._due_s: float | None = None
        self._asked = self._done = 0
        self._is_closed = False

    def begin_anew_after_fork(self) -> None:
        """Leave the jobs and the thread to the parent."""
        self._begin()
        self._after_fork()

    def put(self, job: Job) -> bool:
        """Have a job done; false if there is no room for it."""
        with self._changed:
            if len(self._jobs) >= MOST_JOBS:
                self.dropped_total += 1
                return False
            self._jobs.append(job)
            self._changed.notify_all()
            if self._thread is None:
                self._start()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Have done now what was put so far, and what else there is to do.

        Returns:
            Whether that was done in time.
        """
        with self._changed:
            if self._thread is None and self._jobs:
                self._start()
            if self._thread is not None:
                self._asked += 1
                mine = self._asked
                self._changed.notify_all()
                return self._changed.wait_for(lambda: self._done >= mine, timeout_s)
        if self._jobs:  # no thread can be started as the interpreter ends
            self._work(everything=True)
        return True

    def close(self) -> None:
        """End the thread; jobs that are put later start another."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._is_closed = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(EXIT_FLUSH_S)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="remora-feedback", daemon=True)
        self._is_closed = False
        try:
            with within(None):  # signals are no calls of anybody's session
                thread.start()
        except RuntimeError:  # the interpreter ends: a flush does what is left
            return
        self._thread = thread
        if (util := sys.modules.get("multiprocessing.util")) is not None:
            # Its processes end without what `atexit` knows.
            util.Finalize(None, self.flush, args=(EXIT_FLUSH_S,), exitpriority=1)

    def _run(self) -> None:
        while (asked := self._waited()) is not None:
            due_s = self._work(everything=asked > self._done)
            with self._changed:
                self._due_s, self._done = due_s, asked
                self._changed.notify_all()

    def _waited(self) -> int | None:
        """Wait until something is to be done; gives how many flushes it is for, None at the end."""
        with self._changed:
            while not (self._is_closed or self._jobs or self._asked > self._done):
                left_s = None if self._due_s is None else self._due_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                self._changed.wait(left_s)
            return None if self._is_closed else self._asked

    def _work(self, *, everything: bool) -> float | None:
        """Do all jobs, and what is due besides; gives when that is due the next time."""
        while self._do_one():
            pass
        try:
            in_s = self._upkeep(everything)
        except Exception as error:  # noqa: BLE001 - whatever fails must not end the thread
            self._failed(error)
            in_s = 1.0
        return None if in_s is None else time.monotonic() + in_s

    def _do_one(self) -> bool:
        try:
            job = self._jobs.popleft()
        except IndexError:
            return False
        try:
            job()
        except Exception as error:  # noqa: BLE001 - whatever fails must not stop the others
            self._failed(error)
        return True

    def _failed(self, error: Exception) -> None:
        self.failed_total += 1
        # Its text may hold what a user wrote.
        logger.error("feedback: a job failed (%s)", type(error).__name__)


_workers: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _after_fork() -> None:
    for worker in list(_workers):
        worker.begin_anew_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
