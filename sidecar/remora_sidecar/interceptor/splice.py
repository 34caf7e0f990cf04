"""Joins the two sides of a relayed connection, past mitmproxy's layers.

Once a connection is a relay that nobody reads or counts, its chunks need no layer: each
goes from one socket's callback straight to the other socket. Ends and errors still go the
old way, so that half-closed connections and cleaning up stay in one place.
"""

import asyncio
from collections.abc import Callable


class Splice(asyncio.Protocol):
    """Takes over one side's transport from its stream reader; the other side is written to."""

    def __init__(
        self,
        source: asyncio.Transport,
        sink: asyncio.Transport,
        reader: asyncio.BaseProtocol,
        active: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            source: Whose bytes arrive here.
            sink: Where they go.
            reader: The source's protocol until now; it still learns of ends and of pauses.
            active: Called for each chunk, for whoever watches for silence.
        """
        self._source = source
        self._sink = sink
        self._reader = reader
        self._active = active

    def data_received(self, data: bytes) -> None:
        """Pass a chunk on."""
        self._active()
        if not self._sink.is_closing():
            self._sink.write(data)

    def eof_received(self) -> bool | None:
        """The source sends no more; its reader's owner ends the sink's direction."""
        assert isinstance(self._reader, asyncio.Protocol)  # noqa: S101 - a stream's protocol
        return self._reader.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The source is gone."""
        if not self._sink.is_closing():
            self._sink.resume_reading()
        self._reader.connection_lost(exc)

    def pause_writing(self) -> None:
        """The source's own write buffer is full: the other side must wait."""
        self._reader.pause_writing()
        self._sink.pause_reading()

    def resume_writing(self) -> None:
        """There is room again."""
        self._reader.resume_writing()
        if not self._sink.is_closing():
            self._sink.resume_reading()


def splice(source: asyncio.Transport, sink: asyncio.Transport, active: Callable[[], None]) -> None:
    """Send what arrives at the source to the sink, from now on.

    The source's reader must hold no bytes: they would be overtaken.
    """
    reader = source.get_protocol()
    if not isinstance(reader, Splice):
        source.set_protocol(Splice(source, sink, reader, active))
