"""The HTTP application: every operation of every resource, and the document that lists them."""

import asyncio
import re
from functools import cache
from typing import Any, Final

from aiohttp import web

from remora_aggregator.web import (
    budgets,
    execution_watch,
    executions,
    field_list,
    health,
    probes,
    record_watch,
    records,
    router_versions,
    scores,
    sign_in,
    signals,
    task_steering,
    task_watch,
    tasks,
    usage,
)
from remora_aggregator.web.answering import json_answer
from remora_aggregator.web.front import FRONT, Front, front_of
from remora_aggregator.web.kalibr.operations import OPERATIONS as KALIBR_OPERATIONS
from remora_aggregator.web.kalibr.operations import room_behind
from remora_aggregator.web.kalibr.room import ROOM
from remora_aggregator.web.middleware import BY_ROUTE, Handler, add_headers, surround
from remora_aggregator.web.openapi import openapi_document
from remora_aggregator.web.operation import (
    ANY_PART,
    EVENTS,
    JSON,
    PATH_PATTERNS,
    Content,
    Operation,
    Operations,
)
from remora_aggregator.web.page.serving import add_page
from remora_aggregator.web.parameters import NoParameters, read_parameters

MOST_BODY_BYTES: Final = 64 * 1024

_VARIABLE: Final = re.compile(r"\{(\w+)\}")


async def _openapi(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    del asked
    return json_answer(await asyncio.to_thread(_document, front_of(request).version))


@cache
def _document(version: str) -> dict[str, Any]:
    """Make the document when somebody asks for it: it takes as long as the rest of the start."""
    return openapi_document(OPERATIONS, version)


OPERATIONS: Final[Operations] = (
    # Before the record of any call id.
    *record_watch.OPERATIONS,
    *records.OPERATIONS,
    *usage.OPERATIONS,
    *task_watch.OPERATIONS,
    *tasks.OPERATIONS,
    *task_steering.OPERATIONS,
    *budgets.OPERATIONS,
    *execution_watch.OPERATIONS,
    *executions.OPERATIONS,
    *scores.OPERATIONS,
    *router_versions.OPERATIONS,
    *signals.OPERATIONS,
    *health.OPERATIONS,
    *field_list.OPERATIONS,
    *sign_in.OPERATIONS,
    *probes.OPERATIONS,
    Operation(
        "GET", "/v1/openapi.json", "openapi", "Give this document",
        parameters=NoParameters, handler=_openapi,
        answer=Content(JSON, None, "An OpenAPI 3.1 document."), act=None, takes_place=False,
    ),
)  # fmt: skip


def make_app(front: Front) -> web.Application:
    """Make the application."""
    app = web.Application(client_max_size=MOST_BODY_BYTES, middlewares=[surround])
    app[FRONT] = front
    app[ROOM] = room_behind(front)
    served = (*OPERATIONS, *KALIBR_OPERATIONS)
    app[BY_ROUTE] = {(one.method, one.path): one for one in served}
    for operation in served:
        app.router.add_route(operation.method, _template(operation.path), _handler(operation))
        # Of events without an end there is no head alone.
        if operation.method == "GET" and operation.answer.media_type != EVENTS:
            app.router.add_route("HEAD", _template(operation.path), _handler(operation))
    add_page(app)
    app.on_response_prepare.append(add_headers)
    return app


def _template(path: str) -> str:
    """Write a path as aiohttp has it, with what each variable part looks like."""
    return _VARIABLE.sub(
        lambda part: f"{{{part[1]}:{PATH_PATTERNS.get(part[1], ANY_PART).strip('^$')}}}", path
    )


def _handler(operation: Operation[Any]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        asked = read_parameters(operation.parameters, request.query)
        return await operation.handler(request, asked)

    return handle


__all__ = ["MOST_BODY_BYTES", "OPERATIONS", "front_of", "make_app"]
