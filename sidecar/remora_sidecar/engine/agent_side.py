"""The agent's end of a call: exact heads and framing onto aiohttp's server protocol.

aiohttp's ``StreamResponse`` adds Date, Server and Content-Type and rewrites names; rule 1
forbids that, so heads and chunks are written here and aiohttp keeps the parsing, the
pipelining and the life of the connection.
"""

from collections.abc import Callable
from enum import Enum
from http import HTTPStatus

from aiohttp import ClientError, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EmptyStreamReader, StreamReader
from aiohttp.web_protocol import RequestHandler

from remora_sidecar.dialects.error_shapes import ErrorShape, openai_error
from remora_sidecar.engine.answer_sink import AnswerStart
from remora_sidecar.engine.headers import RawHeaders, serialized
from remora_sidecar.model.refusal import Refusal

_NO_BODY_STATUS = frozenset({204, 304})


class Framing(Enum):
    """How the answer's body is delimited towards the agent."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class Carried(web.StreamResponse):
    """Tells aiohttp that the answer was written already, and whether to keep the connection."""

    def __init__(self, *, keep_alive: bool) -> None:
        """Note whether the connection can carry another request."""
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Do nothing: the head is out."""
        return None

    async def write_eof(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Do nothing: the body is out."""


_CARRIED = {keep_alive: Carried(keep_alive=keep_alive) for keep_alive in (True, False)}
"""They hold nothing of a call, so that two do for all."""


class AgentRequest:
    """A request as aiohttp parses it, without all that its own request objects offer beside.

    Attributes:
        protocol: aiohttp's, of the connection.
        method: As sent.
        target: As it stood on the request line.
        version: Of HTTP.
        raw_headers: The fields as received.
        fields: The same, to look in.
        content: The body.
        keep_alive: Another request may follow on the connection.
    """

    __slots__ = (
        "_task", "content", "fields", "keep_alive", "method", "protocol", "raw_headers", "target",
        "version",
    )  # fmt: skip

    def __init__(
        self, message: RawRequestMessage, content: StreamReader, protocol: RequestHandler
    ) -> None:
        """Take what the parser found."""
        self.protocol = protocol
        self.method = message.method
        self.target = message.path
        self.version = message.version
        self.raw_headers = message.raw_headers
        self.fields = message.headers
        self.content = content
        self.keep_alive = not message.should_close

    @property
    def body_exists(self) -> bool:
        """Whether a body comes with it."""
        return type(self.content) is not EmptyStreamReader

    @property
    def content_length(self) -> int | None:
        """Its Content-Length, which the parser has checked; None if there is none."""
        stated = self.fields.get(hdrs.CONTENT_LENGTH)
        return None if stated is None else int(stated)

    # What aiohttp's server asks of a request.

    def _cancel(self, error: BaseException) -> None:
        self.content.set_exception(error)

    def _finish(self) -> None:
        """Do nothing: no files were made of the body."""


class AgentSide:
    """Writes one answer to the agent."""

    def __init__(self, request: AgentRequest, own_headers: Callable[[], RawHeaders] = list) -> None:
        """Take the request whose answer this is.

        Args:
            request: From the agent.
            own_headers: Gives the fields that Remora adds, asked as the head is written.
        """
        self._protocol: RequestHandler = request.protocol
        self._is_http10 = request.version < (1, 1)
        self._method = request.method
        self.keep_alive = request.keep_alive
        self.framing = Framing.NONE
        self.started = False
        self._pending = b""
        self._own_headers = own_headers

    def begin(self, start: AnswerStart) -> bool:
        """Take the head of a provider's answer; False if no body belongs to it."""
        framing = self.frame(start.status, start.length)
        self.start(start.status, start.reason, [*start.headers, *self._own_headers()])
        return framing is not Framing.NONE

    def frame(self, status: int, length: int | None) -> Framing:
        """Choose the framing of an answer whose length is known, or not (None)."""
        if self._method == hdrs.METH_HEAD or status in _NO_BODY_STATUS or status == 101:
            self.framing = Framing.NONE
        elif length is not None:
            self.framing = Framing.LENGTH
        elif self._is_http10:
            self.framing = Framing.CLOSE
            self.keep_alive = False
        else:
            self.framing = Framing.CHUNKED
        return self.framing

    def start(self, status: int, reason: str, headers: RawHeaders) -> None:
        """Hold the head back until the first body bytes or `flush`, to send them as one."""
        framing: RawHeaders = []
        if self.framing is Framing.CHUNKED:
            framing.append((b"Transfer-Encoding", b"chunked"))
        if not self.keep_alive:
            framing.append((b"Connection", b"close"))
        elif self._is_http10:
            framing.append((b"Connection", b"keep-alive"))
        line = f"HTTP/1.1 {status} {reason}".encode("utf-8", "surrogateescape")
        self._pending = serialized(line, [*headers, *framing] if framing else headers)

    def write(self, chunk: bytes, *, last: bool = False) -> None:
        """Send the next bytes of the body; ``last`` ends the body with them.

        Raises:
            ConnectionResetError: The agent is gone.
        """
        data = self._framed(chunk)
        if last and self.framing is Framing.CHUNKED:
            data += b"0\r\n\r\n"
        self._send(data)

    def _framed(self, chunk: bytes) -> bytes:
        if not chunk or self.framing is Framing.NONE:
            return b""
        if self.framing is Framing.CHUNKED:
            return b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return chunk

    def flush(self) -> None:
        """Send the head if it is still held back."""
        if self._pending:
            self._send(b"")

    def interim_continue(self) -> None:
        """Tell the agent to send its body (RFC 9110 §15.2.1)."""
        self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _send(self, data: bytes) -> None:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the agent closed the connection")
        if self._pending:
            self.started = True
            data, self._pending = self._pending + data, b""
        if data:
            transport.write(data)

    @property
    def congested(self) -> bool:
        """Whether the agent reads more slowly than the provider sends."""
        return self._protocol.writing_paused

    async def drain(self) -> None:
        """Wait until the agent has read enough; raises ConnectionResetError if it is gone."""
        try:
            await self._protocol._drain_helper()
        except ClientError as error:
            raise ConnectionResetError("the agent closed the connection") from error

    def cut(self) -> None:
        """Close after what was written, without the body's end, so that a cut looks like one."""
        self.keep_alive = False
        transport = self._protocol.transport
        if transport is None:
            return
        if self.framing is Framing.CLOSE:  # a close would look like the end: reset instead
            transport.abort()
        else:
            transport.close()

    def refuse(
        self, refusal: Refusal, call_id: str = "", *, shape: ErrorShape = openai_error
    ) -> None:
        """Give an answer of our own; nothing, if an answer was begun already."""
        if self.started:
            return
        answer = shape(refusal, call_id)
        length = (b"Content-Length", b"%d" % len(answer.body))
        headers = [*answer.headers, length, *self._own_headers()]
        self.frame(answer.status, len(answer.body))
        self.start(answer.status, HTTPStatus(answer.status).phrase, headers)
        self.write(answer.body, last=True)

    def carried(self) -> Carried:
        """What the handler gives back to aiohttp."""
        return _CARRIED[self.keep_alive]
