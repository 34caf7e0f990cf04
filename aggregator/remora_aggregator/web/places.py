"""How many questions are answered at once, and how many answers with bodies.

A place is held to the last byte of the answer: what waits to be read by a slow client takes room.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from aiohttp import web

from remora_aggregator.web.front import Front, front_of
from remora_aggregator.web.problems import unavailable

HELD: Final = web.RequestKey("held", ExitStack)
"""Holds what a request takes until its answer was sent."""

_PATIENCE_S: Final = 10.0


@contextmanager
def place(front: Front) -> Iterator[None]:
    """Take a place among questions; raises ApiProblem (503) where all are taken."""
    if front.questions >= front.bounds.questions:
        raise unavailable(f"{front.questions} questions are being answered already")
    front.questions += 1
    try:
        yield
    finally:
        front.questions -= 1


async def take_place_with_bodies(request: web.Request) -> None:
    """Take one of few places for answers with bodies, which may be large; wait for it a while.

    Raises:
        ApiProblem: None became free (status 503).
    """
    places = front_of(request).body_places
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await places.acquire()
    except TimeoutError:
        raise unavailable("others are being sent bodies, and not many can be at once") from None
    request[HELD].callback(places.release)
