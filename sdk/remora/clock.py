"""Time as an input, so that what decides by the clock can be tested without waiting."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where code that decides by time takes it from."""

    def now_unix_ns(self) -> int:
        """Wall-clock time in nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # The functions themselves: they are called several times for every event of a stream.
    now_unix_ns = staticmethod(time.time_ns)
    monotonic_s = staticmethod(time.monotonic)
