"""The interceptor over real sockets and real TLS, with a small server where the engine would be."""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from remora.clock import SystemClock
from remora.testing.raw_agent import CutError, RawAgent
from remora_sidecar.engine.opaque import OpaqueConnection
from remora_sidecar.interceptor.authority import LocalAuthority
from remora_sidecar.interceptor.layers import Route
from remora_sidecar.interceptor.listener import Interceptor
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.model.handoff import Address, HandOff

PROVIDER = "api.openai.com"
SERVER_OF_THE_TEST = "a server of the test"
MEGABYTE = 1 << 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class _Policy:
    opaque_allowed: bool = True

    def terminates(self, host: str) -> bool:
        return host == PROVIDER

    def takes_plain(self, host: str, port: int) -> bool:
        return False


@dataclass
class Stage:
    """An interceptor, the servers around it and what they saw."""

    authority: LocalAuthority
    policy: _Policy = field(default_factory=_Policy)
    hand_offs: list[HandOff] = field(default_factory=list)
    open_hand_offs: int = 0
    stopping: bool = False
    opaque: list[OpaqueConnection] = field(default_factory=list)
    connect_to: str = ""
    proxy: Address = ("", 0)
    engine: Serve | None = None
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def serve(self, serve: Serve, context: ssl.SSLContext | None = None) -> Address:
        """Start a server of the test's own and say where it is."""
        server = await asyncio.start_server(self._serving(serve), "127.0.0.1", 0, ssl=context)
        self.stack.callback(server.close)
        address: Address = server.sockets[0].getsockname()
        return address

    def _serving(self, serve: Serve) -> Serve:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.set_name(SERVER_OF_THE_TEST)
            try:
                await serve(reader, writer)
            except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        return connected

    def take_over(self, hand_off: HandOff) -> asyncio.Protocol | None:
        """Take a connection as the engine would."""
        if self.stopping:
            return None
        self.hand_offs.append(hand_off)
        serve = self._serving(self.engine or self.as_engine)

        async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.open_hand_offs += 1
            await serve(reader, writer)
            self.open_hand_offs -= 1

        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), counted)

    async def as_engine(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request with its own head, as one who was handed the connection."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = b"engine saw: " + head
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def route(self, mode: str) -> Route:
        return Route(
            policy=lambda: self.policy,
            tls_context=lambda name: self.authority.leaf(name).context,
            engine=self.take_over,
            before_answers=lambda: None,
            connect_to=ConnectTo.parse(self.connect_to),
            dial_guard=lambda host, port: None,
            mode=mode,
        )

    @property
    def ca_pem(self) -> str:
        pem = self.authority.root_pem
        return pem.decode() if isinstance(pem, bytes) else pem


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    before = asyncio.all_tasks()
    made = Stage(LocalAuthority.open(tmp_path, SystemClock()))
    interceptor = Interceptor(
        make_route=made.route, opaque_ended=made.opaque.append, clock=SystemClock()
    )
    async with made.stack:
        await interceptor.listen("explicit", [("127.0.0.1", 0)])
        made.proxy = interceptor.addresses["explicit"][0]
        yield made
        await interceptor.aclose()
        assert _tasks_since(before) == []
    assert made.open_hand_offs == 0


def _tasks_since(before: set[asyncio.Task[Any]]) -> list[str]:
    """Name the tasks that came and stayed, but for the test's own."""
    tasks = asyncio.all_tasks() - before - {asyncio.current_task()}
    return [name for task in tasks if (name := task.get_name()) != SERVER_OF_THE_TEST]


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.002)


def _remote_tls(name: str, alpn: str = "http/1.1") -> tuple[ssl.SSLContext, str]:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    context.set_alpn_protocols([alpn])
    return context, ca.cert_pem.bytes().decode()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def test_a_provider_is_met_with_a_leaf_that_carries_only_its_name(stage) -> None:
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem) as agent:
        tls = agent.writer.get_extra_info("ssl_object")
        leaf = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

        assert names == x509.SubjectAlternativeName([x509.DNSName(PROVIDER)])
        assert tls.selected_alpn_protocol() == "http/1.1"


async def test_requests_reach_the_engine_as_they_were_with_what_is_known_of_them(stage) -> None:
    through = RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem, user="sess_1")
    async with await through as agent:
        answer = await agent.ask("POST", "/v1/x?q=%2F", [("Host", PROVIDER), ("X-Odd", "a")])

    assert answer.body == (
        b"engine saw: POST /v1/x?q=%2F HTTP/1.1\r\nHost: api.openai.com\r\nX-Odd: a\r\n\r\n"
    )
    assert stage.hand_offs == [
        HandOff("explicit", PROVIDER, f"{PROVIDER}:443", 443, proxy_user="sess_1")
    ]


async def test_a_client_without_alpn_is_served(stage) -> None:
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem, alpn=()) as agent:
        assert (await agent.ask("GET", "/")).status == 200


async def test_a_hand_off_is_forgotten_when_its_connection_ends(stage) -> None:
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem) as agent:
        await agent.ask("GET", "/")
        assert stage.open_hand_offs == 1

    await _until(lambda: stage.open_hand_offs == 0)


async def test_a_full_url_is_handed_over_raw(stage) -> None:
    async with await RawAgent.connect(stage.proxy) as agent:
        answer = await agent.ask("GET", "http://example.com/a", [("Host", "example.com")])

    assert answer.body.startswith(b"engine saw: GET http://example.com/a HTTP/1.1\r\n")
    assert stage.hand_offs == [HandOff("explicit", "", "", 0)]


async def test_another_host_keeps_its_own_certificate_and_is_handed_to_nobody(stage) -> None:
    context, ca_pem = _remote_tls("example.com")
    host, port = await stage.serve(_echo, context)
    stage.connect_to = f"example.com:443:{host}:{port}"
    async with await RawAgent.through(stage.proxy, "example.com", ca_pem=ca_pem) as agent:
        await agent.write(b"hello")

        assert await agent.reader.readexactly(5) == b"hello"
    assert stage.hand_offs == []
    assert stage.opaque == []


async def test_a_server_that_speaks_first_is_heard_within_a_tunnel(stage) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-test\r\n")
        await reader.read()

    address = await stage.serve(greet)
    async with await RawAgent.connect(stage.proxy) as agent:
        await agent.open_tunnel(*address)

        assert await agent.reader.readline() == b"SSH-2.0-test\r\n"


async def test_a_host_that_can_not_be_dialled_is_a_502_with_the_reason(stage, free_port) -> None:
    async with await RawAgent.connect(stage.proxy) as agent:
        with pytest.raises(
            ConnectionRefusedError, match=r"502 .*127\.0\.0\.1:\d+: .*[Rr]efused|111"
        ):
            await agent.open_tunnel("127.0.0.1", free_port)


async def test_a_name_that_does_not_exist_is_a_502_with_the_reason(stage) -> None:
    async with await RawAgent.connect(stage.proxy) as agent:
        with pytest.raises(ConnectionRefusedError, match=r"502 .*nowhere\.invalid:443"):
            await agent.open_tunnel("nowhere.invalid", 443)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"NONSENSE\r\n\r\n", id="no http"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="broken tls"),
        pytest.param(b"CONNECT a..b:443 HTTP/1.1\r\n\r\n", id="no host name"),
        pytest.param(b"\x05\x01\x00" + os.urandom(40), id="socks"),
    ],
)
async def test_what_no_proxy_understands_is_answered_with_400_and_closed(
    stage, data, caplog
) -> None:
    async with await RawAgent.connect(stage.proxy) as agent:
        await agent.write(data)

        assert (await agent.answer()).status == 400
        assert await agent.at_end()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_tls_that_breaks_off_is_closed_and_nothing_is_said(stage, hello, caplog) -> None:
    async with await RawAgent.connect(stage.proxy) as agent:
        await agent.open_tunnel(PROVIDER, 443)
        await agent.write(hello(PROVIDER)[:40])
        agent.writer.write_eof()

        assert await agent.at_end()
    assert stage.hand_offs == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_garbage_after_a_good_hello_ends_the_connection_alone(stage, real_hello) -> None:
    async with await RawAgent.connect(stage.proxy) as agent:
        await agent.open_tunnel(PROVIDER, 443)
        await agent.write(real_hello(PROVIDER) + os.urandom(500))

        await asyncio.wait_for(agent.reader.read(), 10)
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem) as agent:
        assert (await agent.ask("GET", "/")).status == 200


async def test_an_agent_without_our_root_is_told_of_once(stage, caplog) -> None:
    _, other_root = _remote_tls(PROVIDER)
    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError):
            await RawAgent.through(stage.proxy, PROVIDER, ca_pem=other_root)

    await _until(lambda: caplog.messages)
    assert stage.hand_offs == []
    (said,) = caplog.messages
    assert said.startswith(f"an agent did not accept the certificate for {PROVIDER}")


async def test_an_h2_only_client_is_relayed_and_told_of_where_allowed(stage) -> None:
    context, ca_pem = _remote_tls(PROVIDER, "h2")
    host, port = await stage.serve(_echo, context)
    stage.connect_to = f"{PROVIDER}:443:{host}:{port}"
    through = RawAgent.through(stage.proxy, PROVIDER, ca_pem=ca_pem, alpn=("h2",), user="sess_2")
    async with await through as agent:
        assert agent.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        await agent.write(b"PRI *")
        assert await agent.reader.readexactly(5) == b"PRI *"

    await _until(lambda: stage.opaque)
    (seen,) = stage.opaque
    assert (seen.host, seen.proxy_user, seen.blocked) == (PROVIDER, "sess_2", False)
    assert seen.destination == f"{PROVIDER}:443"
    assert seen.from_agent_bytes > 100
    assert seen.to_agent_bytes > 100
    assert stage.hand_offs == []


async def test_an_h2_only_client_gets_a_tls_alert_where_blocked(stage) -> None:
    stage.policy.opaque_allowed = False
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem, alpn=("h2",))

    await _until(lambda: stage.opaque)
    assert stage.opaque[0].blocked


async def test_either_end_may_finish_speaking_before_the_other(stage) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got %d" % len(await reader.read()))

    address = await stage.serve(answer_at_the_end)
    async with await RawAgent.connect(stage.proxy) as agent:
        await agent.open_tunnel(*address)
        await agent.write(b"x" * 1000)
        agent.writer.write_eof()

        assert await agent.reader.read() == b"got 1000"


async def test_the_server_may_finish_speaking_before_the_agent(stage) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def speak_then_listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"over to you")
        writer.write_eof()
        heard.set_result(await reader.read())

    address = await stage.serve(speak_then_listen)
    async with await RawAgent.connect(stage.proxy) as agent:
        await agent.open_tunnel(*address)
        assert await agent.reader.read() == b"over to you"
        await agent.write(b"thank you")
        agent.writer.write_eof()

        assert await asyncio.wait_for(heard, 10) == b"thank you"


async def test_much_is_relayed_both_ways_at_once_and_unchanged(stage) -> None:
    address = await stage.serve(_echo)
    block = os.urandom(MEGABYTE)
    async with await RawAgent.connect(stage.proxy) as agent:
        await agent.open_tunnel(*address)

        async def send() -> None:
            for number in range(64):
                await agent.write(struct.pack("!I", number) + block[4:])
            agent.writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            for number in range(64):
                received = await agent.reader.readexactly(MEGABYTE)
                assert received == struct.pack("!I", number) + block[4:]
        assert await agent.at_end()


async def test_much_goes_to_the_engine_and_back_at_once_and_unchanged(stage) -> None:
    stage.engine = _echo
    block = os.urandom(MEGABYTE)
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem) as agent:

        async def send() -> None:
            for number in range(32):
                await agent.write(struct.pack("!I", number) + block[4:])

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            for number in range(32):
                received = await agent.reader.readexactly(MEGABYTE)
                assert received == struct.pack("!I", number) + block[4:]


async def test_an_agent_that_does_not_read_holds_the_engine_back(stage) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(bytes(MEGABYTE))
            await writer.drain()
            await asyncio.sleep(0)  # a provider's bytes come by the loop as well
            sent += MEGABYTE

    stage.engine = flood
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem) as agent:
        await agent.reader.readexactly(8 * MEGABYTE)
        agent.writer.transport.pause_reading()
        before = -1
        async with asyncio.timeout(20):
            while before != sent:
                before = sent
                await asyncio.sleep(0.2)
        assert sent < 64 * MEGABYTE


async def test_a_goodbye_without_an_end_of_the_connection_ends_the_engines_side(stage) -> None:
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            if reader.at_eof():
                break

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            ended.set()

    stage.engine = serve

    def talk() -> None:
        context = ssl.create_default_context(cadata=stage.ca_pem)
        with socket.create_connection(stage.proxy, 10) as plain:
            plain.sendall(f"CONNECT {PROVIDER}:443 HTTP/1.1\r\n\r\n".encode())
            assert b" 200 " in plain.recv(4096)
            with context.wrap_socket(plain, server_hostname=PROVIDER) as tls:
                for _ in range(3):
                    tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    assert tls.recv(4096).endswith(b"ok")
                with contextlib.suppress(OSError):  # its answer may be the connection's end
                    tls.unwrap()

    await asyncio.to_thread(talk)
    await asyncio.wait_for(ended.wait(), 10)


async def test_the_engines_cut_reaches_the_agent_as_one(stage) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")
        await writer.drain()
        writer.transport.abort()

    stage.engine = cut
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem) as agent:
        answer = await agent.ask("GET", "/")

    assert answer.cut
    assert answer.body == b"ten bytes."


async def test_an_agent_that_vanishes_ends_its_engine_connection(stage) -> None:
    ended = asyncio.Event()

    async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    stage.engine = wait_for_end
    agent = await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem)
    await agent.send("GET", "/")
    await _until(lambda: stage.open_hand_offs == 1)
    agent.abort()

    await asyncio.wait_for(ended.wait(), 10)


async def test_an_agent_that_vanishes_while_its_host_is_dialled_leaves_nothing(
    stage, full_backlog
) -> None:
    async with await RawAgent.connect(stage.proxy) as agent:
        host, port = full_backlog
        await agent.send("CONNECT", f"{host}:{port}", [("Host", host)])
        await _until(lambda: _tasks_named("server connection handler"))
        agent.writer.write_eof()

        assert await agent.at_end()
    await _until(lambda: not _tasks_named("server connection handler"))


async def test_what_an_agent_sends_while_its_host_is_dialled_does_not_pile_up(
    stage, full_backlog
) -> None:
    most, taken, refused = 64 * MEGABYTE, 0, 0
    with socket.create_connection(stage.proxy) as agent:
        agent.setblocking(False)
        agent.send(b"CONNECT %b:%d HTTP/1.1\r\n\r\n" % (b"127.0.0.1", full_backlog[1]))
        while taken < most and refused < 2000:
            try:
                taken += agent.send(bytes(MEGABYTE))
                refused = 0
            except BlockingIOError:
                refused += 1
            await asyncio.sleep(0)

    assert taken < most


def _tasks_named(name: str) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if name in task.get_name()]


async def test_closing_ends_connections_in_every_state(tmp_path, real_hello, full_backlog) -> None:
    before = asyncio.all_tasks()
    stage = Stage(LocalAuthority.open(tmp_path, SystemClock()))
    interceptor = Interceptor(
        make_route=stage.route, opaque_ended=stage.opaque.append, clock=SystemClock()
    )
    async with stage.stack:
        echo = await stage.serve(_echo)
        await interceptor.listen("explicit", [("127.0.0.1", 0)])
        (proxy,) = interceptor.addresses["explicit"]
        silent = await RawAgent.connect(proxy)
        tunnelled = await RawAgent.connect(proxy)
        await tunnelled.open_tunnel(*echo)
        waiting = await RawAgent.connect(proxy)
        await waiting.open_tunnel(PROVIDER, 443)
        await waiting.write(real_hello(PROVIDER)[:50])
        dialling = await RawAgent.connect(proxy)
        await dialling.send("CONNECT", "{}:{}".format(*full_backlog))
        carried = await RawAgent.through(proxy, PROVIDER, ca_pem=stage.ca_pem)
        assert (await carried.ask("GET", "/")).status == 200
        await _until(lambda: _tasks_named("server connection handler"))

        await interceptor.aclose()
        assert [
            name for task in asyncio.all_tasks() - before if "client" in (name := task.get_name())
        ] == []
        assert _tasks_named("server connection handler") == []
        assert _tasks_named("watchdog") == []
        for agent in (silent, tunnelled, waiting, dialling, carried):
            with contextlib.suppress(CutError):
                await asyncio.wait_for(agent.at_end(), 5)
            agent.abort()


async def test_an_engine_that_takes_no_more_ends_the_agents_connection(stage) -> None:
    stage.stopping = True
    async with await RawAgent.through(stage.proxy, PROVIDER, ca_pem=stage.ca_pem) as agent:
        await agent.send("GET", "/")

        assert await agent.at_end()
    assert stage.hand_offs == []
