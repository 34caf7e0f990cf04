"""One answer of a provider that several identical calls wait for.

The call that asked writes into it, all of them read: each what has arrived so far, then what
comes. It lasts as long as anybody reads.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from remora.clock import Clock
from remora.records import CallRecord
from remora_sidecar.cache.entry import Chunk
from remora_sidecar.dialects.base import AnswerFacts
from remora_sidecar.engine.answer_sink import AnswerStart

READ_AHEAD_BYTES = 1024 * 1024
"""How far the slowest reader of an answer past the limit may be behind."""


class _State(Enum):
    WAITING = "waiting"
    BEGUN = "begun"
    WHOLE = "whole"
    CUT = "cut"
    FAILED = "failed"


class Leader(Protocol):
    """What is known of the call that asked, or will be; its `Recording`."""

    @property
    def call_id(self) -> str:
        """Its id."""
        ...

    @property
    def record(self) -> CallRecord | None:
        """What became of it; None until it is recorded."""
        ...

    @property
    def facts(self) -> AnswerFacts | None:
        """What its answer stated; None until it is recorded."""
        ...


class FlightReader:
    """One call's place in the answer."""

    def __init__(self, flight: "Flight") -> None:
        """Stand before the head."""
        self._flight = flight
        self.position = 0

    async def start(self) -> AnswerStart | None:
        """Wait for the head; None if there will be none."""
        flight = self._flight
        while flight.head is None and not flight.ended:
            await flight.changed()
        return flight.head

    async def until_whole(self) -> bool:
        """Wait for the end; False as soon as it is known not to come whole, or too large."""
        while self._flight.joinable and not self._flight.ended:
            await self._flight.changed()
        return self._flight.joinable and self._flight.is_whole

    async def chunk(self) -> bytes | None:
        """Wait for the next bytes; None after the last ones, or the cut."""
        flight = self._flight
        while True:
            if (data := flight.take(self)) is not None:
                return data
            if flight.ended:
                return None
            await flight.changed()

    @property
    def ready(self) -> bool:
        """Whether `chunk` would not wait."""
        return self._flight.ended or not self._flight.is_last(self.position)

    @property
    def at_end(self) -> bool:
        """Whether the bytes taken were the last of a whole answer."""
        return self._flight.is_whole and self._flight.is_last(self.position)


class Flight:
    """The answer as far as it has come; an `AnswerSink` for who carries it.

    Attributes:
        leader: The call that asked.
        head: Its head, once it came.
        joinable: A further call can still have all of it.
        abandoned: Called when the last reader has left before the end.
    """

    def __init__(self, leader: Leader, clock: Clock, limit_bytes: int) -> None:
        """Wait for the answer.

        Args:
            leader: The call that asked.
            clock: Times the pieces.
            limit_bytes: Up to this size all of it is kept until the end.
        """
        self.leader = leader
        self.abandoned: Callable[[], object] = lambda: None
        self.head: AnswerStart | None = None
        self.joinable = True
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._state = _State.WAITING
        self._chunks: deque[Chunk] = deque()
        self._dropped = 0
        self._held_bytes = 0
        self._last_s = clock.monotonic_s()
        self._readers: set[FlightReader] = set()
        self._waiting: set[asyncio.Future[None]] = set()

    # What the carrier does.

    def begin(self, start: AnswerStart) -> bool:
        """Take the head."""
        self.head = start
        self._state = _State.BEGUN
        self._wake()
        return True

    def write(self, chunk: bytes, *, last: bool = False) -> None:
        """Take the next bytes."""
        if chunk:
            now_s = self._clock.monotonic_s()
            self._chunks.append(Chunk(now_s - self._last_s, chunk))
            self._last_s = now_s
            self._held_bytes += len(chunk)
        if last:
            self._state = _State.WHOLE
        elif self._held_bytes > self._limit_bytes:
            self.joinable = False
            self._drop_read()
        self._wake()

    def flush(self) -> None:
        """Nothing waits here."""

    @property
    def congested(self) -> bool:
        """Whether an answer past the limit has to wait for its slowest reader."""
        return not self.joinable and self._held_bytes > READ_AHEAD_BYTES

    async def drain(self) -> None:
        """Wait for the slowest reader."""
        while self.congested and self._readers:
            await self.changed()

    def cut(self) -> None:
        """End as the provider did, in the middle."""
        self._end(_State.CUT)

    def fail(self) -> None:
        """End without an answer, unless it ended already."""
        if not self.ended:
            self._end(_State.CUT if self.head is not None else _State.FAILED)

    # What the readers do.

    def join(self) -> FlightReader:
        """Begin to read, from the first byte."""
        reader = FlightReader(self)
        self._readers.add(reader)
        return reader

    def leave(self, reader: FlightReader) -> None:
        """Stop reading."""
        self._readers.discard(reader)
        self._wake()
        if not self._readers and not self.ended:
            self.joinable = False
            self.abandoned()

    @property
    def readers(self) -> int:
        """How many calls read it."""
        return len(self._readers)

    def take(self, reader: FlightReader) -> bytes | None:
        """Give a reader all that it has not seen; None if there is nothing new."""
        index = reader.position - self._dropped
        if index >= len(self._chunks):
            return None
        chunk = self._chunks[index]
        reader.position += 1
        if not self.joinable:
            self._drop_read()
            self._wake()
        return chunk.data

    def is_last(self, position: int) -> bool:
        """Whether nothing follows a reader's position."""
        return position - self._dropped >= len(self._chunks)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._state in (_State.WHOLE, _State.CUT, _State.FAILED)

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer came."""
        return self._state is _State.WHOLE

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The whole body, if it was kept whole; else nothing."""
        return tuple(self._chunks) if self.joinable and self.is_whole else ()

    async def changed(self) -> None:
        """Wait until something happened."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def _end(self, state: _State) -> None:
        self._state = state
        self.joinable = False
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _drop_read(self) -> None:
        """Let go of what every reader has seen."""
        seen = min((reader.position for reader in self._readers), default=0)
        while self._dropped < seen and self._chunks:
            self._held_bytes -= len(self._chunks.popleft().data)
            self._dropped += 1
