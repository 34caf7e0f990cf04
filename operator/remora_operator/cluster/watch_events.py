"""The lines of a watch: pieces of bytes in, events out. Pure.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/, "Efficient detection of
changes" and "Watch bookmarks".
"""

from collections.abc import Iterator
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

import orjson

from remora.errors import Unavailable
from remora_operator.cluster.objects import Json

MAX_LINE_BYTES = 8 * 1024 * 1024
"""The API server takes objects up to 3 MiB; in JSON they may be longer than they came."""


class Kind(StrEnum):
    """What an event says of its object."""

    PUT = "put"
    GONE = "gone"
    BOOKMARK = "bookmark"


class Event(NamedTuple):
    """One event.

    Attributes:
        kind: What it says.
        object: The object; of a bookmark, its metadata.
        version: Up to here everything was told.
    """

    kind: Kind
    object: Json
    version: str


class Expired(Exception):
    """The server does not know any more what became of objects since then: list them anew."""


_KINDS = {
    "ADDED": Kind.PUT,
    "MODIFIED": Kind.PUT,
    "DELETED": Kind.GONE,
    "BOOKMARK": Kind.BOOKMARK,
}


class Lines:
    """Cuts lines out of pieces."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take a piece; gives the lines that it completes.

        Raises:
            Unavailable: A line is longer than any object can be.
        """
        *whole, rest = piece.split(b"\n")
        for end in whole:
            line = bytes(self._rest) + end
            self._rest.clear()
            if line:
                yield line
        self._rest += rest
        if len(self._rest) > MAX_LINE_BYTES:
            raise Unavailable("the API server sends a line that is longer than any object")


def read_event(line: bytes) -> Event:
    """Read a line.

    Raises:
        Expired: The server says 410.
        Unavailable: It says another error, or what is no event.
    """
    try:
        event = orjson.loads(line)
        kind, value = event["type"], event["object"]
        if kind == "ERROR":
            raise _error(value)
        return Event(_KINDS[kind], value, value["metadata"]["resourceVersion"])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Unavailable("the API server's watch sends what is no event") from None


def _error(status: Json) -> Exception:
    code, message = status.get("code"), status.get("message")
    if code == HTTPStatus.GONE:
        return Expired(message)
    return Unavailable(f"the API server ends a watch: {message} ({code})")
