"""Pauses between tries, each up to twice as long as the one before it. Pure."""

from collections.abc import Callable

_FIRST_S = 0.2


class Pauses:
    """Says how long to wait before the next try."""

    def __init__(self, jitter: Callable[[], float], *, longest_s: float) -> None:
        """Stand before the first pause.

        Args:
            jitter: Between 0 and 1: which part of a pause is taken from it.
            longest_s: What pauses grow to.
        """
        self._jitter = jitter
        self._longest_s = longest_s
        self._pause_s = _FIRST_S

    def begin_anew(self) -> None:
        """Let the next pause be a short one: a try went well."""
        self._pause_s = _FIRST_S

    def next_s(self) -> float:
        """Say how long to wait: half the pause, and a random part of the other half."""
        pause_s = self._pause_s * (1 + self._jitter()) / 2
        self._pause_s = min(self._pause_s * 2, self._longest_s)
        return pause_s
