"""Accepts connections for the HTTP application, and bounds what each may do.

aiohttp's own sites accept as many as come. What it calls keep-alive bounds also how long a client
may take for the head of a request.
"""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from aiohttp import web

from remora.tasks import TaskOwner
from remora_aggregator.web.connection_room import ConnectionRoom
from remora_aggregator.web.front import Bounds
from remora_aggregator.web.middleware import SECURITY_HEADERS, problem_answer
from remora_aggregator.web.problems import of_status

logger = logging.getLogger(__name__)

_BACKLOG: Final = 128
_MOST_LINE_BYTES: Final = 16 * 1024
_MOST_HEADERS: Final = 64
_LINGER_S: Final = 2.0
_PAUSE_S: Final = 0.5
_ACCEPTED_AT_ONCE: Final = 64
_UNIX: Final = "unix:"


class BoundedHandler(web.RequestHandler):
    """A connection that is known to the room, and answers what is no HTTP with a problem too."""

    __slots__ = ("_opening", "_room")

    def __init__(
        self,
        server: web.Server,
        room: ConnectionRoom,
        opening: "_Opening",
        bounds: Bounds,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Take what answers, and as what the connection is known in the room by now."""
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=bounds.idle_s,
            lingering_time=_LINGER_S,
            max_line_size=_MOST_LINE_BYTES,
            max_headers=_MOST_HEADERS,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # it may be off
            logger=_QUIET,
        )
        self._room = room
        self._opening = opening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the place that the connection has in the room."""
        super().connection_made(transport)
        self._opening.is_open = True
        # What was accepted from a socket is a transport that can be aborted.
        self._room.become(self._opening, self, cast(asyncio.Transport, transport))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave the room."""
        super().connection_lost(exc)
        self._room.leave(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what can't be read; nothing of it is repeated."""
        del exc, message
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer = problem_answer(of_status(status, {}))
        answer.headers.update(SECURITY_HEADERS)
        answer.force_close()
        return answer


_QUIET: Final = logging.getLogger(f"{__name__}.aiohttp")
_QUIET.setLevel(logging.CRITICAL)


class Listener:
    """One listening socket.

    Attributes:
        address: Where it listens, with the port that was found for port 0.
    """

    def __init__(
        self, server: web.Server, room: ConnectionRoom, bounds: Bounds, listen: str,
        context: ssl.SSLContext | None,
    ) -> None:  # fmt: skip
        """Bind; `start` accepts.

        Raises:
            OSError: It can't be listened there.
        """
        self._server = server
        self._room = room
        self._bounds = bounds
        self._context = context
        self._socket = bound(listen)
        self._tasks = TaskOwner("http")
        self._resume: asyncio.TimerHandle | None = None
        self._path = Path(listen.removeprefix(_UNIX)) if listen.startswith(_UNIX) else None
        self.address = listen if self._path else _address(listen, self._socket)

    def start(self) -> None:
        """Begin to accept."""
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    async def aclose(self) -> None:
        """Accept no more, and give up what has not got through TLS yet."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
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
            opening = _Opening(accepted, self._room)
            if self._room.enter(opening, opening):
                opening.task = self._tasks.spawn(self._open(opening), name="open")
                opening.task.add_done_callback(opening.ended)
            else:
                accepted.close()

    def _pause(self, error: OSError) -> None:
        """Leave off for a moment: there is no file descriptor left, or the like."""
        logger.warning("HTTP connections can't be accepted: %s", error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._resume = loop.call_later(_PAUSE_S, self.start)

    async def _open(self, opening: "_Opening") -> None:
        loop = asyncio.get_running_loop()
        handler = BoundedHandler(self._server, self._room, opening, self._bounds, loop)
        patience = {
            "ssl_handshake_timeout": self._bounds.handshake_s,
            "ssl_shutdown_timeout": _LINGER_S,
        }
        try:
            await loop.connect_accepted_socket(
                lambda: handler,
                opening.socket,
                ssl=self._context,
                **(patience if self._context else {}),
            )
        except OSError as error:
            logger.debug("a client speaks no TLS, or took too long: %s", error)


class _Opening:
    """A connection that was accepted and is not through TLS yet."""

    def __init__(self, accepted: socket.socket, room: ConnectionRoom) -> None:
        self.socket = accepted
        self.task: asyncio.Task[None] | None = None
        self.is_open = False
        self._room = room

    def abort(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def ended(self, _: asyncio.Task[None]) -> None:
        """Close what did not get through, even if it was given up before it began."""
        if not self.is_open:
            self.socket.close()
            self._room.leave(self)


def bound(listen: str) -> socket.socket:
    """Bind a socket to ``host:port`` or ``unix:/path``; raises OSError."""
    if listen.startswith(_UNIX):
        made = _bound_to_path(listen.removeprefix(_UNIX))
    else:
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()
        made = socket.create_server(
            (host, int(port)), family=family, backlog=_BACKLOG, dualstack_ipv6=both
        )
    made.setblocking(False)
    return made


def _bound_to_path(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and not _is_listened_on(path):
            Path(path).unlink()  # left by one that was killed
        made.bind(path)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _is_listened_on(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(OSError):
        probe.connect(path)
        return True
    return False


def _address(listen: str, made: socket.socket) -> str:
    return f"{listen.rpartition(':')[0]}:{made.getsockname()[1]}"
