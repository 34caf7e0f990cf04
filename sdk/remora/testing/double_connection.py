"""One connection of the provider double: TLS or plain by its first byte, request by request."""

import asyncio
import hashlib
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Protocol

from remora.task_owner import TaskOwner
from remora.testing.double_answer import (
    Answer,
    EchoWebSocket,
    FaultKind,
    TalkingWebSocket,
    json_answer,
)
from remora.testing.double_player import play
from remora.testing.double_request import (
    BodyPart,
    MalformedRequestError,
    MessageEnd,
    ReceivedRequest,
    RequestHead,
    RequestReader,
)
from remora.testing.double_tls import Authority, TlsPipe
from remora.testing.double_websocket import WebSocketEnd
from remora.testing.double_wire import Plan

Responder = Callable[[ReceivedRequest], Answer]
Reaction = Answer | EchoWebSocket | TalkingWebSocket | Responder

_TLS_HANDSHAKE = 0x16
_READ_AHEAD_BYTES = 256 * 1024
_MALFORMED = json_answer(b'{"error":{"message":"malformed request"}}', status=400)


class Stage(Protocol):
    """What a connection asks of the double it belongs to."""

    @property
    def authority(self) -> Authority:
        """The served names and their certificate."""
        ...

    @property
    def tasks(self) -> TaskOwner:
        """Who owns the tasks that play answers."""
        ...

    @property
    def body_limit_bytes(self) -> int:
        """How much of each request body is kept."""
        ...

    def choose(self, head: RequestHead) -> Reaction:
        """Choose the reaction to a request by its head."""
        ...

    def prepared(self, answer: Answer, method: str, keep_alive: bool) -> tuple[Plan, bytes | None]:
        """Plan an answer; with its bytes where it is a simple one."""
        ...

    def opened(self, connection: "Connection") -> int:
        """Note a new connection; returns its number."""
        ...

    def received(self, request: ReceivedRequest) -> None:
        """Note a whole request."""
        ...

    def lost(self, connection: "Connection", problem: str, *, aborted: bool) -> None:
        """Note the end of a connection, and whether the peer cut an exchange."""
        ...


class _Incoming:
    """A request while it arrives."""

    def __init__(self, head: RequestHead, reaction: Reaction, keep_bytes: int) -> None:
        self.head = head
        self.reaction = reaction
        self._keep_bytes = keep_bytes
        self._body = bytearray()
        self._digest = hashlib.sha256()
        self.body_bytes = 0
        self.answered = False

    def add(self, data: bytes) -> None:
        self._body += data[: self._keep_bytes - len(self._body)]
        self._digest.update(data)
        self.body_bytes += len(data)

    def whole(self, end: MessageEnd, connection: "Connection") -> ReceivedRequest:
        return ReceivedRequest(
            self.head,
            bytes(self._body),
            self.body_bytes,
            self._digest.hexdigest(),
            end.trailers,
            connection.number,
            connection.tls is not None,
            None if connection.tls is None else connection.tls.sni,
            None if connection.tls is None else connection.tls.alpn,
            end.http_chunks,
        )


class Connection(asyncio.Protocol):
    """Receives requests, lets the stage choose, plays the answers in order."""

    def __init__(self, stage: Stage) -> None:
        """Belong to a stage."""
        self._stage = stage
        self._reader = RequestReader()
        self._incoming: _Incoming | None = None
        self._answering = False
        self._player: asyncio.Task[None] | None = None
        self._websocket: WebSocketEnd | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._problem = ""
        self._ending = False
        self._started = False
        self._has_served = False
        self.number = 0
        self.tls: TlsPipe | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it has served an exchange and waits for another."""
        under_way = self._answering or self._incoming is not None or not self._reader.is_idle
        return self._has_served and not under_way

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (narrows asyncio's type)
        self._transport = transport
        # asyncio leaves it out for listeners made with protocol 0, as `socket` makes them.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self._stage.opened(self)

    def data_received(self, data: bytes) -> None:
        """Decrypt, read, react."""
        if not self._started:
            self._started = True
            self.tls = TlsPipe(self._stage.authority) if data[0] == _TLS_HANDSHAKE else None
        try:
            plain = self._decrypted(data)
        except ssl.SSLError as error:
            self._give_up(f"tls: {error.reason or error}")
            return
        if plain:
            self._take(plain)
        if self.tls is not None and self.tls.ended:
            self._transport.close()

    def eof_received(self) -> bool:
        """End: a half-closed client is a client gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop playing and tell the stage."""
        aborted = (self._answering or self._incoming is not None) and not self._ending
        if self._player is not None:
            self._player.cancel()
        if self.tls is not None and not self.tls.shaken and not self._ending:
            self._problem = "tls: left in the handshake"
        self._writable.set()
        self._stage.lost(self, self._problem, aborted=aborted)

    def pause_writing(self) -> None:
        """Hold the player."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let the player go on."""
        self._writable.set()

    # the player's side

    def write(self, plain: bytes) -> None:
        """Send, encrypted where the connection is."""
        self._transport.write(plain if self.tls is None else self.tls.send(plain))

    async def drained(self) -> None:
        """Wait until the peer has taken enough of what was written."""
        await self._writable.wait()

    async def flushed(self) -> None:
        """Wait until the kernel has taken all that was written."""
        self._transport.set_write_buffer_limits(high=0)
        await self._writable.wait()

    def end(self, kind: FaultKind) -> None:
        """End the connection in this way."""
        self._ending = True
        if self._transport.is_closing():
            return
        if kind is FaultKind.RESET:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            return
        if kind is FaultKind.CLOSE and self.tls is not None and (bye := self.tls.goodbye()):
            self._transport.write(bye)
        self._transport.close()

    # requests

    def _decrypted(self, data: bytes) -> bytes:
        if self.tls is None:
            return data
        try:
            return self.tls.receive(data)
        finally:
            if answer := self.tls.pending():
                self._transport.write(answer)

    def _take(self, plain: bytes) -> None:
        if self._websocket is not None:
            self._talk(self._websocket, plain)
            return
        self._reader.feed(plain)
        self._advance()
        if self._answering and self._reader.buffered > _READ_AHEAD_BYTES:
            self._transport.pause_reading()

    def _advance(self) -> None:
        try:
            while self._may_read():
                event = self._reader.next()
                if event is None:
                    return
                self._react(event)
        except MalformedRequestError as error:
            self._problem = f"http: {error}"
            self._refuse()

    def _refuse(self) -> None:
        self._incoming = None
        if self._answering:
            self.end(FaultKind.DROP)
        else:
            self._perform(_MALFORMED, "GET", keep_alive=False)

    def _may_read(self) -> bool:
        # The next request waits for the answer; the rest of this one does not.
        waits = self._answering and self._incoming is None
        return not waits and not self._transport.is_closing() and self._websocket is None

    def _react(self, event: RequestHead | BodyPart | MessageEnd) -> None:
        match event:
            case RequestHead():
                self._begin(event)
            case BodyPart():
                if self._incoming is not None:
                    self._incoming.add(event.data)
            case MessageEnd():
                self._finish_request(event)

    def _begin(self, head: RequestHead) -> None:
        reaction = self._stage.choose(head)
        self._incoming = _Incoming(head, reaction, self._stage.body_limit_bytes)
        if isinstance(reaction, Answer) and reaction.early:
            self._incoming.answered = True
            self._perform(reaction, head.method, keep_alive=head.keep_alive)
        elif head.expects_continue:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _finish_request(self, end: MessageEnd) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return
        request = incoming.whole(end, self)
        self._stage.received(request)
        reaction = incoming.reaction
        if isinstance(reaction, EchoWebSocket | TalkingWebSocket):
            self._upgrade(reaction, incoming.head)
            return
        if not incoming.answered:
            answer = reaction if isinstance(reaction, Answer) else reaction(request)
            self._perform(answer, incoming.head.method, keep_alive=incoming.head.keep_alive)

    # answers

    def _perform(self, answer: Answer, method: str, *, keep_alive: bool) -> None:
        self._answering = True
        planned, ready = self._stage.prepared(answer, method, keep_alive)
        if ready is not None:
            self.write(ready)
            self._answered(planned)
            return
        name = f"answer-{self.number}"
        self._player = self._stage.tasks.spawn(self._play(answer, planned), name=name)

    async def _play(self, answer: Answer, planned: Plan) -> None:
        if await play(self, answer, planned) and not self._transport.is_closing():
            self._player = None
            self._answered(planned)
            self._transport.resume_reading()
            self._advance()

    def _answered(self, planned: Plan) -> None:
        self._answering = False
        self._has_served = True
        if planned.closes:
            self.end(FaultKind.CLOSE)

    def _upgrade(self, script: EchoWebSocket | TalkingWebSocket, head: RequestHead) -> None:
        self._answering = True
        self._websocket = WebSocketEnd(script, head)
        self.write(self._websocket.opening())
        if rest := self._reader.take_rest():
            self._talk(self._websocket, rest)

    def _talk(self, websocket: WebSocketEnd, data: bytes) -> None:
        for answer in websocket.receive(data):
            self.write(answer)
        if websocket.ending is not None and websocket.ending is not FaultKind.STALL:
            self._answering = False
            self.end(websocket.ending)

    def _give_up(self, problem: str) -> None:
        self._problem = problem
        self._ending = True
        self._transport.close()
