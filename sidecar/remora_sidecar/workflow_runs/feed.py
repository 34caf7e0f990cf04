"""What a run tells while it goes on, for whoever follows it, from its beginning or from later."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, NamedTuple

OVER: Final = 0
"""The life of a run that was over before the process began: little of it is told again."""


class Told(NamedTuple):
    """One event.

    Attributes:
        number: From 1.
        value: As streams carry it.
    """

    number: int
    value: Mapping[str, Any]


class Feed:
    """The events of one run; used on one event loop.

    Attributes:
        life: Of the run: after a restart its events are numbered anew.
        followers: How many follow it now.
    """

    def __init__(self, life: int = 1) -> None:
        """Begin with nothing told."""
        self.life = life
        self.followers = 0
        self._events: list[Told] = []
        self._is_closed = False
        self._changed = asyncio.Event()

    def tell(self, value: Mapping[str, Any]) -> None:
        """Add an event."""
        self._events.append(Told(len(self._events) + 1, value))
        self._wake()

    def close(self) -> None:
        """Say that nothing follows."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def over(self) -> None:
        """Wait until nothing follows."""
        async for _ in self.follow(len(self._events)):
            pass

    def id_of(self, told: Told) -> str:
        """Name an event, for who wants to go on after it."""
        return f"{self.life}-{told.number}"

    @property
    def is_closed(self) -> bool:
        """Whether nothing follows: the run is over, or the sidecar stops."""
        return self._is_closed

    def number_of(self, event_id: str) -> int:
        """Return the number of the event that an id names; 0 if it is none of this life."""
        life, _, number = event_id.partition("-")
        is_known = life == str(self.life) and number.isascii() and number.isdigit()
        return int(number) if is_known and len(number) < 10 else 0

    async def follow(
        self, after: int = 0, beat_s: float | None = None
    ) -> AsyncGenerator[Told | None]:
        """Give the events after a number, and those that come, until nothing follows.

        Args:
            after: Number of the last event that is known.
            beat_s: None is given after so long without an event; None: never.
        """
        self.followers += 1
        try:
            while True:
                changed = self._changed
                for told in self._events[after:]:
                    after = told.number
                    yield told
                if changed.is_set():
                    continue
                if self._is_closed:
                    return
                try:
                    async with asyncio.timeout(beat_s):
                        await changed.wait()
                except TimeoutError:
                    yield None
        finally:
            self.followers -= 1
