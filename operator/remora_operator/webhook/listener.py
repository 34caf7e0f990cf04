"""Accepts the webhook's connections and bounds each: TLS, heads, and how many there are.

aiohttp's own sites accept as many as come, and wait for a head as long as for the next request.
"""

import asyncio
import logging
import socket
import ssl
from functools import partial
from typing import Any, Final, cast

from aiohttp import web

from remora.tasks import TaskOwner
from remora_operator.webhook.bounds import Bounds
from remora_operator.webhook.connections import Connections, Place

logger = logging.getLogger(__name__)

_BACKLOG: Final = 128
_LINGER_S: Final = 2.0
_PAUSE_S: Final = 0.5
_ACCEPTED_AT_ONCE: Final = 64

_QUIET: Final = logging.getLogger(f"{__name__}.aiohttp")
_QUIET.setLevel(logging.CRITICAL)


class BoundedHandler(web.RequestHandler):
    """A connection that has a place, and whose heads have to come in time."""

    __slots__ = ("_connections", "_head_due", "_head_s", "place")

    def __init__(
        self,
        server: web.Server,
        place: Place,
        connections: Connections,
        bounds: Bounds,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Take what answers, and the place that was taken when the connection was accepted."""
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=bounds.idle_s,
            lingering_time=_LINGER_S,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # it may be off
            logger=_QUIET,
        )
        self.place = place
        self._connections = connections
        self._head_s = bounds.head_s
        self._head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        self.place.transport = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        if not self._connections.stands(self.place):
            self.place.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head that has begun, but not for ever."""
        if self._current_request is None:
            self._expect_head()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave the place."""
        self.head_came()
        super().connection_lost(exc)
        self._connections.leave(self.place)

    def _expect_head(self) -> None:
        if self._head_due is None and self.place.transport is not None:
            loop = asyncio.get_running_loop()
            self._head_due = loop.call_later(self._head_s, self.place.abort)

    def head_came(self) -> None:
        """Wait for no head any more: a request is being answered."""
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP; nothing of it is repeated."""
        del exc, message
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        headers = {"Server": "remora"}
        answer = web.Response(status=status, text="this is not a request\n", headers=headers)
        answer.force_close()
        return answer


class Listener:
    """One listening socket.

    Attributes:
        address: Where it listens, with the port that was found for port 0.
    """

    def __init__(
        self,
        server: web.Server,
        connections: Connections,
        bounds: Bounds,
        listen: str,
        tls: ssl.SSLContext,
    ) -> None:
        """Bind; `start` accepts.

        Raises:
            OSError: It can't be listened there.
        """
        self._server = server
        self._connections = connections
        self._bounds = bounds
        self._tls = tls
        self._socket = _bound(listen)
        self._tasks = TaskOwner("webhook")
        self._resume: asyncio.TimerHandle | None = None
        self.address = f"{listen.rpartition(':')[0]}:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Begin to accept."""
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    async def aclose(self) -> None:
        """Accept no more, and give up what has not got through TLS yet."""
        asyncio.get_running_loop().remove_reader(self._socket)
        if self._resume is not None:
            self._resume.cancel()
        self._socket.close()
        await self._tasks.aclose()

    def _accept(self) -> None:
        """Accept some of those that wait; the loop calls again for others."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            accepted.setblocking(False)
            place = Place()
            if not self._connections.enter(place):
                accepted.close()
                continue
            place.opening = self._tasks.spawn(self._open(accepted, place), name="open")
            place.opening.add_done_callback(partial(self._opened, place, accepted))

    def _opened(self, place: Place, accepted: socket.socket, _: asyncio.Task[None]) -> None:
        """Free what a connection held that did not get through TLS."""
        if place.transport is None:
            accepted.close()
            self._connections.leave(place)

    def _pause(self, error: OSError) -> None:
        """Leave off for a moment: there is no file descriptor left, or the like."""
        logger.warning("connections of the webhook can't be accepted: %s", error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._resume = loop.call_later(_PAUSE_S, self.start)

    async def _open(self, accepted: socket.socket, place: Place) -> None:
        loop = asyncio.get_running_loop()
        handler = BoundedHandler(self._server, place, self._connections, self._bounds, loop)
        try:
            await loop.connect_accepted_socket(
                lambda: handler,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._bounds.handshake_s,
                ssl_shutdown_timeout=_LINGER_S,
            )
        except OSError as error:
            logger.debug("a client speaks no TLS, or took too long: %s", error)


def _bound(listen: str) -> socket.socket:
    """Bind to ``host:port``; ``[::]`` takes IPv4 as well, where the machine has both."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    both = host == "::" and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address: Any = (host, int(port))
    made = socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    made.setblocking(False)
    return made
