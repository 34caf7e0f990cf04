"""The request's body: held as far as a rule needs it, streamed past that limit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp.streams import StreamReader


@dataclass(slots=True)
class HeldBody:
    """A whole body in memory."""

    content: bytes


@dataclass(slots=True)
class PassingBody:
    """A body past the limit: what was read of it already, and the rest to come.

    Attributes:
        length: Its Content-Length; None if it is chunked.
    """

    prefix: bytes
    rest: StreamReader
    length: int | None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's bytes as they come."""
        if self.prefix:
            yield self.prefix
        while chunk := await self.rest.readany():
            yield chunk


RequestBody = HeldBody | PassingBody


async def take_body(content: StreamReader, length: int | None, limit: int) -> RequestBody:
    """Read a body up to the limit.

    Args:
        content: The body as aiohttp parses it.
        length: Its Content-Length; None if it is chunked.
        limit: Bytes that may be held.
    """
    if length is not None and length > limit:
        return PassingBody(b"", content, length)
    if content.is_eof():
        return HeldBody(content.read_nowait())
    first = await content.readany()
    if content.at_eof():
        return HeldBody(first)
    held = bytearray(first)
    while not content.at_eof():
        held += await content.readany()
        if len(held) > limit:
            return PassingBody(bytes(held), content, length)
    return HeldBody(bytes(held))
