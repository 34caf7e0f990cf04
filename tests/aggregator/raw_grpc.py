"""A gRPC client that writes its own frames: what no library would send, and nothing it need not."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import h2.config
import h2.connection
import h2.events


@dataclass
class RawCall:
    """One connection with one call on it.

    Attributes:
        trailers: What the server ended the call with; empty while it has not.
        body: What it answered.
        is_cut: The connection, or the call, was broken off.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    h2: h2.connection.H2Connection
    stream: int = 1
    trailers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_cut: bool = False

    @classmethod
    async def begin(
        cls, address: str, method: str, *, headers: Mapping[str, str] | None = None
    ) -> Self:
        """Connect in the clear and send a call's head, and no message."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        made = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        made.initiate_connection()
        call = cls(reader, writer, made, made.get_next_available_stream_id())
        head = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": address,
            "te": "trailers",
            "content-type": "application/grpc",
        }
        made.send_headers(call.stream, [*head.items(), *(headers or {}).items()])
        await call.flush()
        return call

    async def flush(self) -> None:
        """Send what is to be sent."""
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        """Send bytes of messages as fast as the server takes them, until it ends the call."""
        while data and not self.is_over:
            room = min(
                self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size
            )
            if room <= 0:
                await self.hear()
                continue
            self.h2.send_data(self.stream, data[:room])
            data = data[room:]
            await self.flush()

    @property
    def is_over(self) -> bool:
        """Whether the server ended the call."""
        return bool(self.trailers) or self.is_cut

    async def hear(self) -> None:
        """Take in what the server sends next."""
        data = await self.reader.read(65_536)
        if not data:
            self.is_cut = True
            return
        self._take(self.h2.receive_data(data))
        await self.flush()

    async def ended(self) -> dict[str, str]:
        """Wait for the end of the call; gives its trailers, none where it was cut."""
        while not self.is_over:
            await self.hear()
        return self.trailers

    def _take(self, events: Iterable[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self.body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, self.stream)
            elif isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
                found = dict(event.headers)
                if "grpc-status" in found:
                    self.trailers = found
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                self.is_cut = True

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


def prefix(size: int, *, compressed: bool = False) -> bytes:
    """Announce a message of a size."""
    return bytes([compressed]) + size.to_bytes(4, "big")
