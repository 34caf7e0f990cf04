"""The layers of a connection, driven event by event, without sockets and without waiting."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mitmproxy import connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from OpenSSL import SSL

from remora.clock import SystemClock
from remora.errors import Unavailable
from remora_sidecar.interceptor.certificates import Issuer, make_root
from remora_sidecar.interceptor.connection import connection_options
from remora_sidecar.interceptor.layers import (
    EntryLayer,
    ExplicitEntry,
    Route,
    TransparentEntry,
    fatal_alert,
)
from remora_sidecar.interceptor.leaf_cache import LeafCache
from remora_sidecar.model.connect_to import ConnectTo

PROVIDER = "api.openai.com"
PLAIN = "vllm.internal"
ENGINE = ("127.0.0.1", 9)
SERVER = ("192.0.2.7", 443)
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


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
class _Connection:
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
        self.client = connection.Client(
            peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0,
            state=connection.ConnectionState.OPEN,
        )  # fmt: skip
        context = Context(self.client, connection_options())
        self.route = Route(
            policy=lambda: _Policy(self.opaque_allowed), tls_context=_tls_context, engine=ENGINE,
            connect_to=ConnectTo.parse(self.connect_to), dial_guard=self.guard, mode=self.mode,
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


def _connect(target: str, extra: str = "") -> bytes:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{extra}\r\n".encode()


# Redirected connections.


def test_a_hello_to_a_provider_is_terminated_and_handed_off(real_hello) -> None:
    made = _Connection()
    made.agent_sends(real_hello(PROVIDER))

    (hand_off,) = made.hand_offs
    assert (hand_off.tls_name, hand_off.destination, hand_off.port, hand_off.mode) == (
        PROVIDER, "192.0.2.7:443", 443, "transparent",
    )  # fmt: skip
    assert made.sent["agent"][:2] == b"\x16\x03"
    assert made.dialled == []  # the engine comes after the handshake


def test_a_hello_in_pieces_is_judged_once_it_is_whole(hello) -> None:
    made = _Connection()
    data = hello(PROVIDER)
    for at in range(len(data) - 1):
        made.agent_sends(data[at : at + 1])
    assert made.hand_offs == []
    made.agent_sends(data[-1:])

    assert len(made.hand_offs) == 1


def test_another_host_is_relayed_with_its_first_bytes(hello) -> None:
    made = _Connection()
    made.agent_sends(hello("example.com"))
    assert made.dialled == [SERVER]
    server = made.dial_ends()
    made.server_sends(server, b"\x16\x03\x03")

    assert made.sent == {SERVER: hello("example.com"), "agent": b"\x16\x03\x03"}
    assert made.route.opaque is None


def test_plain_http_to_a_plain_provider_goes_to_the_engine() -> None:
    made = _Connection(destination=("192.0.2.7", 8000))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {PLAIN}:8000\r\n\r\n".encode()
    made.agent_sends(head + b"{")
    assert made.dialled == [ENGINE]
    made.dial_ends()

    assert made.sent == {ENGINE: head + b"{"}
    assert made.hand_offs[0].tls_name == ""


def test_plain_http_to_any_other_host_is_relayed() -> None:
    made = _Connection(destination=("192.0.2.7", 80))
    made.agent_sends(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")

    assert made.dialled == [("192.0.2.7", 80)]


def test_a_silent_client_gets_its_server_which_speaks_first() -> None:
    made = _Connection()
    made.time_passes()
    server = made.dial_ends()
    made.server_sends(server, b"220 mail\r\n")
    made.agent_sends(b"EHLO me\r\n")

    assert made.sent == {"agent": b"220 mail\r\n", SERVER: b"EHLO me\r\n"}


def test_a_timer_that_goes_off_later_disturbs_nothing(hello) -> None:
    made = _Connection()
    made.agent_sends(hello("example.com"))
    server = made.dial_ends()
    made.time_passes()
    made.server_sends(server, b"x")

    assert made.sent["agent"] == b"x"
    assert made.closed == []


def test_half_a_hello_is_no_silence(hello) -> None:
    made = _Connection()
    made.agent_sends(hello(PROVIDER)[:20])
    made.time_passes()

    assert made.dialled == []


@pytest.mark.parametrize("when", ["while it is dialled", "once it is open"])
def test_a_slow_hello_is_still_judged_and_the_server_left(real_hello, when) -> None:
    made = _Connection()
    made.time_passes()
    server = made.dial_ends() if when == "once it is open" else None
    made.agent_sends(real_hello(PROVIDER))
    assert made.closed == [SERVER]
    assert made.hand_offs[0].tls_name == PROVIDER
    # What the driver still reports of the server that was left.
    if server is None:
        made.dial_ends("connection cancelled")
    else:
        made.server_sends(server, b"too late")
        made.server_ends(server)

    assert made.closed == [SERVER]
    assert made.half_closed == []
    assert b"too late" not in made.sent.get("agent", b"")


def test_a_slow_hello_to_another_host_uses_the_connection_being_dialled(hello) -> None:
    made = _Connection()
    made.time_passes()
    made.agent_sends(hello("example.com"))
    made.agent_sends(b"more")
    made.dial_ends()

    assert made.sent == {SERVER: hello("example.com") + b"more"}
    assert made.dials == []


def test_a_silent_client_of_an_unreachable_server_may_still_speak_for_a_while(hello) -> None:
    made = _Connection()
    made.time_passes()
    made.dial_ends("unreachable")
    made.agent_sends(hello(PROVIDER))

    assert made.hand_offs[0].tls_name == PROVIDER


def test_a_client_that_stays_silent_before_an_unreachable_server_is_closed() -> None:
    made = _Connection()
    made.time_passes()
    made.dial_ends("unreachable")
    assert made.closed == []
    made.time_passes()

    assert made.closed == ["agent"]


def test_a_relay_that_can_not_be_dialled_closes_the_client(hello) -> None:
    made = _Connection()
    made.time_passes()
    made.agent_sends(hello("example.com"))
    made.dial_ends("unreachable")
    made.dial_ends("unreachable")  # a second try, now that the client has spoken

    assert made.closed == ["agent"]


@pytest.mark.parametrize("silent_first", [False, True], ids=["at once", "slow"])
def test_an_h2_only_client_is_relayed_and_counted_where_allowed(hello, silent_first) -> None:
    made = _Connection()
    if silent_first:
        made.time_passes()
        server = made.dial_ends()
    made.agent_sends(hello(PROVIDER, [b"h2"]))
    if not silent_first:
        server = made.dial_ends()
    made.server_sends(server, b"12345")

    assert made.route.opaque.name == PROVIDER
    assert made.route.opaque.from_agent_bytes == len(hello(PROVIDER, [b"h2"]))
    assert made.route.opaque.to_agent_bytes == 5
    assert not made.route.opaque.blocked


def test_an_unread_connection_follows_connect_to(hello) -> None:
    made = _Connection(connect_to=f"{PROVIDER}:443:10.0.0.1:8443")
    made.time_passes()
    made.dial_ends()
    made.agent_sends(hello(PROVIDER, [b"h2"]))

    assert made.closed == [SERVER]
    assert made.dialled == [("10.0.0.1", 8443)]


@pytest.mark.parametrize("silent_first", [False, True], ids=["at once", "slow"])
def test_an_h2_only_client_gets_an_alert_where_blocked(hello, silent_first) -> None:
    made = _Connection(opaque_allowed=False)
    if silent_first:
        made.time_passes()
        made.dial_ends()
    made.agent_sends(hello(PROVIDER, [b"h2"]))

    assert made.sent["agent"] == fatal_alert(120)
    assert made.closed[-1] == "agent"
    assert made.route.opaque.blocked


def test_a_leaf_that_can_not_be_made_ends_in_an_alert(hello, caplog) -> None:
    made = _Connection()
    made.agent_sends(hello("x.broken.example"))

    assert made.sent["agent"] == fatal_alert(80)
    assert made.closed == ["agent"]
    assert "the CA's certificate expired" in caplog.text


def test_an_agent_that_says_nothing_and_leaves_is_let_go() -> None:
    made = _Connection()
    made.agent_ends()

    assert made.closed == ["agent"]


# Proxy connections.


def test_connect_to_a_provider_is_answered_before_anything_is_dialled(hello) -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect(f"{PROVIDER}:443", "Proxy-Authorization: Basic c2Vzc19hOg==\r\n"))
    assert made.sent == {"agent": ESTABLISHED}
    assert made.dialled == []
    made.agent_sends(hello(PROVIDER))

    (hand_off,) = made.hand_offs
    assert hand_off.proxy_user == "sess_a"
    assert hand_off.destination == f"{PROVIDER}:443"


def test_a_hello_that_comes_with_the_connect_is_read(hello) -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect(f"{PROVIDER}:443") + hello(PROVIDER))

    assert made.hand_offs[0].tls_name == PROVIDER


def test_connect_to_another_host_dials_first_and_relays_at_once() -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect("example.com:22"))
    assert made.sent == {}
    server = made.dial_ends()
    assert made.sent == {"agent": ESTABLISHED}
    made.server_sends(server, b"SSH-2.0-x\r\n")

    assert made.sent["agent"] == ESTABLISHED + b"SSH-2.0-x\r\n"


def test_what_comes_with_a_connect_is_relayed_once_it_stands() -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect("example.com:443") + b"early")
    made.agent_sends(b" and later")
    made.dial_ends()

    assert made.sent[("example.com", 443)] == b"early and later"


def test_a_failed_dial_is_a_502_with_the_reason() -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect("example.com:443"))
    made.dial_ends("Name or service not known")

    assert made.sent["agent"].startswith(b"HTTP/1.1 502 ")
    assert b"example.com:443: Name or service not known" in made.sent["agent"]
    assert made.closed == ["agent"]


def test_a_client_that_leaves_during_the_dial_ends_the_dial() -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect("example.com:443"))
    made.agent_ends()

    assert set(made.closed) == {"agent", ("example.com", 443)}


def test_a_guarded_host_is_refused_with_the_reason() -> None:
    made = _Connection("explicit", guard=lambda host, port: f"not port {port}")
    made.agent_sends(_connect("example.com:853"))

    assert made.sent["agent"].startswith(b"HTTP/1.1 403 ")
    assert b"not port 853" in made.sent["agent"]
    assert made.dialled == []


def test_the_guard_holds_inside_a_connect_to_a_provider_too(hello) -> None:
    made = _Connection("explicit", guard=lambda host, port: "no")
    made.agent_sends(_connect(f"{PROVIDER}:443"))
    made.agent_sends(hello(PROVIDER, [b"h2"]))

    assert made.dialled == []
    assert made.closed == ["agent"]


def test_connect_to_follows_connect_to_for_every_host() -> None:
    made = _Connection("explicit", connect_to="::10.0.0.1:8443")
    made.agent_sends(_connect("example.com:443"))

    assert made.dialled == [("10.0.0.1", 8443)]


def test_a_front_name_inside_a_connect_is_an_opaque_connection(hello) -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect(f"{PROVIDER}:443") + hello("example.com"))

    assert made.dialled == [(PROVIDER, 443)]
    assert made.route.opaque.name == PROVIDER


def test_no_tls_inside_a_connect_to_a_provider_is_blocked_without_a_tls_alert() -> None:
    made = _Connection("explicit", opaque_allowed=False)
    made.agent_sends(_connect(f"{PROVIDER}:443") + b"\x00\x01")

    assert made.sent == {"agent": ESTABLISHED}
    assert made.closed == ["agent"]


def test_plain_http_inside_a_connect_to_a_plain_provider_goes_to_the_engine() -> None:
    made = _Connection("explicit")
    head = f"GET /v1/models HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n".encode()
    made.agent_sends(_connect(f"{PLAIN}:8000") + head)
    made.dial_ends()

    assert made.sent[ENGINE] == head
    assert made.hand_offs[0].destination == f"{PLAIN}:8000"


@pytest.mark.parametrize("method", ["GET", "POST", "PROPFIND"])
def test_a_full_url_goes_raw_to_the_engine(method) -> None:
    made = _Connection("explicit")
    head = f"{method} http://example.com/a HTTP/1.1\r\nHost: example.com\r\n\r\n".encode()
    made.agent_sends(head + b"body")
    made.dial_ends()

    assert made.sent == {ENGINE: head + b"body"}
    assert made.hand_offs[0].destination == ""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x05\x01\x00", id="socks"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare newlines"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="broken tls"),
        pytest.param(b"CONNECT api.openai.com:99999 HTTP/1.1\r\n\r\n", id="a port out of range"),
        pytest.param(b"CONNECT :443 HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"CONNECT a..b:443 HTTP/1.1\r\n\r\n", id="an empty label"),
        pytest.param(_connect(f"{'a' * 64}.example:443"), id="a label too long"),
        pytest.param(b"GET " + b"a" * 70_000, id="a head without end"),
    ],
)
def test_what_is_no_proxy_request_is_a_clear_400(data) -> None:
    made = _Connection("explicit")
    made.agent_sends(data)

    assert made.sent["agent"].startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert made.closed == ["agent"]


def test_tls_to_the_proxy_port_is_a_clear_400(hello) -> None:
    made = _Connection("explicit")
    made.agent_sends(hello("127.0.0.1"))

    assert made.sent["agent"].startswith(b"HTTP/1.1 400 ")


def test_the_engines_end_ends_the_agent() -> None:
    made = _Connection("explicit")
    made.agent_sends(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
    engine = made.dial_ends()
    made.server_ends(engine)

    assert "agent" in made.closed


def test_a_relays_ends_are_passed_on_one_direction_at_a_time() -> None:
    made = _Connection("explicit")
    made.agent_sends(_connect("example.com:80"))
    server = made.dial_ends()
    made.agent_ends()
    assert made.half_closed == [("example.com", 80)]
    made.server_sends(server, b"the answer")
    made.server_ends(server)

    assert made.sent["agent"].endswith(b"the answer")
    assert "agent" in made.closed


_PIECES: dict[str, bytes] = {}


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, no layer fails and nothing reaches a closed end."""

    def __init__(self) -> None:
        """Start with a redirected connection."""
        super().__init__()
        self.made = _Connection()
        self.servers: list[connection.Server] = []
        self.ended: set[connection.Connection] = set()

    def _agent_is_there(self) -> bool:
        made = self.made
        return made.client not in self.ended and "agent" not in made.closed

    @rule()
    def nothing_happens(self) -> None:
        """Hypothesis needs a rule that always applies."""

    @precondition(lambda self: self._agent_is_there())
    @rule(piece=st.sampled_from(["provider", "other", "h2", "part", "junk"]))
    def the_agent_speaks(self, piece: str) -> None:
        self.made.agent_sends(_PIECES[piece])

    @precondition(lambda self: self._agent_is_there())
    @rule()
    def the_agent_ends(self) -> None:
        self.ended.add(self.made.client)
        self.made.agent_ends()

    @precondition(lambda self: self.made.wakeups)
    @rule()
    def a_timer_goes_off(self) -> None:
        self.made.time_passes()

    @precondition(lambda self: self.made.dials)
    @rule(error=st.sampled_from([None, "unreachable"]))
    def a_dial_ends(self, error: str | None) -> None:
        server = self.made.dial_ends(error)
        if server.state is connection.ConnectionState.OPEN:
            self.servers.append(server)

    @precondition(lambda self: self.servers)
    @rule()
    def a_server_speaks(self) -> None:
        self.made.server_sends(self.servers[-1], b"hello from the server")

    @precondition(lambda self: self.servers)
    @rule()
    def a_server_ends(self) -> None:
        self.made.server_ends(self.servers.pop())

    @invariant()
    def at_most_one_server_is_open(self) -> None:
        assert len(self.made._open - {self.made.client}) <= 1


def test_any_order_of_events_is_survived(hello, real_hello) -> None:
    _PIECES.update(
        provider=real_hello(PROVIDER), other=hello("example.com"), h2=hello(PROVIDER, [b"h2"]),
        part=hello(PROVIDER)[:30], junk=b"\x00\x01\x02",
    )  # fmt: skip

    run_state_machine_as_test(AnyOrder, settings=hypothesis_settings(max_examples=150))
