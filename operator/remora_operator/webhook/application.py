"""The webhook's HTTP application: two paths, POST only, always an AdmissionReview in answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from remora.clock import Clock
from remora.http_listening.connections import Connections
from remora.http_listening.listener import connection_of
from remora_operator.webhook.admission import Admission
from remora_operator.webhook.body import BodyReader, Unread
from remora_operator.webhook.bounds import Bounds
from remora_operator.webhook.metrics import WebhookMetrics
from remora_operator.webhook.review import Answer, refusal

logger = logging.getLogger(__name__)

PATHS: Final = ("/inject/namespace", "/inject/pod")
"""Of the webhooks that choose by the namespace's label, and by the pod's own."""

type Told = Callable[[Answer], None]
"""Is told of every answer, after it was sent; must not raise and not wait."""

type _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What stands behind the listener."""

    admission: Admission
    connections: Connections
    bodies: BodyReader
    bounds: Bounds
    metrics: WebhookMetrics
    clock: Clock
    told: Told


_DESK: Final = web.AppKey("desk", Desk)


def application(desk: Desk) -> web.Application:
    """Make the application."""
    app = web.Application(middlewares=[_surround])
    app[_DESK] = desk
    for path in PATHS:
        app.router.add_post(path, _answer)
    app.on_response_prepare.append(_name_ourselves)
    return app


async def _name_ourselves(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "remora"  # the library names itself and its version otherwise


def unreadable_answer(status: int) -> web.Response:
    """Answer what is no HTTP."""
    headers = {"Server": "remora"}
    return web.Response(status=status, text="this is not a request\n", headers=headers)


class _Reviewed(web.Response):
    """An answer as it travels."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(body=answer.body, content_type="application/json")
        self.answer = answer


@web.middleware
async def _surround(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Keep the connection while a request is answered, and tell of the answer afterwards."""
    desk, connection = request.app[_DESK], connection_of(request)
    connection.head_came()
    with desk.connections.busy(connection.place):
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = error
        await _send(request, response, desk.bounds.answer_s)
    if isinstance(response, _Reviewed):
        desk.told(response.answer)
    return response


async def _answer(request: web.Request) -> _Reviewed:
    """Answer a review; what can't be read is refused, and its connection is not used again."""
    desk = request.app[_DESK]
    began_s = desk.clock.monotonic_s()
    with desk.bodies.reading() as body:
        try:
            response = _Reviewed(await desk.admission.answer(await body.read(request)))
        except Unread as unread:
            logger.info("a review was refused unread: %s", unread)
            response = _Reviewed(refusal(unread.code, str(unread), unread.body))
            response.force_close()
    desk.metrics.count(response.answer, desk.clock.monotonic_s() - began_s)
    return response


async def _send(request: web.Request, response: web.StreamResponse, within_s: float) -> None:
    """Send an answer to a client that reads; one that does not is cut off."""
    try:
        async with asyncio.timeout(within_s):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
