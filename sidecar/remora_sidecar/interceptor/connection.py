"""One agent connection: mitmproxy's connection handler around our layers.

mitmproxy's Master, addons and hooks are not used: the handler is its asyncio driver, and
the few hooks that matter are taken here, and so are connections to the engine, which go over no
socket.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable
from types import TracebackType
from typing import cast

from mitmproxy import options as moptions
from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, mode_specs, server, server_hooks
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.layers.tls import TlsFailedClientHook
from mitmproxy.proxy.server import ConnectionIO

from remora.task_owner import TaskOwner
from remora_sidecar.interceptor.layers import EntryLayer, ExplicitEntry, Route, TransparentEntry
from remora_sidecar.interceptor.pipe import pipe
from remora_sidecar.interceptor.splice import splice
from remora_sidecar.interceptor.tls_passage import TlsPassage
from remora_sidecar.model.handoff import Address, HandOff

logger = logging.getLogger(__name__)

IDLE_LIMIT_S = 24 * 3600
"""mitmproxy's own idle limit; the engine owns the real ones, and reasoning can be silent long."""

_READ_BYTES = 65535
"""How much mitmproxy's handler reads at a time."""

_KEPT_DURING_DIAL_BYTES = 256 * 1024

_DIAL_ENDS = (server_hooks.ServerConnectedHook, server_hooks.ServerConnectErrorHook)

_NOT_TRUSTED = ("unknown ca", "bad certificate", "certificate unknown", "client disconnected")
"""In mitmproxy's words for a failed handshake: alerts, or an agent that left without one."""

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def connection_options() -> moptions.Options:
    """Make the options that mitmproxy's handler and layers look at."""
    options = moptions.Options()
    options.add_option(
        "tcp_timeout", int, IDLE_LIMIT_S, "Seconds of silence that end a connection."
    )
    return options


class AgentConnection(server.LiveConnectionHandler):
    """Drives the layers of one connection from an agent."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        options: moptions.Options,
        route: Route,
        destination: Address | None,
        not_trusted: Callable[[str], None],
    ) -> None:
        """Prepare the entry layer.

        Args:
            reader: From the agent.
            writer: To the agent.
            options: What mitmproxy looks at.
            route: What the layers share with whoever runs them.
            destination: Where a redirected connection was going.
            not_trusted: Told the name whose certificate the agent did not accept.
        """
        super().__init__(reader, writer, options, mode_specs.ProxyMode.parse("regular"))
        self.route = route
        self._not_trusted = not_trusted
        self._dials = 0
        self._dial_ended = asyncio.Event()
        self._came_during_dial_bytes = 0
        self._tasks = TaskOwner("agent connection")
        self.layer = self._entry(destination)

    def _entry(self, destination: Address | None) -> EntryLayer:
        context = self.layer.context
        context.layers.clear()
        if destination is None:
            return ExplicitEntry(context, self.route)
        context.server = Server(address=destination)
        return TransparentEntry(context, self.route)

    async def server_event(self, event: events.Event) -> None:
        """Let the layers take an event; splice where bytes only pass from now on.

        A read that came back short has emptied its reader, and nothing was awaited since,
        so that no byte can be overtaken.
        """
        if self._dials and isinstance(event, events.DataReceived):
            self._came_during_dial_bytes += len(event.data)
        await super().server_event(event)
        if isinstance(event, events.DataReceived) and len(event.data) < _READ_BYTES:
            self._splice(event.connection)

    def _splice(self, source: Connection) -> None:
        layer = self.layer
        if not (isinstance(layer, EntryLayer) and layer.passes):
            return
        agent, other = self._transport(self.client), self._transport(layer.context.server)
        if agent is None or other is None:
            return
        active, through = self.timeout_watchdog.register_activity, None
        if (session := layer.terminates) is not None:
            passage = TlsPassage(session.tls, agent, session.records, self._agent_said_goodbye)
            through = passage.opened if source is self.client else passage.sealed
        if source is self.client:
            splice(agent, other, self._acknowledging(agent, active), through)
        else:
            splice(other, agent, active, through)

    def _acknowledging(
        self, agent: asyncio.Transport, active: Callable[[], None]
    ) -> Callable[[], None]:
        """Acknowledge at once what an agent sends to its proxy.

        urllib3, and so requests and boto3, leave Nagle's algorithm on towards a proxy: the body of
        a request then waits until its head is acknowledged, which the kernel may put off for 40 ms.
        """
        if self.route.mode != "explicit" or not hasattr(socket, "TCP_QUICKACK"):
            return active
        raw: socket.socket = agent.get_extra_info("socket")

        def acknowledged() -> None:
            active()
            with contextlib.suppress(OSError):  # closed meanwhile: its end is on its way
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

        return acknowledged

    def _agent_said_goodbye(self) -> None:
        """Let the layers find the end of the TLS session by reading it once more."""
        self._tasks.spawn(
            super().server_event(events.DataReceived(self.client, b"")), name="agent's goodbye"
        )

    def _transport(self, end: Connection) -> asyncio.Transport | None:
        io = self.transports.get(end)
        writer = io.writer if io is not None else None
        if not isinstance(writer, asyncio.StreamWriter):
            return None
        return cast(asyncio.Transport, writer.transport)

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Dial as mitmproxy does; what is handed off has its other end within the process."""
        server = command.connection
        hand_off = self.route.hand_offs.get(server)
        if hand_off is None:
            await super().open_connection(command)
            return
        try:
            await self._hand_over(command, hand_off)
        finally:
            self.route.hand_offs.pop(server, None)

    async def _hand_over(self, command: commands.OpenConnection, hand_off: HandOff) -> None:
        server, engine = command.connection, self.route.engine(hand_off)
        if engine is None:
            server.error = "the engine takes no more connections"
            await self.server_event(events.OpenConnectionCompleted(command, server.error))
            return
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        near, _ = pipe(protocol, engine, self.route.before_answers, far_at_once=True)
        writer = asyncio.StreamWriter(near, protocol, reader, asyncio.get_running_loop())
        server.timestamp_start = self.client.timestamp_start
        server.state = ConnectionState.OPEN
        self.transports[server] = ConnectionIO(asyncio.current_task(), reader, writer)
        await self.server_event(events.OpenConnectionCompleted(command, None))
        await self.handle_connection(server)

    async def handle_hook(self, hook: StartHook) -> None:
        """Note the beginnings and ends of dials, and handshakes that failed."""
        if isinstance(hook, server_hooks.ServerConnectHook):
            self._dials += 1
        elif isinstance(hook, _DIAL_ENDS):
            self._dial_is_over()
        elif isinstance(hook, TlsFailedClientHook):
            self._handshake_failed(hook.data.conn.error or "")

    def _dial_is_over(self) -> None:
        self._dials -= 1
        if not self._dials:
            self._came_during_dial_bytes = 0
            self._dial_ended.set()

    async def drain_writers(self) -> None:
        """Wait until what was read has room; during a dial, layers keep what is read."""
        await super().drain_writers()  # type: ignore[no-untyped-call]  # mitmproxy leaves it untyped
        if self._came_during_dial_bytes > _KEPT_DURING_DIAL_BYTES:
            self._dial_ended.clear()
            await self._dial_ended.wait()

    def _handshake_failed(self, error: str) -> None:
        if any(sign in error for sign in _NOT_TRUSTED):
            for hand_off in self.route.hand_offs.values():
                self._not_trusted(hand_off.tls_name)

    def end(self) -> None:
        """Close the agent's connection, and with it everything that was opened for it."""
        transport = self.transports.get(self.client)
        if transport is None:
            return
        if transport.handler is not None:
            transport.handler.cancel()
        elif isinstance(transport.writer, asyncio.StreamWriter):
            transport.writer.close()

    def log(
        self,
        message: str,
        level: int = logging.INFO,
        exc_info: object = None,
    ) -> None:
        """Keep mitmproxy's words out of the log: they can quote what the agent sent.

        What it reports as an error is a bug of ours, after which the connection would hang.
        """
        if level >= logging.ERROR:
            logger.error("a connection's handler failed%s", _where(exc_info))
            self.end()


def _where(exc_info: object) -> str:
    """Name the kind and place of an exception, without its text."""
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, tuple) and exc_info[0] is not None:
        trace = exc_info[2]
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
        return f": {exc_info[0].__name__}{place}"
    return ""
