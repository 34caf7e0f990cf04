"""A network that fails: a TCP relay whose connections are stalled, cut, refused or swallowed."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from remora.pauses import first_of

_CHUNK_BYTES = 64 * 1024

type Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def to_tcp(address: Callable[[], str]) -> Dial:
    """Dial what an address is at the moment."""

    async def dial():
        host, _, port = address().rpartition(":")
        return await asyncio.open_connection(host, int(port))

    return dial


def to_unix(path: str) -> Dial:
    """Dial a Unix socket."""
    return lambda: asyncio.open_unix_connection(path)


class Relay:
    """Passes bytes on, both ways, from a port that stays to a server that comes and goes.

    Attributes:
        port: Where it listens.
        cuts: How many connections it has cut.
    """

    def __init__(self, dial: Dial) -> None:
        """Take how to reach the server; made by `relaying`."""
        self.port = 0
        self.cuts = 0
        self._dial = dial
        self._pairs: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._takes = True

    @property
    def address(self) -> str:
        """What clients dial."""
        return f"127.0.0.1:{self.port}"

    def cut(self, chance: random.Random, part: float) -> None:
        """Cut some of the connections, in the middle of whatever they carry."""
        for pair in list(self._pairs):
            if chance.random() < part:
                self.cuts += 1
                pair.cancel()

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        """Pass nothing on meanwhile; bytes wait in sockets, as in a network that is jammed."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @asynccontextmanager
    async def parted(self) -> AsyncIterator[None]:
        """Cut everything, and take nobody meanwhile."""
        self._takes = False
        self.cut(random.Random(0), 1.1)  # noqa: S311 - all of them
        try:
            yield
        finally:
            self._takes = True

    async def taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        try:
            if self._takes:
                await self._carried(reader, writer)
        finally:
            self._pairs.discard(task)
            _reset(writer)

    async def _carried(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await self._dial()
            try:
                await first_of(self._way(reader, far_writer), self._way(far_reader, writer))
            finally:
                _reset(far_writer)

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()

    async def close(self) -> None:
        """End every connection, and wait for that."""
        for pair in list(self._pairs):
            pair.cancel()
        while self._pairs:
            await asyncio.wait(self._pairs)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close without the courtesy of sending what is left."""
    writer.transport.abort()


@asynccontextmanager
async def relaying(dial: Dial) -> AsyncIterator[Relay]:
    """Listen on a free port of loopback."""
    relay = Relay(dial)
    server = await asyncio.start_server(relay.taken, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.close()
