"""The small JSON body of a request that changes something."""

import asyncio

from aiohttp import web
from pydantic import BaseModel, ValidationError

from remora_aggregator.web.answering import JSON
from remora_aggregator.web.front import front_of
from remora_aggregator.web.problems import ApiProblem, of_validation


async def body_of[M: BaseModel](request: web.Request, kind: type[M]) -> M:
    """Read the body, which is small and comes soon; nothing of it is repeated in a problem.

    Raises:
        ApiProblem: It can't be read (status 400, 408, 413 or 415).
    """
    if request.content_type != JSON:
        raise ApiProblem(
            415, "The body is no application/json.", "other-media-type", "Content-Type"
        )
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise ApiProblem(415, "The body is encoded.", "other-encoding", "Content-Encoding")
    body_s = front_of(request).bounds.body_s
    try:
        async with asyncio.timeout(body_s):
            body = await request.read()
    except TimeoutError:
        detail = f"The body did not come within {body_s:g} seconds."
        raise ApiProblem(408, detail, "too-slow", headers={"Connection": "close"}) from None
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise of_validation(error, "member") from None
