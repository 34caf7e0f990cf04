"""How many bytes of messages are being read at once, by all callers together.

A message that has arrived waits, unread, until those before it are done with; where too many
already wait, it is turned away, to be sent again.
"""

import asyncio
from collections import deque

from remora_aggregator.service.rates import RateLimited

_RETRY_S = 1.0


class Flight:
    """Bounds the bytes of messages that were received and are not done with.

    Attributes:
        held_bytes: Of all of them, those that wait included.
    """

    def __init__(self, most_bytes: int) -> None:
        """Take how many may be read at once; as many again may wait."""
        self._most_bytes = most_bytes
        self._read_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held_bytes = 0

    async def take_off(self, size: int) -> None:
        """Wait until a message of a size may be read; `land` says that it is done with.

        Who asks for none waits until those before it had their turn, and is never turned away.

        Raises:
            RateLimited: Too much waits already.
        """
        if size and self.held_bytes and self.held_bytes + size > 2 * self._most_bytes:
            text = "the aggregator is busy with larger messages: send it again"
            raise RateLimited(text, _RETRY_S)
        self.held_bytes += size
        if not self._waiting and self._has_room(size):
            self._read_bytes += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(size, turn)
            raise

    def land(self, size: int) -> None:
        """Make room for the next."""
        self.held_bytes -= size
        self._read_bytes -= size
        self._go_on()

    def _has_room(self, size: int) -> bool:
        # One that is larger than all the room goes alone.
        return not self._read_bytes or self._read_bytes + size <= self._most_bytes

    def _give_up(self, size: int, turn: asyncio.Future[None]) -> None:
        if not turn.cancelled():
            self.land(size)  # its turn had come already
            return
        self.held_bytes -= size
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif self._has_room(size):
                self._waiting.popleft()
                self._read_bytes += size
                turn.set_result(None)
            else:
                return
