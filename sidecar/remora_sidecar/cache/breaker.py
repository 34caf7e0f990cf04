"""Whether it is worth asking somebody who did not answer. Pure: time is an argument."""

FIRST_S = 1.0
MOST_S = 30.0


class Breaker:
    """Open after one failure, for a time that doubles with each probe that fails.

    What it guards is worth little, so one failure is enough, and it closes only by a probe that
    succeeded: no call is ever the one that finds out.
    """

    def __init__(self, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        """Stand closed."""
        self._first_s = first_s
        self._most_s = most_s
        self._pause_s = first_s
        self._probe_at_s: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether calls may go through."""
        return self._probe_at_s is None

    def fail(self, now_s: float) -> None:
        """Open; of calls that fail together only the first counts."""
        if self._probe_at_s is None:
            self._probe_at_s = now_s + self._pause_s

    def probe(self, now_s: float) -> bool:
        """Tell whether to probe now; the next probe is then due later."""
        if self._probe_at_s is None or now_s < self._probe_at_s:
            return False
        self._pause_s = min(self._pause_s * 2, self._most_s)
        self._probe_at_s = now_s + self._pause_s
        return True

    def succeed(self) -> None:
        """Close."""
        self._probe_at_s = None
        self._pause_s = self._first_s
