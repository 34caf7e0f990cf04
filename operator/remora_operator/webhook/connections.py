"""Which connections stand, and which one goes to make room for another.

Whoever connects and says nothing must not keep the API server out: when all places are taken,
the connection that is idle longest goes. What is being answered stays.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LEAVE_S: Final = 2.0


class Place:
    """One accepted connection, from its handshake to its end."""

    __slots__ = ("opening", "transport")

    def __init__(self) -> None:
        """Begin before the handshake."""
        self.opening: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()


class Connections:
    """The connections of one listener.

    Attributes:
        turned_away: How many found no room, or were ended to make some.
    """

    def __init__(self, most: int) -> None:
        """Take how many may stand at once."""
        self.turned_away = 0
        self._most = most
        self._idle: dict[Place, None] = {}  # in the order in which they fell idle
        self._busy: set[Place] = set()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        """How many stand."""
        return len(self._idle) + len(self._busy)

    def enter(self, place: Place) -> bool:
        """Let one in, at the cost of an idle one if need be; False: there is no room."""
        if len(self) >= self._most:
            self.turned_away += 1
            if not self._idle:
                return False
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.abort()
        self._idle[place] = None
        return True

    def stands(self, place: Place) -> bool:
        """Tell whether one still has its place."""
        return place in self._idle or place in self._busy

    def leave(self, place: Place) -> None:
        """Forget one that has ended."""
        self._idle.pop(place, None)
        self._busy.discard(place)
        if not len(self):
            self._empty.set()

    @contextmanager
    def busy(self, place: Place) -> Iterator[None]:
        """Keep one while it is being answered."""
        if place in self._idle:
            del self._idle[place]
            self._busy.add(place)
        try:
            yield
        finally:
            if place in self._busy:
                self._busy.discard(place)
                self._idle[place] = None

    async def aclose(self) -> None:
        """End all that stand, and wait a moment until they have left."""
        for place in [*self._idle, *self._busy]:
            place.abort()
        if not len(self):
            return
        self._empty.clear()
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._empty.wait()
        except TimeoutError:
            return
