"""What a connection's first bytes say, before anything is decided. Pure."""

from dataclasses import dataclass

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy.layers.tls import parse_client_hello

PEEK_LIMIT_BYTES = 64 * 1024
"""Longest ClientHello or HTTP head that is waited for; a longer one is not read."""

_METHODS = (
    b"GET ", b"POST ", b"PUT ", b"HEAD ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"TRACE ",
)  # fmt: skip
_LONGEST_METHOD = max(map(len, _METHODS))


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The bytes so far could still become a ClientHello or an HTTP head."""


@dataclass(frozen=True, slots=True)
class TlsHello:
    """A whole ClientHello: its SNI (lower case, empty if none) and the ALPN it offers."""

    name: str
    alpn: tuple[bytes, ...]

    @property
    def speaks_http1(self) -> bool:
        """Whether the client would take HTTP/1.1: it says so, or says nothing."""
        return not self.alpn or b"http/1.1" in self.alpn


@dataclass(frozen=True, slots=True)
class HttpHead:
    """A whole HTTP/1 request head.

    Attributes:
        method: As sent.
        target: The request target as sent.
        host: Value of the first Host field, empty if none.
        proxy_authorization: Value of Proxy-Authorization, empty if none.
        size: Length of the head with its blank line.
    """

    method: str
    target: str
    host: str
    proxy_authorization: str
    size: int


@dataclass(frozen=True, slots=True)
class Other:
    """Neither TLS nor HTTP/1, or malformed: nothing to read here."""


Peek = NeedMore | TlsHello | HttpHead | Other


def peek(data: bytes) -> Peek:
    """Read the first bytes that a client sent."""
    if data[:1] == b"\x16":
        return _peek_tls(data)
    if _may_be_http(data):
        return _peek_http(data)
    return Other()


def _peek_tls(data: bytes) -> Peek:
    if len(data) < 3:
        return NeedMore()
    if not starts_like_tls_record(data):
        return Other()
    try:
        hello = parse_client_hello(data)
    except ValueError:
        return Other()
    if hello is None:
        return NeedMore() if len(data) < PEEK_LIMIT_BYTES else Other()
    return TlsHello(name=(hello.sni or "").lower().rstrip("."), alpn=tuple(hello.alpn_protocols))


def _may_be_http(data: bytes) -> bool:
    start = data[:_LONGEST_METHOD]
    return any(start.startswith(method[: len(start)]) for method in _METHODS)


def _peek_http(data: bytes) -> Peek:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return NeedMore() if len(data) < PEEK_LIMIT_BYTES else Other()
    line, *fields = data[:end].decode("latin-1").split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return Other()
    return HttpHead(
        method=parts[0],
        target=parts[1],
        host=_field(fields, "host"),
        proxy_authorization=_field(fields, "proxy-authorization"),
        size=end + 4,
    )


def _field(fields: list[str], name: str) -> str:
    for field in fields:
        key, _, value = field.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""
