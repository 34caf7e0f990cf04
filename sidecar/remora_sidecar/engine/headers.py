"""Header fields on their way through: what is ours, what is hop-by-hop. Pure.

Names, values and order of end-to-end fields stay as they came (RFC 9110 §7.6.1 says
which fields an intermediary removes).
"""

from collections.abc import Collection, Iterable

from remora_sidecar.model.exchange import Headers

RawHeaders = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate",
        b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

_OURS = b"remora-"


_USUAL_CONNECTIONS = frozenset({b"keep-alive", b"close", b"upgrade"})


def end_to_end(headers: Headers, *, also: Collection[bytes] = ()) -> RawHeaders:
    """Drop hop-by-hop fields, those that Connection names, and ``also`` (lower-case names)."""
    kept: RawHeaders = []
    named: set[bytes] = set()
    for field in headers:
        name = field[0].lower()
        if name not in HOP_BY_HOP and name not in also:
            kept.append(field)
        elif name == b"connection" and field[1].lower() not in _USUAL_CONNECTIONS:
            named.update(token.strip().lower() for token in field[1].split(b","))
    if not named:
        return kept
    return [field for field in kept if field[0].lower() not in named]


def without_ours(headers: Headers) -> RawHeaders:
    """Drop ``remora-*`` fields, which the provider must not see."""
    return [field for field in headers if field[0][:7].lower() != _OURS]


def ours(headers: Headers) -> dict[str, str]:
    """Collect ``remora-*`` request fields by lower-case name; the last of each counts."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1").strip()
        for name, value in headers
        if name[:7].lower() == _OURS
    }


def with_length(headers: RawHeaders, length: int | None) -> RawHeaders:
    """Frame a request: Content-Length in its place, or chunked if the length is unknown."""
    framed: RawHeaders = []
    placed = False
    for name, value in headers:
        if name.lower() != b"content-length":
            framed.append((name, value))
        elif length is not None and not placed:
            framed.append((name, b"%d" % length))
            placed = True
    if length is None:
        framed.append((b"Transfer-Encoding", b"chunked"))
    elif not placed and length > 0:
        framed.append((b"Content-Length", b"%d" % length))
    return framed


def serialized(start_line: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a start line and fields as HTTP/1.1 (RFC 9112 §2.1)."""
    lines = [start_line]
    lines += [name + b": " + value for name, value in headers]
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
