"""What a connection's first bytes say, before anything is decided. Pure."""

import re
from dataclasses import dataclass

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy.layers.tls import parse_client_hello

PEEK_LIMIT_BYTES = 64 * 1024
"""Longest ClientHello or HTTP head that is waited for; a longer one is not read."""

_METHODS = (
    b"GET", b"POST", b"PUT", b"HEAD", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE",
)  # fmt: skip
_ANY_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_LINE = re.compile(rb"[^\x00-\x1f\x7f]*\r?")
_CLIENT_HELLO = 1


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


def peek(data: bytes, *, any_method: bool = False) -> Peek:
    """Read the first bytes that a client sent.

    Args:
        data: All of them so far.
        any_method: Take every method that HTTP allows, where nothing but HTTP can come; else
            only those of RFC 9110 and PATCH, so that no other protocol is waited on.
    """
    if data[:1] == b"\x16":
        return _peek_tls(data)
    if _may_be_http(data, any_method):
        return _peek_http(data)
    return Other()


def _peek_tls(data: bytes) -> Peek:
    if len(data) < 3:
        return NeedMore() if b"\x16\x03".startswith(data) else Other()
    if not starts_like_tls_record(data) or (len(data) > 5 and data[5] != _CLIENT_HELLO):
        return Other()
    try:
        hello = parse_client_hello(data)
        if hello is not None:
            return TlsHello((hello.sni or "").lower().rstrip("."), tuple(hello.alpn_protocols))
    except ValueError:
        return Other()
    return NeedMore() if len(data) < PEEK_LIMIT_BYTES else Other()


def _may_be_http(data: bytes, any_method: bool) -> bool:
    method, space, _ = data.partition(b" ")
    if any_method:
        return not data or _ANY_METHOD.fullmatch(method) is not None
    return method in _METHODS if space else any(known.startswith(method) for known in _METHODS)


def _peek_http(data: bytes) -> Peek:
    first, newline, _ = data.partition(b"\n")
    if _LINE.fullmatch(first) is None:
        return Other()
    parts = first.decode("latin-1").split(" ")
    if newline and not _is_request_line(parts):
        return Other()
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return NeedMore() if len(data) < PEEK_LIMIT_BYTES else Other()
    fields = data[len(first) + 1 : end].decode("latin-1").split("\r\n")
    return HttpHead(
        method=parts[0],
        target=parts[1],
        host=_field(fields, "host"),
        proxy_authorization=_field(fields, "proxy-authorization"),
        size=end + 4,
    )


def _is_request_line(parts: list[str]) -> bool:
    return len(parts) == 3 and parts[2] in ("HTTP/1.1\r", "HTTP/1.0\r")


def _field(fields: list[str], name: str) -> str:
    for field in fields:
        key, _, value = field.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""
