"""Waiting, for those who try again until they are told to stop."""

import asyncio
from collections.abc import Awaitable, Callable

type Sleep = Callable[[float], Awaitable[None]]

FIRST_S = 0.2
LONGEST_S = 30.0


class GrowingPause:
    """Pauses between tries, each up to twice as long as the one before it."""

    def __init__(self, jitter: Callable[[], float], *, longest_s: float = LONGEST_S) -> None:
        """Stand before the first pause.

        Args:
            jitter: Between 0 and 1: which part of a pause is taken from it.
            longest_s: What pauses grow to.
        """
        self._jitter = jitter
        self._longest_s = longest_s
        self._pause_s = FIRST_S

    def begin_anew(self) -> None:
        """Let the next pause be a short one: a try went well."""
        self._pause_s = FIRST_S

    def next_s(self) -> float:
        """Say how long to wait before the next try: half the pause, and a random part of it."""
        pause_s = self._pause_s * (1 + self._jitter()) / 2
        self._pause_s = min(self._pause_s * 2, self._longest_s)
        return pause_s


async def first_of(*waits: Awaitable[object]) -> None:
    """Wait until one of them is over; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
