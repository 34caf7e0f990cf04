"""How answers are made: JSON off the loop, and the store asked for no longer than is bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from remora_aggregator.web.front import Bounds
from remora_aggregator.web.problems import ApiProblem

JSON = "application/json"


def json_answer(content: Any, status: int = 200) -> web.Response:
    """Answer with something small."""
    return web.Response(body=written(content), status=status, content_type=JSON)


async def rendered(make: Callable[[], Any]) -> web.Response:
    """Answer with what takes a while to write, while the loop does something else."""
    body = await asyncio.to_thread(lambda: written(make()))
    return web.Response(body=body, content_type=JSON)


def written(content: Any) -> bytes:
    """Write JSON; a number that JSON can't hold is null."""
    return orjson.dumps(content)


@asynccontextmanager
async def in_time(bounds: Bounds) -> AsyncIterator[None]:
    """Give up on the store after a while; raises ApiProblem (504)."""
    try:
        async with asyncio.timeout(bounds.question_s):
            yield
    except TimeoutError:
        detail = f"The store did not answer within {bounds.question_s:g} seconds."
        raise ApiProblem(504, detail, "too-slow") from None
