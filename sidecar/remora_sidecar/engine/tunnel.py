"""What follows a 101 answer: bytes both ways, untouched, until either end closes."""

import asyncio
from collections.abc import Callable
from enum import Enum

from aiohttp import ClientError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.web_protocol import RequestHandler

from remora.task_owner import TaskOwner

Watch = Callable[[bytes], None]
"""Sees each piece before it is sent on."""

_HIGH_WATER_BYTES = 256 * 1024


class End(Enum):
    """An end of a tunnel."""

    AGENT = "agent"
    PROVIDER = "provider"


class _Source:
    """Takes an upgraded connection's bytes, as aiohttp's parser interface gives them."""

    def __init__(self, protocol: BaseProtocol, watch: Watch) -> None:
        self._protocol = protocol
        self._watch = watch
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._queued = 0
        self._paused = False
        self.ended = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Keep bytes for the pump; pauses reading while too many wait."""
        self._watch(data)
        self._queued += len(data)
        self._queue.put_nowait(bytes(data))
        if self._queued > _HIGH_WATER_BYTES and not self._paused and self._protocol.transport:
            self._paused = True
            self._protocol.transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """The connection ended."""
        self.ended = True
        self._queue.put_nowait(None)

    async def pump(self, sink: BaseProtocol) -> None:
        """Write to the other end, no faster than it reads."""
        while (data := await self._queue.get()) is not None:
            if sink.transport is None:
                return
            sink.transport.write(data)
            try:
                await sink._drain_helper()
            except (ClientError, ConnectionError):
                return
            self._written(len(data))

    def _written(self, count: int) -> None:
        self._queued -= count
        if self._paused and self._queued < _HIGH_WATER_BYTES // 2 and self._protocol.transport:
            self._paused = False
            self._protocol.transport.resume_reading()


class Tunnel:
    """Relays an upgraded connection, such as a WebSocket."""

    def __init__(self, agent: RequestHandler, provider: ResponseHandler) -> None:
        """Take both ends."""
        self._agent = agent
        self._provider = provider

    async def run(self, from_agent: Watch, from_provider: Watch) -> End:
        """Relay until either end closes; the watches see each piece before it is sent on.

        Returns:
            The end that closed.
        """
        agent = _Source(self._agent, from_agent)
        provider = _Source(self._provider, from_provider)
        # aiohttp types the parser as its own WebSocketReader, and needs only this interface.
        self._agent.set_parser(agent)  # type: ignore[arg-type]
        self._provider.set_parser(provider, None)
        tasks = TaskOwner("tunnel")
        pumps = [
            tasks.spawn(agent.pump(self._provider), name="to provider"),
            tasks.spawn(provider.pump(self._agent), name="to agent"),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await tasks.aclose()
        return End.AGENT if agent.ended and not provider.ended else End.PROVIDER
