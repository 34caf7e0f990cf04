"""A clock that moves only when told, for tests of what decides by time."""

NANOSECONDS = 1_000_000_000


class ManualClock:
    """Implements `remora.clock.Clock`; both of its clocks stand still between calls."""

    def __init__(
        self, unix_ns: int = 1_767_225_600 * NANOSECONDS, monotonic_s: float = 1_000.0
    ) -> None:
        """Start at a wall-clock time (default: 2026-01-01, UTC) and a monotonic one."""
        self._unix_ns = unix_ns
        self._monotonic_ns = round(monotonic_s * NANOSECONDS)

    def now_unix_ns(self) -> int:
        """The wall-clock time that the test set."""
        return self._unix_ns

    def monotonic_s(self) -> float:
        """The monotonic time that the test set."""
        return self._monotonic_ns / NANOSECONDS

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks.

        Raises:
            ValueError: The time is negative: a monotonic clock never goes back.
        """
        if seconds < 0:
            raise ValueError("time passes forward; use step_wall() to set the wall clock back")
        passed_ns = round(seconds * NANOSECONDS)
        self._unix_ns += passed_ns
        self._monotonic_ns += passed_ns

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does."""
        self._unix_ns += round(seconds * NANOSECONDS)
