"""mitmproxy layers that take a connection from its first byte to hand-off or relay.

Sans-io generators: events in, commands out. They use mitmproxy's TLS and TCP layers and
nothing of its HTTP stack; `connection.AgentConnection` performs the commands.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from mitmproxy import connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

from remora.errors import RemoraError
from remora_sidecar.interceptor.peek import HttpHead, NeedMore, Other, Peek, TlsHello, peek
from remora_sidecar.interceptor.tls_records import TlsRecords
from remora_sidecar.interceptor.verdict import (
    Block,
    CurrentPolicy,
    HandOver,
    Relay,
    Terminate,
    Verdict,
    judge_http,
    judge_tls,
    judge_tls_inside,
    judge_unread,
)
from remora_sidecar.model.authority_form import basic_user, split_authority
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.model.handoff import Address, HandOff

logger = logging.getLogger(__name__)

SERVER_FIRST_WAIT_S = 0.2
"""A client that is silent for so long may be waiting for the server to speak first."""

SILENT_AFTER_FAILED_DIAL_S = 1.0
"""What a silent client still gets to speak where its server can't be reached."""

_ENGINE: Address = ("engine", 0)
"""No place to dial: stands where mitmproxy wants an address."""

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_NO_APPLICATION_PROTOCOL = 120
_INTERNAL_ERROR = 80
"""TLS alerts (RFC 8446 §6.2)."""

DialGuard = Callable[[str, int], str | None]
"""Says why an explicit connection may not go to this host and port; None if it may."""

TakeOver = Callable[[HandOff], asyncio.Protocol | None]
"""Gives who takes a connection's decrypted bytes; None if no more are taken."""


@dataclass(slots=True)
class OpaqueTraffic:
    """What passed on a relayed connection to a provider host that could not be read."""

    name: str
    destination: Address | None
    from_agent_bytes: int = 0
    to_agent_bytes: int = 0
    blocked: bool = False


@dataclass
class Route:
    """What the layers of one connection share with whoever runs them.

    Attributes:
        policy: Gives the policy in force.
        tls_context: Makes the TLS context of a leaf for a name.
        engine: Takes connections over.
        before_answers: Called before bytes of the engine's go to an agent.
        connect_to: Where to dial provider hosts instead.
        dial_guard: Limits what explicit connections reach.
        hand_offs: Connections to the engine, filled before they are opened.
        opaque: Set where the connection is an unread one to a provider host.
        proxy_user: User name of the proxy URL, once known; set before, it stands.
    """

    policy: CurrentPolicy
    tls_context: Callable[[str], SSL.Context]
    engine: TakeOver
    before_answers: Callable[[], None]
    connect_to: ConnectTo
    dial_guard: DialGuard
    mode: str
    hand_offs: dict[connection.Server, HandOff] = field(default_factory=dict)
    opaque: OpaqueTraffic | None = None
    proxy_user: str = ""

    def hand_off(self, *, tls_name: str, destination: Address | None) -> connection.Server:
        """Make the connection to the engine and note what the engine must know of it."""
        server = connection.Server(address=_ENGINE)
        self.hand_offs[server] = HandOff(
            mode=self.mode,
            tls_name=tls_name,
            destination=written(destination),
            port=destination[1] if destination else 0,
            proxy_user=self.proxy_user,
        )
        return server


def written(address: Address | None) -> str:
    """Write an address as ``host:port``; empty for None."""
    if address is None:
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def fatal_alert(description: int) -> bytes:
    """Write a fatal TLS alert as a plain record."""
    return b"\x15\x03\x03\x00\x02\x02" + bytes([description])


class RelayLayer(TCPLayer):
    """Relays bytes untouched, and each side's end as an end of that direction alone."""

    def __init__(self, context: Context, traffic: OpaqueTraffic | None = None) -> None:
        """Relay to ``context.server``, counting into ``traffic`` if it is given."""
        super().__init__(context, ignore=True)
        self._traffic = traffic

    @property
    def unwatched(self) -> bool:
        """Whether the relay is open and nobody counts what passes."""
        return self._traffic is None and self.context.server.connected

    def _count(self, event: events.DataReceived) -> None:
        if self._traffic is None:
            return
        if event.connection == self.context.client:
            self._traffic.from_agent_bytes += len(event.data)
        else:
            self._traffic.to_agent_bytes += len(event.data)

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """Count what passes, then relay it."""
        if isinstance(event, events.DataReceived):
            self._count(event)
        yield from super().handle_event(event)


class HandOffLayer(TCPLayer):
    """Carries decrypted bytes to the engine and back; the engine's end ends both sides."""

    def __init__(self, context: Context) -> None:
        """Relay to ``context.server``, which is the engine."""
        super().__init__(context, ignore=True)

    @property
    def is_open(self) -> bool:
        """Whether the engine is connected and has all that came so far."""
        return self.context.server.connected and self._paused is None

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """Close the agent's side when the engine closes, so that a cut reaches it as one."""
        ended = isinstance(event, events.ConnectionClosed)
        if ended and event.connection == self.context.server:  # type: ignore[attr-defined]  # narrowed above
            yield commands.CloseConnection(self.context.client)
        else:
            yield from super().handle_event(event)


class ProviderTlsLayer(ClientTLSLayer):
    """Terminates the agent's TLS with a context chosen beforehand, then hands off.

    The ClientHello was read already, so mitmproxy's own reading of it and its hooks are
    passed by; the handshake itself is mitmproxy's.

    Attributes:
        tls: The session.
        records: Where the agent's side of it is.
    """

    def __init__(self, context: Context, tls_context: SSL.Context) -> None:
        """Take the context of the leaf certificate."""
        super().__init__(context)
        self.tls = SSL.Connection(tls_context)
        self.tls.set_accept_state()
        self.client_hello_parsed = True
        self.records = TlsRecords()
        self._hand_off = self.child_layer = HandOffLayer(context)

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """Follow the agent's records, then take the event."""
        if isinstance(event, events.DataReceived) and event.connection == self.context.client:
            self.records.ended_in(event.data)
        yield from super().handle_event(event)

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and the engine has all that came so far."""
        is_open = self.tunnel_state is TunnelState.OPEN and self._paused is None
        return is_open and self._hand_off.is_open


class EntryLayer(layer.Layer):
    """Reads a connection's first bytes, asks for the verdict, becomes what it says."""

    def __init__(self, context: Context, route: Route) -> None:
        """Start with nothing read."""
        super().__init__(context)
        self.route = route
        self._buffer = bytearray()
        self._any_method = False
        self._child: layer.Layer | None = None
        self._left: set[connection.Connection] = set()

    @property
    def passes(self) -> bool:
        """Whether bytes only pass from now on, through the TLS session if there is one."""
        child = self._child
        if self._paused is not None:
            return False
        if isinstance(child, RelayLayer):
            return child.unwatched
        return isinstance(child, HandOffLayer | ProviderTlsLayer) and child.is_open

    @property
    def terminates(self) -> "ProviderTlsLayer | None":
        """Who has the session with the agent, where its TLS is terminated."""
        return self._child if isinstance(self._child, ProviderTlsLayer) else None

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """Keep from the layers what no longer concerns them, then take the event."""
        if _connection_of(event) in self._left:
            return
        if self._paused and self._child is None and self._is_agent_gone(event):
            yield commands.CloseConnection(self.context.client)
            yield commands.CloseConnection(self.context.server)
            return
        yield from super().handle_event(event)

    def _is_agent_gone(self, event: events.Event) -> bool:
        ended = isinstance(event, events.ConnectionClosed)
        return ended and _connection_of(event) == self.context.client

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if self._child is not None:
            if not isinstance(event, events.Wakeup):
                yield from self._child.handle_event(event)
        elif isinstance(event, events.DataReceived) and event.connection == self.context.client:
            self._buffer += event.data
            yield from self._judge(peek(bytes(self._buffer), any_method=self._any_method))
        elif isinstance(event, events.ConnectionClosed):
            yield from self._closed(event)
        else:
            yield from self._other_event(event)

    def _other_event(self, event: events.Event) -> CommandGenerator[None]:
        """Take an event that only one kind of entry knows."""
        yield from ()

    def _judge(self, seen: Peek) -> CommandGenerator[None]:
        """Decide from what was seen so far."""
        raise NotImplementedError

    def _closed(self, event: events.ConnectionClosed) -> CommandGenerator[None]:
        yield commands.CloseConnection(self.context.client)
        if self.context.server.connected:
            yield commands.CloseConnection(self.context.server)

    def _become(self, child: layer.Layer, first: bytes) -> CommandGenerator[None]:
        self._child = child
        self._buffer.clear()
        yield from child.handle_event(events.Start())
        if first:
            yield from child.handle_event(events.DataReceived(self.context.client, first))

    def _follow(self, verdict: Verdict, destination: Address | None) -> CommandGenerator[None]:
        first = bytes(self._buffer)
        match verdict:
            case Terminate(name):
                yield from self._leave_server()
                yield from self._terminate(name, destination, first)
            case HandOver():
                yield from self._leave_server()
                self.context.server = self.route.hand_off(tls_name="", destination=destination)
                yield from self._become(HandOffLayer(self.context), first)
            case Relay(opaque_name):
                yield from self._relay(opaque_name, destination, first)
            case Block(name):
                self.route.opaque = OpaqueTraffic(name, destination, len(first), blocked=True)
                yield from self._leave_server()
                yield from self._end(_NO_APPLICATION_PROTOCOL, in_tls=first[:1] == b"\x16")

    def _terminate(
        self, name: str, destination: Address | None, first: bytes
    ) -> CommandGenerator[None]:
        try:
            tls_context = self.route.tls_context(name)
        except RemoraError as error:
            logger.error("an agent's connection can't be terminated: %s", error)
            yield from self._end(_INTERNAL_ERROR, in_tls=True)
            return
        self.context.server = self.route.hand_off(tls_name=name, destination=destination)
        yield from self._become(ProviderTlsLayer(self.context, tls_context), first)

    def _end(self, alert: int, *, in_tls: bool) -> CommandGenerator[None]:
        if in_tls:
            yield commands.SendData(self.context.client, fatal_alert(alert))
        yield commands.CloseConnection(self.context.client)

    def _relay(
        self, opaque_name: str, destination: Address | None, first: bytes
    ) -> CommandGenerator[None]:
        if opaque_name:
            self.route.opaque = OpaqueTraffic(opaque_name, destination)
            yield from self._redirect_dial(opaque_name, destination)
        yield from self._become(RelayLayer(self.context, self.route.opaque), first)

    def _redirect_dial(self, name: str, destination: Address | None) -> CommandGenerator[None]:
        """Follow REMORA_CONNECT_TO for an unread connection to a provider."""
        if destination and self.route.connect_to.redirects(name, destination[1]):
            yield from self._leave_server()
            target = self.route.connect_to.dial(name, destination[1])
            self.context.server = connection.Server(address=target)

    def _leave_server(self) -> CommandGenerator[None]:
        """Close the server, open or being dialled; what it still says concerns nobody."""
        server = self.context.server
        if server.timestamp_start is not None:
            self._left.add(server)
            yield commands.CloseConnection(server)


def _connection_of(event: events.Event) -> connection.Connection | None:
    if isinstance(event, events.ConnectionEvent):
        return event.connection
    if isinstance(event, events.OpenConnectionCompleted):
        return event.command.connection
    return None


class TransparentEntry(EntryLayer):
    """Entry of a redirected connection; ``context.server.address`` is where it was going.

    A client that is silent at first gets its server dialled, which may be the one to speak;
    meanwhile its own first bytes are still awaited and judged, however late they come.
    """

    def __init__(self, context: Context, route: Route) -> None:
        """Start before any dialling."""
        super().__init__(context, route)
        assert context.server.address is not None  # noqa: S101 - the listener set it
        self._destination: Address = context.server.address[:2]
        self._dialling = False
        self._dial_failed = False
        self._relay_once_dialled: Relay | None = None

    def _other_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.RequestWakeup(SERVER_FIRST_WAIT_S)
        elif isinstance(event, events.Wakeup) and not self._buffer:
            yield from self._still_silent()
        elif isinstance(event, events.OpenConnectionCompleted):
            yield from self._dialled(event)
        elif isinstance(event, events.DataReceived):
            yield from self._server_spoke(event)

    def _still_silent(self) -> CommandGenerator[None]:
        if self._dial_failed:
            yield commands.CloseConnection(self.context.client)
            return
        dial = commands.OpenConnection(self.context.server)
        dial.blocking = False  # the agent's first bytes must not wait for it
        self._dialling = True
        yield dial

    def _dialled(self, event: events.OpenConnectionCompleted) -> CommandGenerator[None]:
        self._dialling = False
        if event.reply is not None:
            self._dial_failed = True
            self.context.server = connection.Server(address=self._destination)
            yield commands.RequestWakeup(SILENT_AFTER_FAILED_DIAL_S)
        if self._relay_once_dialled is not None:
            yield from self._follow(self._relay_once_dialled, self._destination)

    def _server_spoke(self, event: events.DataReceived) -> CommandGenerator[None]:
        yield from self._become(RelayLayer(self.context), bytes(self._buffer))
        assert self._child is not None  # noqa: S101 - set by _become
        yield from self._child.handle_event(event)

    def _judge(self, seen: Peek) -> CommandGenerator[None]:
        if self._relay_once_dialled is not None:
            return
        match seen:
            case NeedMore():
                return
            case TlsHello(name=name):
                verdict = judge_tls(seen, name, self.route.policy())
            case HttpHead():
                verdict = judge_http(seen, self._destination[1], self.route.policy())
            case Other():
                verdict = Relay()
        yield from self._follow(verdict, self._destination)

    def _relay(
        self, opaque_name: str, destination: Address | None, first: bytes
    ) -> CommandGenerator[None]:
        if self._dialling:
            self._relay_once_dialled = Relay(opaque_name)
        else:
            yield from super()._relay(opaque_name, destination, first)


class ExplicitEntry(EntryLayer):
    """Entry of an HTTP proxy connection: CONNECT here, every other request to the engine."""

    def __init__(self, context: Context, route: Route) -> None:
        """Start before any CONNECT."""
        super().__init__(context, route)
        self._any_method = True
        self._connected_to: Address | None = None

    def _judge(self, seen: Peek) -> CommandGenerator[None]:
        if self._connected_to is not None:
            yield from self._judge_inside(seen, self._connected_to)
        elif isinstance(seen, HttpHead):
            yield from self._judge_request(seen)
        elif not isinstance(seen, NeedMore):
            yield from self._answer(
                400, "This is an HTTP proxy; it takes CONNECT and http:// requests."
            )

    def _judge_request(self, head: HttpHead) -> CommandGenerator[None]:
        self.route.proxy_user = self.route.proxy_user or basic_user(head.proxy_authorization)
        if head.method != "CONNECT":
            self.context.server = self.route.hand_off(tls_name="", destination=None)
            yield from self._become(HandOffLayer(self.context), bytes(self._buffer))
            return
        address = split_authority(head.target, 443)
        if address is None:
            yield from self._answer(400, "CONNECT needs host:port.")
            return
        del self._buffer[: head.size]
        yield from self._connect(address)

    def _connect(self, address: Address) -> CommandGenerator[None]:
        host, port = address
        policy = self.route.policy()
        self.context.server = connection.Server(address=self.route.connect_to.dial(host, port))
        if policy.terminates(host) or policy.takes_plain(host, port):
            self._connected_to = address
            self._any_method = False
            yield commands.SendData(self.context.client, _ESTABLISHED)
            if self._buffer:
                yield from self._judge(peek(bytes(self._buffer)))
        elif reason := self.route.dial_guard(host, port):
            yield from self._answer(403, reason)
        else:
            yield from self._connect_and_relay(address)

    def _connect_and_relay(self, address: Address) -> CommandGenerator[None]:
        error = yield commands.OpenConnection(self.context.server)
        if error:
            yield from self._answer(502, f"Could not connect to {written(address)}: {error}")
            return
        yield commands.SendData(self.context.client, _ESTABLISHED)
        yield from self._become(RelayLayer(self.context), bytes(self._buffer))

    def _judge_inside(self, seen: Peek, address: Address) -> CommandGenerator[None]:
        match seen:
            case NeedMore():
                return
            case TlsHello(name=name):
                verdict = judge_tls_inside(seen, name, address[0], self.route.policy())
            case HttpHead():
                verdict = judge_http(seen, address[1], self.route.policy())
            case Other():
                verdict = judge_unread(address[0], self.route.policy())
        if isinstance(verdict, Relay) and (reason := self.route.dial_guard(*address)):
            yield commands.Log(f"not relayed to {written(address)}: {reason}")
            yield commands.CloseConnection(self.context.client)
            return
        yield from self._follow(verdict, address)

    def _answer(self, status: int, text: str) -> CommandGenerator[None]:
        body = f"remora: {text}\n".encode()
        reason = {400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway"}[status]
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        yield commands.SendData(self.context.client, head.encode() + body)
        yield commands.CloseConnection(self.context.client)
