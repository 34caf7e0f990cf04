"""Server-sent events to one client: begun, kept alive, and ended when the aggregator stops.

Source of the format: the HTML standard, "Server-sent events". Each event's id is the cursor after
it, so that a browser that connects anew goes on without gap or repetition.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web

from remora.errors import BadRequest, Unavailable
from remora_aggregator.web.answering import written
from remora_aggregator.web.callers import is_still_let_in
from remora_aggregator.web.front import Front, front_of
from remora_aggregator.web.operation import EVENTS
from remora_aggregator.web.problems import unavailable

logger = logging.getLogger(__name__)

RETRY_MS: Final = 2_000
"""When a watcher comes again that was told to go."""

_QUIET: Final = b":\n\n"


class EventStream:
    """One client that is sent events.

    Attributes:
        response: What it is answered.
    """

    def __init__(self, request: web.Request) -> None:
        """Take who asked; `begin` answers."""
        self.response = web.StreamResponse(
            headers={"Content-Type": EVENTS, "X-Accel-Buffering": "no"}
        )
        self._request = request
        self._front = front_of(request)
        self._told = ""
        self._looked_s = asyncio.get_running_loop().time()

    async def begin(self, cursor: str) -> None:
        """Say where the watch begins: everything after this is sent."""
        await self.response.prepare(self._request)
        retry = f"retry: {RETRY_MS}\n".encode()
        await self.send(cursor, retry + event("ready", cursor, written({"cursor": cursor})))

    async def send(self, cursor: str, block: bytes) -> None:
        """Send an event with its cursor, to a client that reads; one that does not is cut off."""
        self._told = cursor
        await self._write(block)

    async def rest(self, cursor: str, woken: asyncio.Event) -> bool:
        """Wait until woken, with a sign of life now and then; False to end the watch.

        Args:
            cursor: How far everything was sent, as far as it matches.
            woken: Set when there may be more.
        """
        if not await self.goes_on(cursor):
            return False
        while not woken.is_set() and not self._front.stopping.is_set():
            try:
                async with asyncio.timeout_at(self._looked_s + self._front.bounds.heartbeat_s):
                    await woken.wait()
            except TimeoutError:
                if not await self.goes_on(cursor):
                    return False
        return not self._front.stopping.is_set()

    async def goes_on(self, cursor: str) -> bool:
        """Look, when it is time, who this is, and give a sign of life; False to end the watch.

        Args:
            cursor: How far everything was sent, as far as it matches.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s < self._front.bounds.heartbeat_s:
            return True
        self._looked_s = now_s
        if not await self._may_go_on():
            return False
        await self._write(self._sign_of_life(cursor))
        return True

    async def _may_go_on(self) -> bool:
        """Ask again who this is: a token may have been taken back."""
        try:
            return await is_still_let_in(self._request)
        except BadRequest:
            return False

    def _sign_of_life(self, cursor: str) -> bytes:
        """Move the client's last id on where nothing matched, so that it begins there next time."""
        if cursor == self._told:
            return _QUIET
        self._told = cursor
        return f"id: {cursor}\n\n".encode()

    async def _write(self, block: bytes) -> None:
        try:
            async with asyncio.timeout(self._front.bounds.answer_s):
                await self.response.write(block)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the watcher reads nothing") from None


def event(kind: str, cursor: str, content: bytes) -> bytes:
    """Write an event."""
    return f"id: {cursor}\nevent: {kind}\ndata: ".encode() + content + b"\n\n"


def event_of(kind: str, cursor: str, content: Any) -> bytes:
    """Write an event of what JSON can hold."""
    return event(kind, cursor, written(content))


@contextmanager
def place_among_watchers(front: Front) -> Iterator[None]:
    """Count a watcher; raises ApiProblem (503) where there are too many, or it is stopped."""
    if front.stopping.is_set():
        raise unavailable("the aggregator is stopping")
    if front.watchers >= front.bounds.watchers:
        raise unavailable(f"{front.watchers} others watch, and no more can")
    front.watchers += 1
    try:
        yield
    finally:
        front.watchers -= 1


@contextmanager
def ended_quietly() -> Iterator[None]:
    """End a watch that can't go on; the client comes again, and is told then.

    An answer that has begun can tell of nothing else.
    """
    try:
        yield
    except Unavailable as error:
        logger.warning("a watch ends: %s", error)
    except ConnectionError:
        raise
    except Exception:
        logger.exception("a watch ends")
