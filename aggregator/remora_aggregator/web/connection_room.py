"""How many connections stand at once, and which one goes to make room for another.

A thousand clients that connect and say nothing must not keep one out that asks something: when all
places are taken, whoever is idle longest goes. What is being answered stays.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

_LEAVE_S: Final = 2.0


class Closable(Protocol):
    """A connection, as far as it can be ended at once."""

    def abort(self) -> None:
        """End it."""
        ...


class ConnectionRoom:
    """Keeps account of the connections of one listener, by any key.

    Attributes:
        made_way: How many idle ones were ended to make room.
        turned_away: How many found no room at all.
        idle: Set while nothing is being answered.
    """

    def __init__(self, most: int) -> None:
        """Take how many may stand at once."""
        self.made_way = 0
        self.turned_away = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._empty = asyncio.Event()
        self._most = most
        # In the order in which they fell idle.
        self._idle: dict[object, Closable] = {}
        self._busy: dict[object, Closable] = {}

    def __len__(self) -> int:
        """How many stand."""
        return len(self._idle) + len(self._busy)

    def enter(self, key: object, connection: Closable) -> bool:
        """Let a connection in, at the cost of an idle one if need be; False: there is no room."""
        if len(self) >= self._most and not self._make_room():
            self.turned_away += 1
            return False
        self._idle[key] = connection
        return True

    def _make_room(self) -> bool:
        if not self._idle:
            return False
        self._idle.pop(next(iter(self._idle))).abort()
        self.made_way += 1
        return True

    def become(self, key: object, now: object, connection: Closable) -> None:
        """Know a connection by another key, if it is still here; its place is the same."""
        if self._idle.pop(key, None) is not None:
            self._idle[now] = connection
        else:
            connection.abort()

    def leave(self, key: object) -> None:
        """Forget a connection that has ended."""
        self._idle.pop(key, None)
        self._busy.pop(key, None)
        if not len(self):
            self._empty.set()

    async def aclose(self) -> None:
        """End all that stand, and wait a moment until they have left."""
        self._empty.clear()
        for connection in [*self._idle.values(), *self._busy.values()]:
            connection.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S if len(self) else 0):
                await self._empty.wait()

    @contextmanager
    def busy(self, key: object) -> Iterator[None]:
        """Keep a connection while it is being answered."""
        connection = self._idle.pop(key, None)
        if connection is not None:
            self._busy[key] = connection
        self.idle.clear()
        try:
            yield
        finally:
            if (ended := self._busy.pop(key, None)) is not None:
                self._idle[key] = ended
            if not self._busy:
                self.idle.set()
