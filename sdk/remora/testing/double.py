"""The provider double: a real server, on loopback, that answers exactly as told.

For tests, the demo and benchmarks. It plays recorded transcripts and scripted answers over
TLS (and plain HTTP on the same port), keeps every request byte by byte, and fails in every
way a provider can. `python -m remora.testing.double_command` runs it as its own process.

    async with ProviderDouble(names=["api.openai.com"]) as double:
        double.script(Answer(body=b"hello", fault=Fault(FaultKind.RESET, 3)))
        ...  # a client that trusts double.ca_pem, dialling double.address
        assert double.requests[0].body == sent
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from remora.task_owner import TaskOwner
from remora.testing.double_answer import Answer, FaultKind, Framing, RandomCuts
from remora.testing.double_brain import OpenAIBrain
from remora.testing.double_connection import Connection, Reaction
from remora.testing.double_repertoire import Repertoire
from remora.testing.double_request import ReceivedRequest, RequestHead
from remora.testing.double_tls import Authority
from remora.testing.double_wire import Plan, plan, whole
from remora.testing.transcripts import Transcript

_PREPARED_LIMIT = 1024


class ProviderDouble:
    """A provider under the caller's command; an async context manager.

    Attributes:
        requests: Every whole request, in the order in which they became whole.
        connections_opened: How many connections were ever accepted.
        aborted: Numbers of the connections that the peer cut in the middle of an exchange.
        problems: Why connections ended that spoke no TLS or no HTTP, such as
            ``tls: TLSV1_ALERT_UNKNOWN_CA`` or ``tls: left in the handshake`` of clients that
            do not trust the root.
    """

    def __init__(
        self,
        *,
        names: Sequence[str] = ("api.openai.com",),
        hosts: Sequence[str] = ("127.0.0.1",),
        port: int = 0,
        brain: OpenAIBrain | None = None,
        authority: Authority | None = None,
        keep_requests: bool = True,
        body_limit_bytes: int = 8 * 1024 * 1024,
    ) -> None:
        """Prepare; `async with` or `start` listens.

        Args:
            names: What the TLS certificate is for.
            hosts: Addresses to listen on, all with the same port.
            port: 0: any free one.
            brain: Who answers chat completions that nothing else answers.
            authority: A CA and certificate made before, shared by several doubles.
            keep_requests: Fill `requests`; switched off where only speed counts.
            body_limit_bytes: How much of each request body is kept.
        """
        chat = brain or OpenAIBrain()
        self._repertoire = Repertoire({("POST", "/v1/chat/completions"): chat})
        self.authority = authority or Authority(names)
        self.tasks = TaskOwner("provider-double")
        self.body_limit_bytes = body_limit_bytes
        self.requests: list[ReceivedRequest] = []
        self.connections_opened = 0
        self.aborted: list[int] = []
        self.problems: list[str] = []
        self._hosts, self._port = tuple(hosts), port
        self._keep_requests = keep_requests
        self._servers: list[asyncio.Server] = []
        self._open: set[Connection] = set()
        self._waiting: list[tuple[Callable[[], object], asyncio.Future[None]]] = []
        self._prepared: dict[tuple[int, str, bool], tuple[Answer, Plan, bytes | None]] = {}

    # what callers use

    @property
    def ca_pem(self) -> str:
        """The root of the served certificate, for ``REMORA_UPSTREAM_CA`` and its like."""
        return self.authority.ca_pem.decode()

    @property
    def address(self) -> tuple[str, int]:
        """The first address it listens on."""
        host, port = self._servers[0].sockets[0].getsockname()[:2]
        return host, port

    @property
    def scripts_left(self) -> int:
        """How many scripted reactions nobody asked for yet."""
        return self._repertoire.scripts_left

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def script(self, *reactions: Reaction) -> None:
        """React to the next requests, whatever they are, in this order."""
        self._repertoire.script(*reactions)

    def route(self, method: str, path: str, reaction: Reaction) -> None:
        """React so to every request of a method and path."""
        self._repertoire.route(method, path, reaction)

    def play(
        self,
        transcripts: Iterable[Transcript],
        *,
        cuts: RandomCuts | tuple[int, ...] = (),
        framing: Framing | None = None,
    ) -> None:
        """Answer requests of recorded exchanges as recorded."""
        self._repertoire.play(transcripts, cuts=cuts, framing=framing)

    def end_idle(self, kind: FaultKind = FaultKind.CLOSE) -> int:
        """End the connections that wait for another request, as servers do; returns how many."""
        idle = [connection for connection in self._open if connection.is_idle]
        for connection in idle:
            connection.end(kind)
        return len(idle)

    async def until(self, condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Wait until something about this double has come true.

        Raises:
            TimeoutError: It did not.
        """
        if condition():
            return
        come_true: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (condition, come_true)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await come_true
        finally:
            self._waiting.remove(entry)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: An address can't be listened on.
        """
        loop = asyncio.get_running_loop()
        port = self._port
        for host in self._hosts:
            server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]

    async def listen_on(self, *sockets: socket.socket) -> None:
        """Serve listening sockets made elsewhere, such as in a network namespace."""
        loop = asyncio.get_running_loop()
        for made in sockets:
            server = await loop.create_server(lambda: Connection(self), sock=made)
            self._servers.append(server)

    async def aclose(self) -> None:
        """Stop listening and cut every connection."""
        for server in self._servers:
            server.close()
        for connection in list(self._open):
            connection.end(FaultKind.DROP)
        await self.tasks.aclose()
        await self.until(lambda: not self._open)

    async def __aenter__(self) -> Self:
        """Listen, and give the double itself."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.aclose()

    # what its connections ask and tell

    def choose(self, head: RequestHead) -> Reaction:
        """Choose the reaction to a request by its head."""
        return self._repertoire.choose(head)

    def prepared(self, answer: Answer, method: str, keep_alive: bool) -> tuple[Plan, bytes | None]:
        """Plan an answer; with its bytes where it is a simple one."""
        key = (id(answer), method, keep_alive)
        known = self._prepared.get(key)
        if known is not None:
            return known[1], known[2]
        planned = plan(answer, method, keep_alive=keep_alive)
        ready = whole(answer, planned) if answer.is_simple else None
        if len(self._prepared) < _PREPARED_LIMIT:
            self._prepared[key] = (answer, planned, ready)  # holds the answer, so its id stays
        return planned, ready

    def opened(self, connection: Connection) -> int:
        """Note a new connection; returns its number."""
        self._open.add(connection)
        self.connections_opened += 1
        self._tell()
        return self.connections_opened

    def received(self, request: ReceivedRequest) -> None:
        """Note a whole request."""
        if self._keep_requests:
            self.requests.append(request)
            self._tell()

    def lost(self, connection: Connection, problem: str, *, aborted: bool) -> None:
        """Note the end of a connection, and whether the peer cut an exchange."""
        self._open.discard(connection)
        if problem:
            self.problems.append(problem)
        if aborted:
            self.aborted.append(connection.number)
        self._tell()

    def _tell(self) -> None:
        for condition, come_true in self._waiting:
            if not come_true.done() and condition():
                come_true.set_result(None)
