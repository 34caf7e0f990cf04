"""One HTTP exchange as the rooms of the sidecar see it."""

from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields as received: names, values, order and repetition untouched."""


class RequestHead(NamedTuple):
    """What a request says before its body.

    Attributes:
        method: As sent, such as ``POST``.
        host: Lower-case name without port.
        path: Path of the target, unquoted by nobody, without query.
        query: Query without the question mark; empty if none.
        headers: As received, without ``remora-*`` ones.
    """

    method: str
    host: str
    path: str
    query: str
    headers: Headers


class AnswerHead(NamedTuple):
    """What an answer says before its body."""

    status: int
    headers: Headers


def header(headers: Headers, name: bytes) -> str | None:
    """Return the first value of a header, decoded as Latin-1; None if absent.

    Args:
        headers: The fields.
        name: Lower-case name.
    """
    length = len(name)
    for key, value in headers:
        # Most fields differ in length: this is asked several times for every call.
        if len(key) == length and key.lower() == name:
            return value.decode("latin-1")
    return None


def wants_websocket(head: RequestHead) -> bool:
    """Tell whether a request asks to go on as a WebSocket (RFC 6455 §4.2.1)."""
    return (header(head.headers, b"upgrade") or "").lower() == "websocket"
