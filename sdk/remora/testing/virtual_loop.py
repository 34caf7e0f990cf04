"""An event loop whose time passes only while nothing else happens.

Sockets and threads are real: while bytes move and threads work, its clock stands still; when
all is quiet it jumps to the next timer. Tests measure in it how long a program waits, not how
fast the machine is.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

QUIET_S = 0.005
"""Real seconds without any event after which nothing is thought to be under way."""


class _Selector(selectors.DefaultSelector):
    """Waits a moment for events; where none come, lets virtual time pass instead."""

    passed_s = 0.0
    busy_threads = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        events = super().select(QUIET_S)
        if not events and timeout is not None and not self.busy_threads:
            self.passed_s += timeout
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Give it to `asyncio.Runner` as its ``loop_factory``."""

    def __init__(self) -> None:
        """Start at time 0."""
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def run_in_executor[*Ts, T](
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Do work in a thread; no time passes until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.busy_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._virtual.busy_threads -= 1

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncio's own signature
    ) -> None:
        """End the threads; no time passes until they have ended."""
        self._virtual.busy_threads += 1
        try:
            await super().shutdown_default_executor(timeout)
        finally:
            self._virtual.busy_threads -= 1

    def time(self) -> float:
        """Seconds that have passed, in the loop's own time."""
        return self._virtual.passed_s
