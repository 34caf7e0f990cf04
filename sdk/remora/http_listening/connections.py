"""Which connections stand, and which one goes to make room for another.

A thousand clients that connect and say nothing must not keep one out that asks something: when all
places are taken, whoever is idle longest goes. What is being answered stays.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        made_way: How many idle ones were ended to make room.
        turned_away: How many found no room at all.
        nothing_asked: Set while nothing is being answered.
    """

    def __init__(self, most: int) -> None:
        """Take how many may stand at once."""
        self.made_way = 0
        self.turned_away = 0
        self.nothing_asked = asyncio.Event()
        self.nothing_asked.set()
        self._most = most
        self._idle: dict[Place, None] = {}  # in the order in which they fell idle
        self._busy: set[Place] = set()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        """How many stand."""
        return len(self._idle) + len(self._busy)

    def enter(self, place: Place) -> bool:
        """Let one in, at the cost of an idle one if need be; False: there is no room."""
        if len(self) >= self._most and not self._make_room():
            self.turned_away += 1
            return False
        self._idle[place] = None
        return True

    def _make_room(self) -> bool:
        if not self._idle:
            return False
        longest = next(iter(self._idle))
        del self._idle[longest]
        longest.abort()
        self.made_way += 1
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
        self.nothing_asked.clear()
        try:
            yield
        finally:
            if place in self._busy:
                self._busy.discard(place)
                self._idle[place] = None
            if not self._busy:
                self.nothing_asked.set()

    async def aclose(self) -> None:
        """End all that stand, and wait a moment until they have left."""
        self._empty.clear()
        for place in [*self._idle, *self._busy]:
            place.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S if len(self) else 0):
                await self._empty.wait()
