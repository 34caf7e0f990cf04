"""The body of a request, read within bounds of size, memory and time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
from aiohttp import web

from remora_operator.webhook.bounds import Bounds
from remora_operator.webhook.review import MAX_REVIEW_BYTES

_SMALL_BYTES: Final = 256 * 1024
"""Of each body so much is always taken: large ones must not keep small ones out."""

_MEDIA_TYPE: Final = "application/json"


class Unread(Exception):
    """A body that can't be looked at, with what is known of it."""

    def __init__(self, code: int, message: str, body: bytes = b"") -> None:
        """Keep the HTTP status that says what is wrong, and what has come."""
        super().__init__(message)
        self.code = code
        self.body = body


class BodyReader:
    """Reads bodies; all that are under way share one account of memory."""

    def __init__(self, bounds: Bounds) -> None:
        """Start with nothing held."""
        self._bounds = bounds
        self._held = 0

    @contextmanager
    def reading(self) -> Iterator["_Body"]:
        """Hold a body until it has been answered."""
        body = _Body(self)
        try:
            yield body
        finally:
            self._held -= body.accounted

    def take(self, wanted: int) -> bool:
        """Take memory for more of a large body; False: there is none."""
        if self._held + wanted > self._bounds.held_bytes:
            return False
        self._held += wanted
        return True

    @property
    def patience_s(self) -> float:
        """How long a body may take."""
        return self._bounds.body_s


class _Body:
    """One body that is being read."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self._bytes = bytearray()
        self.accounted = 0

    async def read(self, request: web.Request) -> bytes:
        """Read it whole.

        Raises:
            Unread: It is too large, too slow, broken, or not JSON by what its head says.
        """
        try:
            async with asyncio.timeout(self._reader.patience_s):
                await self._fill(request)
        except TimeoutError:
            raise Unread(408, "the review took too long to come") from None
        except (aiohttp.ClientError, web.RequestPayloadError):
            raise Unread(400, "the review's framing can't be read") from None
        body = bytes(self._bytes)
        if request.content_type != _MEDIA_TYPE:
            raise Unread(415, f"the review should come as {_MEDIA_TYPE}", body)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Unread(415, "the review should come without a content-encoding")
        return body

    async def _fill(self, request: web.Request) -> None:
        self._check(request.content_length or 0)
        async for chunk in request.content.iter_any():
            self._bytes += chunk
            self._check(len(self._bytes))

    def _check(self, size: int) -> None:
        if size > MAX_REVIEW_BYTES:
            raise Unread(413, f"the review is larger than {MAX_REVIEW_BYTES} bytes")
        more = size - _SMALL_BYTES - self.accounted
        if more > 0:
            if not self._reader.take(more):
                raise Unread(429, "too many large reviews at once: try again")
            self.accounted += more
