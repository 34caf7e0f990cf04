"""Accepts connections for an aiohttp server and bounds each: TLS, heads, and how many there are.

aiohttp's own sites accept as many as come, and wait for a head as long as for the next request.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from aiohttp import web

from remora.http_listening.connections import Connections, Place
from remora.http_listening.sockets import address_of, bound, path_in
from remora.task_owner import TaskOwner

logger = logging.getLogger(__name__)

_MOST_LINE_BYTES: Final = 16 * 1024
_MOST_HEADERS: Final = 64
_LINGER_S: Final = 2.0
_PAUSE_S: Final = 0.5
_ACCEPTED_AT_ONCE: Final = 64

_QUIET: Final = logging.getLogger(f"{__name__}.aiohttp")
_QUIET.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a listener waits for a client.

    Attributes:
        handshake_s: For TLS.
        head_s: For the head of a request, from its first byte or the connection's beginning on.
        idle_s: For another request on a connection.
    """

    handshake_s: float
    head_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Served:
    """What a listener serves.

    Attributes:
        server: What answers.
        connections: Where each connection has its place.
        patience: How long clients are waited for.
        unreadable: Makes the answer to what is no HTTP, of its status; it repeats nothing of it.
    """

    server: web.Server
    connections: Connections
    patience: Patience
    unreadable: Callable[[int], web.Response]


class BoundedHandler(web.RequestHandler):
    """A connection that has a place, and whose heads have to come in time."""

    __slots__ = ("_head_due", "_served", "place")

    def __init__(self, served: Served, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        """Take what is served, and the place that was taken when the connection was accepted."""
        super().__init__(
            served.server,
            loop=loop,
            keepalive_timeout=served.patience.idle_s,
            lingering_time=_LINGER_S,
            max_line_size=_MOST_LINE_BYTES,
            max_headers=_MOST_HEADERS,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # it may be off
            logger=_QUIET,
        )
        self.place = place
        self._served = served
        self._head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        # What was accepted from a socket is a transport that can be aborted.
        self.place.transport = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        if not self._served.connections.stands(self.place):
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
        self._served.connections.leave(self.place)

    def _expect_head(self) -> None:
        if self._head_due is None and self.place.transport is not None:
            loop = asyncio.get_running_loop()
            self._head_due = loop.call_later(self._served.patience.head_s, self.place.abort)

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
        """Answer what can't be read, and end the connection."""
        del exc, message
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer = self._served.unreadable(status)
        answer.force_close()
        return answer


def connection_of(request: web.Request) -> BoundedHandler:
    """Give the connection that a request came by."""
    return cast(BoundedHandler, request.protocol)


class Listener:
    """One listening socket.

    Attributes:
        address: Where it listens, with the port that was found for port 0.
    """

    def __init__(self, served: Served, listen: str, tls: ssl.SSLContext | None) -> None:
        """Bind; `start` accepts.

        Args:
            served: What is served.
            listen: As `bound` takes it.
            tls: None: without.

        Raises:
            OSError: It can't be listened there.
        """
        self._served = served
        self._tls = tls
        self._socket = bound(listen)
        self._path = path_in(listen)
        self._tasks = TaskOwner("listener")
        self._resume: asyncio.TimerHandle | None = None
        self.address = address_of(listen, self._socket)

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
        if self._path is not None:
            self._path.unlink(missing_ok=True)

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
            if not self._served.connections.enter(place):
                accepted.close()
                continue
            place.opening = self._tasks.spawn(self._open(accepted, place), name="open")
            place.opening.add_done_callback(partial(self._opened, place, accepted))

    def _opened(self, place: Place, accepted: socket.socket, _: asyncio.Task[None]) -> None:
        """Free what a connection held that did not get through, or was given up before it began."""
        if place.transport is None:
            accepted.close()
            self._served.connections.leave(place)

    def _pause(self, error: OSError) -> None:
        """Leave off for a moment: there is no file descriptor left, or the like."""
        logger.warning("no connection to %s can be accepted: %s", self.address, error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._resume = loop.call_later(_PAUSE_S, self.start)

    async def _open(self, accepted: socket.socket, place: Place) -> None:
        loop = asyncio.get_running_loop()
        handler = BoundedHandler(self._served, place, loop)
        patience = {
            "ssl_handshake_timeout": self._served.patience.handshake_s,
            "ssl_shutdown_timeout": _LINGER_S,
        }
        try:
            await loop.connect_accepted_socket(
                lambda: handler, accepted, ssl=self._tls, **(patience if self._tls else {})
            )
        except OSError as error:
            logger.debug("a client speaks no TLS, or took too long: %s", error)
