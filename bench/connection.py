"""A lean HTTP client on blocking or polled sockets: what puts load on the proxies.

It writes prepared requests and looks for the end of each answer, little more, so that the client
is never what a run measures. `Route` says how to get to the provider: directly or through a
proxy, with a tunnel asked for once a connection.
"""

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.asking import OPENAI, head

_READ_BYTES = 256 * 1024
_TIMEOUT_S = 5.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class UnexpectedAnswerError(Exception):
    """The other end answered what no measurement counts."""


def parse_address(text: str) -> tuple[str, int]:
    """Read ``host:port``."""
    host, _, port = text.rpartition(":")
    return host, int(port)


@dataclass(frozen=True)
class Route:
    """How to reach the provider.

    Attributes:
        address: Whom to connect to: the provider or a proxy.
        tunnel: ``host:port`` to ask a proxy for; empty: none.
        tls: Trusts the certificate that will be shown; None: plain bytes.
    """

    address: tuple[str, int]
    tunnel: str = ""
    tls: ssl.SSLContext | None = None


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Make a client context that trusts one root and speaks HTTP/1.1."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connection:
    """One connection to the provider; `with` closes it."""

    def __init__(self, route: Route) -> None:
        """Connect, ask for the tunnel, shake hands.

        Raises:
            UnexpectedAnswerError: The proxy made no tunnel.
            OSError: The connection failed.
        """
        self.socket = socket.create_connection(route.address, _TIMEOUT_S)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if route.tunnel:
                self._open_tunnel(route.tunnel)
            if route.tls is not None:
                name = route.tunnel.rpartition(":")[0] or OPENAI
                self.socket = route.tls.wrap_socket(self.socket, server_hostname=name)
        except BaseException:
            self.socket.close()
            raise
        self._buffer = bytearray()
        self._head_bytes = 0
        self._answer_bytes: int | None = None

    def _open_tunnel(self, authority: str) -> None:
        self.socket.sendall(head("CONNECT", authority, {"Host": authority}))
        answer = b""
        while b"\r\n\r\n" not in answer:
            if not (piece := self.socket.recv(4096)):
                raise UnexpectedAnswerError("closed before the tunnel was made")
            answer += piece
        if b" 200 " not in answer[:16]:
            raise UnexpectedAnswerError(f"no tunnel: {answer[:200]!r}")

    def send(self, request: bytes) -> None:
        """Write a request."""
        self._buffer.clear()
        self._head_bytes, self._answer_bytes = 0, None
        self.socket.sendall(request)

    def read_some(self) -> bool:
        """Read once; True when the answer is whole.

        Raises:
            UnexpectedAnswerError: It is none that counts, or it was cut.
            ssl.SSLWantReadError: A polled socket has nothing yet.
        """
        piece = self.socket.recv(_READ_BYTES)
        if not piece:
            raise UnexpectedAnswerError("the answer was cut")
        self._buffer += piece
        return self._is_whole()

    def _is_whole(self) -> bool:
        if not self._head_bytes and not self._read_head():
            return False
        if self._answer_bytes is None:
            return self._buffer.endswith(b"\r\n0\r\n\r\n")
        return len(self._buffer) >= self._answer_bytes

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._buffer.startswith(b"HTTP/1.1 200 "):
            raise UnexpectedAnswerError(bytes(self._buffer[:300]).decode("latin-1"))
        self._head_bytes = end + 4
        if found := _LENGTH.search(self._buffer, 0, end + 2):
            self._answer_bytes = self._head_bytes + int(found[1])
        return True

    def read_answer(self) -> int:
        """Read a whole answer; returns its length."""
        while not self.read_some():
            pass
        return len(self._buffer)

    def read_first_content(self) -> bool:
        """Read until the first byte after the head; True if the answer is already whole."""
        whole = self.read_some()
        while not self._head_bytes or len(self._buffer) == self._head_bytes:
            whole = self.read_some()
        return whole

    def drop_content(self) -> None:
        """Forget what was read of an endless answer, to stay small."""
        del self._buffer[self._head_bytes :]

    def expect(self, what: bytes) -> None:
        """Check the answer that was read; raises UnexpectedAnswerError if this is not in it."""
        if what not in self._buffer:
            raise UnexpectedAnswerError(bytes(self._buffer[:600]).decode("latin-1"))

    def discard(self, count: int) -> None:
        """Read so many bytes more, keeping none."""
        into = memoryview(bytearray(1024 * 1024))
        while count > 0:
            if not (got := self.socket.recv_into(into)):
                raise UnexpectedAnswerError("the download was cut")
            count -= got

    def read_download_head(self) -> int:
        """Read the head of a download; returns how much of its body is still to come."""
        self.read_some()
        while not self._head_bytes:
            self.read_some()
        assert self._answer_bytes is not None
        return self._answer_bytes - len(self._buffer)

    def close(self) -> None:
        """End the connection without ceremony."""
        self.socket.close()

    def __enter__(self) -> Self:
        """Give the connection itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
