"""Joins the two sides of a connection, past mitmproxy's layers.

Once bytes only pass, as they are or through a TLS session, their chunks need no layer: each
goes from one socket's callback straight to the other socket. Ends and errors still go the
old way, so that half-closed connections and cleaning up stay in one place.
"""

import asyncio
from collections.abc import Callable

Through = Callable[[bytes], bytes]
"""What becomes of a chunk on its way; nothing may, for now."""


class Side(asyncio.Protocol):
    """Stands before one side's stream reader and keeps the other side from outrunning it."""

    def __init__(self, own: asyncio.Transport, other: asyncio.Transport) -> None:
        """Take the place of the side's protocol, which still learns of ends and of pauses."""
        self._other = other
        self._active: Callable[[], None] | None = None
        self._through: Through | None = None
        protocol = own.get_protocol()
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101 - a stream's protocol
        self._reader = protocol
        own.set_protocol(self)

    def pass_on(self, active: Callable[[], None], through: Through | None) -> None:
        """Send what arrives to the other side, from now on; call ``active`` for each chunk."""
        self._active = active
        self._through = through

    @property
    def passes_on(self) -> bool:
        """Whether what arrives goes to the other side."""
        return self._active is not None

    def data_received(self, data: bytes) -> None:
        """Pass a chunk on, or leave it to the reader."""
        if self._active is None:
            self._reader.data_received(data)
            return
        self._active()
        if self._through is not None:
            data = self._through(data)
        if data and not self._other.is_closing():
            self._other.write(data)

    def eof_received(self) -> bool | None:
        """The side sends no more; its reader's owner ends the other side's direction."""
        return self._reader.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The side is gone."""
        self._let_other_send()
        self._reader.connection_lost(exc)

    def pause_writing(self) -> None:
        """The side's write buffer is full: the other side must wait."""
        self._reader.pause_writing()
        if self._is_fed_by_other():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        """There is room again."""
        self._reader.resume_writing()
        self._let_other_send()

    def _let_other_send(self) -> None:
        if self._is_fed_by_other() and not self._other.is_closing():
            self._other.resume_reading()

    def _is_fed_by_other(self) -> bool:
        """Whether the other side passes on; else its reader alone may pause it."""
        protocol = self._other.get_protocol()
        return isinstance(protocol, Side) and protocol.passes_on


def splice(
    source: asyncio.Transport,
    sink: asyncio.Transport,
    active: Callable[[], None],
    through: Through | None = None,
) -> None:
    """Send what arrives at the source to the sink, from now on.

    The source's reader must hold no bytes: they would be overtaken.

    Args:
        source: Whose bytes arrive.
        sink: Where they go.
        active: Called for each chunk, for whoever watches for silence.
        through: Makes of each chunk what goes to the sink; None: it goes as it is.
    """
    _side(sink, source)
    _side(source, sink).pass_on(active, through)
    if sink.get_write_buffer_size() > sink.get_write_buffer_limits()[1]:
        source.pause_reading()


def _side(own: asyncio.Transport, other: asyncio.Transport) -> Side:
    protocol = own.get_protocol()
    return protocol if isinstance(protocol, Side) else Side(own, other)
