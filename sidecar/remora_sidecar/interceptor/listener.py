"""The interceptor's listeners: accept agents' connections and run each to its end."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from mitmproxy.platform.linux import original_addr

from remora.clock import Clock
from remora.errors import ConfigError, Problem
from remora.task_owner import TaskOwner
from remora_sidecar.engine.opaque import OpaqueConnection
from remora_sidecar.interceptor.connection import AgentConnection, connection_options
from remora_sidecar.interceptor.layers import Route, written
from remora_sidecar.model.handoff import Address

logger = logging.getLogger(__name__)

_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}

_MAX_TOLD = 100
_END_S = 2.0

MakeRoute = Callable[[str], Route]
"""Makes the route of a new connection in the given mode."""

ConnectionBegan = Callable[[asyncio.Task[None]], None]
"""Takes the task that runs a new connection to its end."""

OpaqueEnded = Callable[[OpaqueConnection], None]
"""Takes an unread provider connection that ended."""


class Interceptor:
    """Listens on loopback for agents, in either mode, and hands off or relays."""

    def __init__(self, *, make_route: MakeRoute, opaque_ended: OpaqueEnded, clock: Clock) -> None:
        """Take what every connection needs."""
        self._make_route = make_route
        self._opaque_ended = opaque_ended
        self._clock = clock
        self._options = connection_options()
        self._not_trusted: set[str] = set()
        self._servers: list[asyncio.Server] = []
        self._connections = TaskOwner("interceptor")
        self._agents: dict[asyncio.Task[None], AgentConnection] = {}
        self.addresses: dict[str, list[Address]] = {"transparent": [], "explicit": []}
        self.skipped: list[str] = []

    async def listen(
        self, mode: str, addresses: Sequence[Address], *, setting: str = "REMORA_LISTEN"
    ) -> None:
        """Open listeners; an IPv6 address is skipped, and said, where the machine has none.

        Args:
            mode: How agents reach these listeners, ``transparent`` or ``explicit``.
            addresses: Where to listen.
            setting: What names the addresses, for the person who must change it.

        Raises:
            ConfigError: An address can't be listened on.
        """
        for address in addresses:
            try:
                server = await self._start(mode, address)
            except OSError as error:
                self._skip_or_raise(address, error, setting)
                continue
            self._servers.append(server)
            self.addresses[mode].append(server.sockets[0].getsockname()[:2])
        if not self.addresses[mode]:
            raise ConfigError([Problem(setting, "no address could be listened on")])

    async def listen_for(self, user: str, host: str, began: ConnectionBegan) -> asyncio.Server:
        """Open a port in explicit mode whose connections are all one user's, whatever they say.

        The caller closes it.

        Args:
            user: Whose connections they are.
            host: Where to listen, on whichever port is free.
            began: Called with the task of each connection.

        Raises:
            OSError: No port can be listened on.
        """
        return await self._start("explicit", (host, 0), user, began)

    def end(self, connection: asyncio.Task[None]) -> None:
        """End a connection, by its task."""
        if (agent := self._agents.get(connection)) is not None:
            agent.end()

    async def _start(
        self, mode: str, address: Address, user: str = "", began: ConnectionBegan | None = None
    ) -> asyncio.Server:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = self._serve(mode, reader, writer, user)
            task = self._connections.spawn(serving, name="connection")
            if began is not None:
                began(task)

        # asyncio's own binding hides why it failed. Who is cancelled must not leave a port behind.
        server = await asyncio.start_server(
            accept, sock=_bound(address), backlog=1024, start_serving=False
        )
        try:
            await server.start_serving()
        except BaseException:
            server.close()
            raise
        return server

    def _skip_or_raise(self, address: Address, error: OSError, setting: str) -> None:
        if ":" in address[0] and error.errno in _NO_SUCH_ADDRESS:
            self.skipped.append(written(address))
            logger.info("no IPv6 here: %s is not listened on", written(address))
            return
        what = f"{written(address)} can't be listened on: {error.strerror or error}"
        raise ConfigError([Problem(setting, what)]) from error

    async def _serve(
        self, mode: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: str
    ) -> None:
        destination = None
        if mode == "transparent":
            destination = _destination(writer)
            if destination is None:
                logger.warning("a direct connection to the transparent listener was closed")
                writer.close()
                return
        route = self._make_route(mode)
        route.proxy_user = user
        started_s = self._clock.monotonic_s()
        handler = AgentConnection(
            reader, writer, options=self._options, route=route,
            destination=destination, not_trusted=self._say_not_trusted,
        )  # fmt: skip
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._agents[task] = handler
        try:
            await handler.handle_client()
        finally:
            del self._agents[task]
            writer.close()
            if route.opaque is not None:
                self._tell_opaque(route, started_s)

    def _tell_opaque(self, route: Route, started_s: float) -> None:
        traffic = route.opaque
        assert traffic is not None  # noqa: S101 - the caller looked
        self._opaque_ended(
            OpaqueConnection(
                host=traffic.name,
                mode=route.mode,
                proxy_user=route.proxy_user,
                destination=written(traffic.destination),
                from_agent_bytes=traffic.from_agent_bytes,
                to_agent_bytes=traffic.to_agent_bytes,
                blocked=traffic.blocked,
                duration_s=self._clock.monotonic_s() - started_s,
            )
        )

    def _say_not_trusted(self, name: str) -> None:
        """Say it once for each name: an agent without the trust files tries again and again."""
        if name in self._not_trusted or len(self._not_trusted) >= _MAX_TOLD:
            return
        self._not_trusted.add(name)
        logger.warning(
            "an agent did not accept the certificate for %s: it seems to lack the trust files "
            "(docs/trust.md says what each runtime needs)",
            name,
        )

    def stop_listening(self) -> None:
        """Take no new connections; those that stand go on."""
        for server in self._servers:
            server.close()

    async def aclose(self) -> None:
        """Stop listening and end every connection."""
        self.stop_listening()
        for agent in list(self._agents.values()):
            agent.end()
        if self._agents:
            await asyncio.wait(list(self._agents), timeout=_END_S)
        await self._connections.aclose()


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the socket names its protocol; with it
    # on, small answers wait some 40 ms for the agent's acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def _destination(writer: asyncio.StreamWriter) -> Address | None:
    """Find where a redirected connection was going; None if it was not redirected."""
    raw: socket.socket = writer.get_extra_info("socket")
    try:
        destination: Address = original_addr(raw)
    except OSError:
        return None
    return None if destination == raw.getsockname()[:2] else destination
