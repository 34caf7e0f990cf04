"""The pool of connections to providers: aiohttp's connector and parser, our own bytes.

aiohttp's ``ClientSession`` rewrites heads (order, case, defaults) and retries on its own;
rule 1 forbids the one and the record needs to know of the other. So calls take a
connection from aiohttp's pool and speak over its protocol object directly.
"""

import asyncio
import functools
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import aiohttp
import certifi
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from remora.errors import ConfigError, Problem, UpstreamError
from remora_sidecar.model.connect_to import ConnectTo

MAX_HEAD_BYTES = 64 * 1024
"""Limit of one header line and of a start line, towards providers and agents alike."""

MAX_HEADER_FIELDS = 1024

IDLE_S = 7.5
"""aiohttp closes an idle connection after one to two of these, so by 15 s at the latest."""

CONNECT_TIMEOUT_S = 30.0
READ_BUFFER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom to call: the provider's own name; where to dial follows from it."""

    host: str
    port: int
    tls: bool


class _Route:
    """What aiohttp's connector asks of a request to find or make its connection."""

    proxy = None
    proxy_auth = None

    def __init__(self, endpoint: Endpoint, dial: tuple[str, int], context: ssl.SSLContext) -> None:
        self._tls = endpoint.tls
        self.ssl = context if endpoint.tls else True
        self.host, self.port = dial
        self.server_hostname = endpoint.host if endpoint.tls else None
        self.url = URL.build(scheme="https" if endpoint.tls else "http", host=dial[0], port=dial[1])
        self.connection_key = ConnectionKey(
            self.host, self.port, self._tls, self.ssl, None, None, None, self.server_hostname
        )

    def is_ssl(self) -> bool:
        return self._tls


class _Protocol(ResponseHandler):
    """Counts calls and bytes, so that a stale connection can be told from a broken answer.

    Attributes:
        follower: Called after bytes of an answer came, or their end.
    """

    calls = 0
    answer_bytes = 0
    follower: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        self.answer_bytes += len(data)
        super().data_received(data)
        if self.follower is not None:
            self.follower()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.follower is not None:
            self.follower()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading; aiohttp asks for it after each chunk, mostly for nothing."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)


class AnswerContent(Protocol):
    """An answer's body as it is read."""

    def at_eof(self) -> bool:
        """Whether all was read."""
        ...

    def read_nowait(self) -> bytes:
        """Return what has arrived; empty if nothing has. Raises aiohttp.ClientError at a cut."""
        ...

    async def readany(self) -> bytes:
        """Return what has arrived or comes next; raises aiohttp.ClientError at a cut."""
        ...

    def follow(self, follower: Callable[[], None] | None) -> None:
        """Have somebody called each time after something came, or the end; None for nobody."""
        ...


class _Content:
    """The body of an answer of aiohttp's, and its protocol, which knows when something came."""

    def __init__(self, reader: StreamReader, protocol: _Protocol) -> None:
        self.at_eof = reader.at_eof
        self.read_nowait = reader.read_nowait
        self.readany = reader.readany
        self._protocol = protocol

    def follow(self, follower: Callable[[], None] | None) -> None:
        self._protocol.follower = follower


@dataclass(slots=True)
class Answer:
    """The head of a provider's answer and its body still to be read."""

    message: RawResponseMessage
    content: AnswerContent


class UpstreamConnection:
    """A connection to a provider, held for one request and its answer."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection from the pool."""
        self._connection = connection
        self._protocol = cast(_Protocol, connection.protocol)
        self.reused = self._protocol.calls > 0
        self._protocol.calls += 1
        self._protocol.answer_bytes = 0

    @property
    def untouched(self) -> bool:
        """Whether not a byte of an answer has come yet."""
        return self._protocol.answer_bytes == 0

    @property
    def protocol(self) -> ResponseHandler:
        """The protocol of aiohttp, for what follows an upgrade."""
        return self._protocol

    def begin(self, data: bytes, *, has_answer_body: bool) -> None:
        """Prepare for the answer and write the head, with the body if it is held.

        Raises:
            UpstreamError: The connection is already closed.
        """
        self._protocol.set_response_params(
            skip_payload=not has_answer_body,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEADER_FIELDS,
        )
        self.write(data)

    def write(self, data: bytes) -> None:
        """Write bytes; raises UpstreamError if the connection is closed."""
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise UpstreamError(
                "the provider closed the connection", kind="disconnected", retryable=True
            )
        transport.write(data)

    async def drain(self) -> None:
        """Wait until the write buffer has room; raises UpstreamError if the connection is gone."""
        try:
            await self._protocol._drain_helper()
        except (ConnectionError, aiohttp.ClientError) as error:
            raise UpstreamError(_said(error), kind="disconnected", retryable=True) from error

    async def answer(self) -> Answer:
        """Read the final answer's head; interim ones other than 101 are dropped.

        Raises:
            UpstreamError: No valid answer came.
        """
        try:
            while True:
                message, content = await self._protocol.read()
                if message.code >= 200 or message.code == 101:
                    return Answer(message, _Content(content, self._protocol))
        except HttpProcessingError as error:
            text = "the provider's answer is not valid HTTP"
            raise UpstreamError(text, kind="invalid_answer") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(_said(error), kind="disconnected", retryable=True) from error

    def release(self) -> None:
        """Give the connection back; it is closed if the answer was not read whole."""
        self._connection.release()

    def abort(self) -> None:
        """Cut the connection at once; nothing, if it was given back."""
        if self._connection.protocol is None:
            return
        transport = self._protocol.transport
        if transport is not None:
            transport.abort()
        self._connection.close()


class Upstream:
    """Opens and keeps connections to providers."""

    def __init__(self, *, context: ssl.SSLContext, connect_to: ConnectTo) -> None:
        """Make the pool; needs a running loop."""
        self._context = context
        self._connect_to = connect_to
        self._routes: dict[Endpoint, _Route] = {}
        self._connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=IDLE_S, ssl=context, ttl_dns_cache=10
        )
        # The connector has no public way to choose the protocol class.
        factory = functools.partial(_Protocol, loop=asyncio.get_running_loop())
        self._connector._factory = cast("functools.partial[ResponseHandler]", factory)
        self._timeout = _connect_timeout(CONNECT_TIMEOUT_S)

    async def connect(self, endpoint: Endpoint, limit_s: float | None = None) -> UpstreamConnection:
        """Take a kept connection or open one.

        Args:
            endpoint: Whom to connect to.
            limit_s: How long it may take; None for the usual time.

        Raises:
            UpstreamError: The provider can't be reached.
        """
        route = self._routes.get(endpoint) or self._new_route(endpoint)
        timeout = self._timeout if limit_s is None else _connect_timeout(limit_s)
        try:
            connection = await self._connector.connect(cast(ClientRequest, route), [], timeout)
        except TimeoutError as error:
            text = f"{endpoint.host} did not accept a connection within {timeout.connect:g} s"
            raise UpstreamError(text, kind="connect_timeout", retryable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            text = f"{endpoint.host}:{endpoint.port} can't be reached: {_said(error)}"
            raise UpstreamError(text, kind="connect", retryable=True) from error
        return UpstreamConnection(connection)

    def _new_route(self, endpoint: Endpoint) -> _Route:
        dial = self._connect_to.dial(endpoint.host, endpoint.port)
        route = _Route(endpoint, dial, self._context)
        if len(self._routes) < 4096:
            self._routes[endpoint] = route
        return route

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connector.close()


def _connect_timeout(limit_s: float) -> aiohttp.ClientTimeout:
    """Limit connecting alone, exactly: aiohttp would round longer times up to whole seconds."""
    return aiohttp.ClientTimeout(total=None, connect=limit_s, ceil_threshold=limit_s + 1)


def _said(error: BaseException) -> str:
    """Word an error of the transport for a person; never quotes bytes of the exchange."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the provider closed the connection"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    return str(getattr(error, "strerror", None) or type(error).__name__)


def upstream_context(extra_roots: Path | None) -> ssl.SSLContext:
    """Make the TLS context towards providers: public roots, and extra ones if given.

    Raises:
        ConfigError: The extra roots can't be read.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    if extra_roots is not None:
        try:
            context.load_verify_locations(str(extra_roots))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError([Problem("REMORA_UPSTREAM_CA", f"{extra_roots}: {error}")]) from error
        # Companies' own roots often lack what Python alone insists on (RFC 5280's key identifiers).
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
