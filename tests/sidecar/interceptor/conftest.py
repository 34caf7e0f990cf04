"""ClientHellos of every shape, addresses of every kind, and a driver of entry layers."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from mitmproxy import connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from OpenSSL import SSL

from remora.clock import SystemClock
from remora.errors import Unavailable
from remora_sidecar.interceptor.certificates import Issuer, make_root
from remora_sidecar.interceptor.connection import connection_options
from remora_sidecar.interceptor.layers import EntryLayer, ExplicitEntry, Route, TransparentEntry
from remora_sidecar.interceptor.leaf_cache import LeafCache
from remora_sidecar.model.connect_to import ConnectTo

PROVIDER = "api.openai.com"
PLAIN = "vllm.internal"
ENGINE = ("engine", 0)
SERVER = ("192.0.2.7", 443)

MakeHello = Callable[..., bytes]

_GREASE = 0x7A7A


def _vector(size: str, content: bytes) -> bytes:
    return struct.pack(size, len(content)) + content


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!H", kind) + _vector("!H", body)


def made_hello(
    name: str = "",
    alpn: Sequence[bytes] = (),
    *,
    grease: bool = False,
    padding: int = 0,
    record_bytes: int = 1 << 14,
) -> bytes:
    """Write a ClientHello (RFC 8446 §4.1.2), cut into records of a size."""
    extensions = _extension(_GREASE, b"") if grease else b""
    if name:
        server_name = b"\x00" + _vector("!H", name.encode())
        extensions += _extension(0, _vector("!H", server_name))
    if alpn:
        offered = b"".join(_vector("!B", protocol) for protocol in alpn)
        extensions += _extension(16, _vector("!H", offered))
    if padding:
        extensions += _extension(21, bytes(padding))
    ciphers = struct.pack("!HH", _GREASE, 0x1301) if grease else struct.pack("!H", 0x1301)
    body = b"\x03\x03" + bytes(32) + _vector("!B", b"") + _vector("!H", ciphers) + b"\x01\x00"
    body += _vector("!H", extensions) if extensions else b""
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    pieces = [message[at : at + record_bytes] for at in range(0, len(message), record_bytes)]
    return b"".join(b"\x16\x03\x01" + _vector("!H", piece) for piece in pieces)


def _real_hello(name: str | None, alpn: Sequence[str] = ()) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.fixture(scope="session")
def hello() -> MakeHello:
    """Makes a ClientHello by hand."""
    return made_hello


@pytest.fixture(scope="session")
def real_hello() -> MakeHello:
    """Makes the ClientHello that Python's TLS sends."""
    return _real_hello


@pytest.fixture
def free_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def full_backlog() -> Iterator[tuple[str, int]]:
    """An address that neither accepts nor refuses a connection."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address


@dataclass
class _Policy:
    opaque_allowed: bool = True

    def terminates(self, host: str) -> bool:
        return host == PROVIDER or host.endswith("broken.example")

    def takes_plain(self, host: str, port: int) -> bool:
        return (host, port) == (PLAIN, 8000)


@cache
def _leaves() -> LeafCache:
    key = ec.generate_private_key(ec.SECP256R1())
    return LeafCache(Issuer(make_root(key, datetime.now(UTC)), key), SystemClock())


def _tls_context(name: str) -> SSL.Context:
    if name.endswith("broken.example"):
        raise Unavailable("the CA's certificate expired")
    return _leaves().leaf(name).context


@dataclass
class Driven:
    """Performs the commands of an entry layer on connections that exist only here."""

    mode: str = "transparent"
    destination: tuple[str, int] = SERVER
    connect_to: str = ""
    opaque_allowed: bool = True
    guard: Callable[[str, int], str | None] = lambda host, port: None
    sent: dict[tuple[str, int] | str, bytes] = field(default_factory=dict)
    dials: list[commands.OpenConnection] = field(default_factory=list)
    wakeups: list[commands.RequestWakeup] = field(default_factory=list)
    closed: list[tuple[str, int] | str] = field(default_factory=list)
    half_closed: list[tuple[str, int] | str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Accept the agent."""
        self.client = connection.Client(
            peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0,
            state=connection.ConnectionState.OPEN,
        )  # fmt: skip
        context = Context(self.client, connection_options())
        self.route = Route(
            policy=lambda: _Policy(self.opaque_allowed), tls_context=_tls_context,
            engine=lambda _: None, before_answers=lambda: None,
            connect_to=ConnectTo.parse(self.connect_to),
            dial_guard=self.guard, mode=self.mode,
        )  # fmt: skip
        self.layer: EntryLayer
        if self.mode == "transparent":
            context.server = connection.Server(address=self.destination)
            self.layer = TransparentEntry(context, self.route)
        else:
            self.layer = ExplicitEntry(context, self.route)
        self._open: set[connection.Connection] = {self.client}
        self.tell(events.Start())

    def tell(self, event: events.Event) -> None:
        for command in self.layer.handle_event(event):
            self._perform(command)

    def _perform(self, command: commands.Command) -> None:
        match command:
            case commands.OpenConnection():
                assert command.connection not in self._open, "dialled twice"
                command.connection.timestamp_start = 1
                self._open.add(command.connection)
                self.dials.append(command)
            case commands.RequestWakeup():
                self.wakeups.append(command)
            case commands.SendData():
                assert command.connection.timestamp_start is not None
                assert command.connection in self._open or command.connection in self.gone
                key = self._name(command.connection)
                self.sent[key] = self.sent.get(key, b"") + command.data
            case commands.CloseTcpConnection(half_close=True):
                self.half_closed.append(self._name(command.connection))
                command.connection.state &= ~connection.ConnectionState.CAN_WRITE
            case commands.CloseConnection():
                self._close(command.connection)
            case commands.Log() | commands.StartHook():
                pass
            case _:
                pytest.fail(f"unexpected {command}")

    gone: set[connection.Connection] = field(default_factory=set)

    def _close(self, closing: connection.Connection) -> None:
        self.closed.append(self._name(closing))
        closing.state = connection.ConnectionState.CLOSED
        if closing in self._open:
            self._open.discard(closing)
            self.gone.add(closing)

    def _name(self, one: connection.Connection) -> tuple[str, int] | str:
        if one is self.client:
            return "agent"
        assert isinstance(one, connection.Server)
        assert one.address is not None
        return one.address

    def agent_sends(self, data: bytes) -> None:
        self.tell(events.DataReceived(self.client, data))

    def agent_ends(self) -> None:
        self.client.state &= ~connection.ConnectionState.CAN_READ
        self.tell(events.ConnectionClosed(self.client))

    def dial_ends(self, error: str | None = None) -> connection.Server:
        """Complete the oldest dial, as the driver would."""
        command = self.dials.pop(0)
        server = command.connection
        if error is None and server in self._open:
            server.state = connection.ConnectionState.OPEN
        elif error is None:
            error = "connection cancelled"
        if error is not None:
            self._open.discard(server)
        self.tell(events.OpenConnectionCompleted(command, error))
        return server

    def server_sends(self, server: connection.Server, data: bytes) -> None:
        self.tell(events.DataReceived(server, data))

    def server_ends(self, server: connection.Server) -> None:
        server.state &= ~connection.ConnectionState.CAN_READ
        self.tell(events.ConnectionClosed(server))

    def time_passes(self) -> None:
        """Let the oldest timer go off."""
        self.tell(events.Wakeup(self.wakeups.pop(0)))

    @property
    def dialled(self) -> list[tuple[str, int] | str]:
        return [self._name(command.connection) for command in self.dials]

    @property
    def hand_offs(self) -> list[object]:
        return list(self.route.hand_offs.values())


@pytest.fixture(scope="session")
def drive() -> type[Driven]:
    """Makes a connection to drive; see its fields for what can be set."""
    return Driven
