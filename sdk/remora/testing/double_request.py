"""Requests as the provider double receives them: exact bytes kept, read sans-io.

The reader is strict and small on purpose: it shares no code with the parsers of the sidecar,
so that what it says about a request is a second opinion.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

HEAD_LIMIT_BYTES = 1024 * 1024
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \r\n]+) HTTP/1\.([01])")


class MalformedRequestError(Exception):
    """Bytes that are no HTTP/1.1 request."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request.

    Attributes:
        raw: Its exact bytes, up to and with the empty line.
        method: As sent.
        target: As sent, unquoted by nobody.
        headers: Names and values (without surrounding blanks) in their order.
        keep_alive: The connection may serve another request.
        content_length: None if not given.
        chunked: The body is chunked.
    """

    raw: bytes
    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    keep_alive: bool
    content_length: int | None
    chunked: bool

    def header(self, name: str) -> str | None:
        """Return the first value of a header; None if absent."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for k, v in self.headers if k.lower() == wanted), None)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def host(self) -> str:
        """The Host header in lower case, with its port where one is named."""
        return (self.header("host") or "").lower()

    @property
    def wants_websocket(self) -> bool:
        """Whether the request asks for an upgrade to WebSocket."""
        return (self.header("upgrade") or "").lower() == "websocket"

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a 100 before it sends the body."""
        return (self.header("expect") or "").lower() == "100-continue"


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A whole request as received.

    Attributes:
        head: Its head.
        body: Content without framing; only the first bytes if larger than the double keeps.
        body_bytes: Length of the content.
        body_sha256: Digest of the whole content as hex digits.
        trailers: Raw lines of the trailer part, without line ends.
        connection: Number of the connection that carried it, counted from 1.
        tls: It came over TLS.
        sni: Name that the TLS client asked for; None if it named none.
        alpn: Protocol that TLS settled on.
        http_chunks: How many chunks a chunked body came in.
    """

    head: RequestHead
    body: bytes
    body_bytes: int
    body_sha256: str
    trailers: tuple[bytes, ...]
    connection: int
    tls: bool
    sni: str | None
    alpn: str | None
    http_chunks: int


@dataclass(frozen=True, slots=True)
class BodyPart:
    """Content of the current request; whole if it ended with this part."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """The current request is whole."""

    trailers: tuple[bytes, ...] = ()
    http_chunks: int = 0


Event = RequestHead | BodyPart | MessageEnd


class _State(Enum):
    HEAD = auto()
    SIZED = auto()
    CHUNK_SIZE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILERS = auto()


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise MalformedRequestError("a header line without a name")
    return name, value.strip(b" \t")


def _values(headers: tuple[tuple[bytes, bytes], ...], name: bytes) -> list[bytes]:
    return [value.lower() for key, value in headers if key.lower() == name]


def _content_length(values: list[bytes]) -> int | None:
    if not values:
        return None
    if len(set(values)) > 1 or not values[0].isdigit():
        raise MalformedRequestError("content-length is no single number")
    return int(values[0])


def parse_head(raw: bytes) -> RequestHead:
    """Read the head of a request.

    Raises:
        MalformedRequestError: It is none, or its framing is ambiguous.
    """
    request_line, *lines = raw[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise MalformedRequestError("no request line")
    headers = tuple(_field(line) for line in lines)
    encodings = _values(headers, b"transfer-encoding")
    length = _content_length(_values(headers, b"content-length"))
    if encodings not in ([], [b"chunked"]) or (encodings and length is not None):
        raise MalformedRequestError("ambiguous framing")
    connection = b",".join(_values(headers, b"connection"))
    asked = b"keep-alive" in connection if match[3] == b"0" else b"close" not in connection
    return RequestHead(
        raw, match[1].decode(), match[2].decode("latin-1"), headers, asked, length, bool(encodings)
    )


class RequestReader:
    """Cuts the bytes of one connection into requests; `next` until it returns None."""

    def __init__(self) -> None:
        """Wait for the first head."""
        self._buffer = bytearray()
        self._state = _State.HEAD
        self._remaining = 0
        self._chunks = 0
        self._trailers: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data

    @property
    def is_idle(self) -> bool:
        """Whether the reader stands between two requests, without a byte of the next."""
        return self._state is _State.HEAD and not self._buffer

    @property
    def buffered(self) -> int:
        """How many bytes wait to be read."""
        return len(self._buffer)

    def take_rest(self) -> bytes:
        """Give up the unread bytes, after an upgrade."""
        return self._take(len(self._buffer))

    def next(self) -> Event | None:
        """Return the next event; None if more bytes are needed.

        Raises:
            MalformedRequestError: The bytes are no HTTP/1.1 request.
        """
        match self._state:
            case _State.HEAD:
                return self._head()
            case _State.SIZED:
                return self._sized()
            case _State.CHUNK_DATA:
                return self._chunk_data()
            case _State.CHUNK_SIZE | _State.CHUNK_END | _State.TRAILERS:
                return self._lines()

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise MalformedRequestError("a line without end")
            return None
        return self._take(end + 2)[:-2]

    def _head(self) -> RequestHead | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise MalformedRequestError("a head without end")
            return None
        head = parse_head(self._take(end + 4))
        self._remaining = head.content_length or 0
        self._chunks, self._trailers = 0, []
        self._state = _State.CHUNK_SIZE if head.chunked else _State.SIZED
        return head

    def _part(self) -> BodyPart | None:
        data = self._take(min(self._remaining, len(self._buffer)))
        self._remaining -= len(data)
        return BodyPart(data) if data else None

    def _sized(self) -> Event | None:
        if self._remaining:
            return self._part()
        self._state = _State.HEAD
        return MessageEnd()

    def _chunk_data(self) -> Event | None:
        part = self._part()
        if not self._remaining:
            self._state = _State.CHUNK_END
        return part

    def _lines(self) -> Event | None:
        while (line := self._line()) is not None:
            if self._state is _State.CHUNK_SIZE:
                self._chunk_size(line)
                if self._remaining:
                    return self.next()
            elif self._state is _State.CHUNK_END:
                if line:
                    raise MalformedRequestError("a chunk longer than it says")
                self._state = _State.CHUNK_SIZE
            elif line:
                self._trailers.append(line)
            else:
                self._state = _State.HEAD
                return MessageEnd(tuple(self._trailers), self._chunks)
        return None

    def _chunk_size(self, line: bytes) -> None:
        digits = line.partition(b";")[0].strip()
        if re.fullmatch(rb"[0-9a-fA-F]{1,16}", digits) is None:
            raise MalformedRequestError("no chunk size")
        self._remaining = int(digits, 16)
        self._chunks += self._remaining > 0
        self._state = _State.CHUNK_DATA if self._remaining else _State.TRAILERS
