"""An agent that writes and reads its bytes itself, for tests of what passes exactly.

Official SDKs hide what is on the wire; this one shows it: header fields in their order and
spelling, the chunks of a chunked answer, and whether an answer ended or was cut.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

Fields = Sequence[tuple[str, str]]

_HEAD_LIMIT_BYTES = 256 * 1024
_NO_BODY = frozenset({204, 304})


class CutError(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it stood on the wire.

    Attributes:
        headers: Fields in their order and spelling.
        body: The content, without framing.
        cut: The connection ended before the body did.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    cut: bool = False

    def header(self, name: str) -> str | None:
        """Return the first value of a field, by any spelling of its name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class RawAgent:
    """One connection of an agent; `async with` closes it.

    Attributes:
        reader: What comes from the other end.
        writer: To the other end.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _method: str = field(default="GET", init=False)

    @classmethod
    async def connect(cls, address: tuple[str, int]) -> Self:
        """Connect without TLS, to a proxy or a server."""
        return cls(*await asyncio.open_connection(*address, limit=_HEAD_LIMIT_BYTES))

    @classmethod
    async def through(
        cls,
        proxy: tuple[str, int],
        host: str,
        *,
        ca_pem: str,
        port: int = 443,
        user: str = "",
        alpn: Sequence[str] = ("http/1.1",),
    ) -> Self:
        """Ask a proxy for a tunnel and begin TLS in it.

        Args:
            proxy: Where the proxy listens.
            host: Whom to reach; also the SNI.
            ca_pem: The roots to trust.
            port: Port of the host.
            user: User name for the proxy: a session.
            alpn: Protocols to offer; none: no ALPN.

        Raises:
            ConnectionRefusedError: The proxy made no tunnel; the text is its answer.
            ssl.SSLError: The other end is not trusted, or refused.
        """
        context = ssl.create_default_context(cadata=ca_pem)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        agent = await cls.connect(proxy)
        try:
            await agent.open_tunnel(host, port, user)
            await agent.writer.start_tls(context, server_hostname=host)
        except BaseException:
            agent.abort()
            raise
        return agent

    async def open_tunnel(self, host: str, port: int, user: str = "") -> None:
        """Send CONNECT; raises ConnectionRefusedError unless the answer is 200."""
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = [("Host", authority)]
        if user:
            token = base64.b64encode(f"{user}:".encode()).decode()
            headers.append(("Proxy-Authorization", f"Basic {token}"))
        await self.send("CONNECT", authority, headers)
        answer = await self.head()
        if answer.status != 200:
            body = await self._body(answer)
            raise ConnectionRefusedError(f"{answer.status} {answer.reason}: {body[0].decode()}")

    async def send(self, method: str, target: str, headers: Fields = (), body: bytes = b"") -> None:
        """Write a request; framing fields are the caller's to give."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        await self.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body, method=method)

    async def write(self, data: bytes, *, method: str = "") -> None:
        """Write bytes as they are.

        Args:
            data: What to write.
            method: The request's method, where the bytes begin one: HEAD's answers are
                read differently.
        """
        self._method = method or self._method
        self.writer.write(data)
        await self.writer.drain()

    async def ask(
        self, method: str, target: str, headers: Fields = (), body: bytes = b""
    ) -> RawAnswer:
        """Send a request with its Content-Length and read the answer."""
        framing = [("Content-Length", str(len(body)))] if body else []
        await self.send(method, target, [*headers, *framing], body)
        return await self.answer()

    async def answer(self) -> RawAnswer:
        """Read an answer to its end, or to where it was cut.

        Raises:
            CutError: Not even the head came.
        """
        head = await self.head()
        body, cut = await self._body(head)
        return RawAnswer(head.status, head.reason, head.headers, body, cut)

    async def head(self) -> RawAnswer:
        """Read the head of an answer, interim ones too; raises CutError if it does not come."""
        try:
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise CutError("the connection ended before an answer's head") from error
        status_line, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        _, status, *reason = status_line.split(" ", 2)
        fields = (line.partition(":") for line in lines)
        headers = tuple((name, value.strip()) for name, _, value in fields)
        return RawAnswer(int(status), "".join(reason), headers)

    async def _body(self, head: RawAnswer) -> tuple[bytes, bool]:
        if self._method == "HEAD" or head.status in _NO_BODY:
            return b"", False
        pieces: list[bytes] = []
        try:
            async for piece in self.pieces(head):
                pieces.append(piece)
        except CutError:
            return b"".join(pieces), True
        return b"".join(pieces), False

    async def pieces(self, head: RawAnswer) -> AsyncIterator[bytes]:
        """Yield the body piece by piece: the chunks of a chunked one, else what arrives.

        Raises:
            CutError: The connection ended before the body did.
        """
        if (head.header("transfer-encoding") or "").lower() == "chunked":
            source = self._chunks()
        else:
            length = head.header("content-length")
            source = self._counted(None if length is None else int(length))
        try:
            async for piece in source:
                yield piece
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            raise CutError("the connection ended inside an answer's body") from error

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers

    async def _counted(self, length: int | None) -> AsyncIterator[bytes]:
        left = length
        while left != 0:
            piece = await self.reader.read(65536 if left is None else min(left, 65536))
            if not piece:
                if left is not None:
                    raise asyncio.IncompleteReadError(b"", left)
                return
            left = None if left is None else left - len(piece)
            yield piece

    async def at_end(self) -> bool:
        """Wait for the next byte or the end; True if the other end closed."""
        try:
            return await self.reader.read(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def abort(self) -> None:
        """Vanish, with a reset."""
        self.writer.transport.abort()

    async def __aenter__(self) -> Self:
        """Give the agent itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection without ceremony."""
        self.abort()
