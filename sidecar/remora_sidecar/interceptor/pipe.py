"""A connection within the process: two transports, each the other's far end.

Behaves as a socket pair would, without the system calls: what one end writes the other's protocol
gets in the next turn of the loop, all of one turn's at once, in the order written, unless it asked
to get it at once; an end that reads no more makes the other one wait; a closed end looks closed
from the other side.
"""

import asyncio
from collections.abc import Callable

HIGH_WATER_BYTES = 64 * 1024
"""What may wait for an end that does not read before the other is told to pause."""


class PipeEnd(asyncio.Transport):
    """One end; made by `pipe` alone."""

    def __init__(
        self,
        protocol: asyncio.Protocol,
        loop: asyncio.AbstractEventLoop,
        before: Callable[[], None],
        *,
        at_once: bool,
    ) -> None:
        """Take whoever reads here, and what to call before; `join` comes before any byte.

        Args:
            protocol: Reads here.
            loop: The running one.
            before: Called each time before bytes or their end are given.
            at_once: Bytes are given from within the write, if nothing waits before them.
        """
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._before = before
        self._at_once = at_once
        self._far: PipeEnd = self
        self._reading = True
        self._closing = False
        self._eof_written = False
        self._writing_paused = False
        self._woken = False
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._end_waits = False
        self._reset = False

    def join(self, far: "PipeEnd") -> None:
        """Take the other end."""
        self._far = far

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Give whoever reads here."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another one read here."""
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101 - no other takes bytes
        self._protocol = protocol

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give bytes to the far end; if that is closed, they are dropped and this end is lost."""
        if not data or self._closing or self._eof_written:
            return
        far = self._far
        if far._closing:
            self._lose(ConnectionResetError("the other end is closed"))
        else:
            far._take(bytes(data))

    def can_write_eof(self) -> bool:
        """Either direction may end alone."""
        return True

    def write_eof(self) -> None:
        """End this direction; the far end learns of it behind the bytes."""
        if not (self._closing or self._eof_written):
            self._eof_written = True
            self._far._end_comes()

    def get_write_buffer_size(self) -> int:
        """Count the bytes that the far end has not taken."""
        return self._far._waiting_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Give the low and the high mark."""
        return (0, HIGH_WATER_BYTES)

    # Reading.

    def is_reading(self) -> bool:
        """Whether bytes are taken here."""
        return self._reading

    def pause_reading(self) -> None:
        """Take no bytes until further notice."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take what waits, but not from within this call."""
        if not self._reading:
            self._reading = True
            if self._waiting or self._end_waits:
                self._wake()

    def _take(self, data: bytes) -> None:
        if self._at_once and self._reading and not self._woken:
            self._before()
            self._give(data)
        else:
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._wake()
        if self._waiting_bytes > HIGH_WATER_BYTES:
            self._far._pause_writing()

    def _wake(self) -> None:
        if self._reading and not self._woken:
            self._woken = True
            self._loop.call_soon(self._take_waiting)

    def _take_waiting(self) -> None:
        self._woken = False
        if self._closing or not self._reading:
            return
        self._before()
        if self._waiting:
            data = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            self._far._resume_writing()
            self._give(data)
        if self._end_waits and self._reading and not self._waiting:
            self._end_waits = False
            self._end()

    def _give(self, data: bytes) -> None:
        try:
            self._protocol.data_received(data)
        except Exception:  # a bug must not leave a connection that hangs
            self.abort()
            raise

    def _end_comes(self) -> None:
        self._end_waits = True
        self._wake()

    def _end(self) -> None:
        if self._reset:
            self._lose(ConnectionResetError("the other end was aborted"))
        elif not self._protocol.eof_received():
            self.close()

    def _pause_writing(self) -> None:
        if not (self._writing_paused or self._closing):
            self._writing_paused = True
            self._protocol.pause_writing()

    def _resume_writing(self) -> None:
        if self._writing_paused and not self._closing:
            self._writing_paused = False
            self._protocol.resume_writing()

    # Ending.

    def is_closing(self) -> bool:
        """Whether this end was closed."""
        return self._closing

    def close(self) -> None:
        """Close this end; what was written still reaches the far one, and then its end."""
        if self._closing:
            return
        self._lose(None)
        if not self._eof_written:
            self._eof_written = True
            self._far._end_comes()

    def abort(self) -> None:
        """Close this end; the far one still gets what was written, and then a reset for an end."""
        if not self._closing:
            self._lose(None)
        self._far._reset = True
        self._far._end_comes()

    def _lose(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._far._resume_writing()  # what it still writes is dropped, and has room enough
        self._loop.call_soon(self._protocol.connection_lost, error)


def _nothing() -> None:
    pass


def pipe(
    near: asyncio.Protocol,
    far: asyncio.Protocol,
    before_near: Callable[[], None] = _nothing,
    *,
    far_at_once: bool = False,
) -> tuple[PipeEnd, PipeEnd]:
    """Connect two protocols of the running loop; both know it when this returns.

    Args:
        near: One of them.
        far: The other.
        before_near: Called each time before ``near`` gets bytes or their end.
        far_at_once: Give ``far`` bytes from within the write, unless it does not read just now:
            for a writer whom ``far`` never calls, and who is himself called for each chunk.
    """
    loop = asyncio.get_running_loop()
    ends = (
        PipeEnd(near, loop, before_near, at_once=False),
        PipeEnd(far, loop, _nothing, at_once=far_at_once),
    )
    for end, other in (ends, ends[::-1]):
        end.join(other)
    for end in ends:
        end.get_protocol().connection_made(end)
    return ends
