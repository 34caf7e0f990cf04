"""What surrounds every request: admission, a place, errors as problems, headers, an end in time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, Final

from aiohttp import web

from remora.errors import BadRequest, Unavailable
from remora.http_listening.listener import connection_of
from remora_aggregator.web.answering import written
from remora_aggregator.web.callers import VISIT, has_cookie_only, let_in, shown_by
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation
from remora_aggregator.web.places import HELD, place
from remora_aggregator.web.problems import MEDIA_TYPE, ApiProblem, of_error, of_status

logger = logging.getLogger(__name__)

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECURITY_HEADERS: Final = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "Server": "remora",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)
"""On every answer, unless it has them otherwise."""

BY_ROUTE: web.AppKey[dict[tuple[str, str], Operation[Any]]] = web.AppKey("operations", dict)


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer has."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    # The library names itself and its version otherwise.
    response.headers["Server"] = "remora"


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request in, have it answered, and see the answer out."""
    front, connection = front_of(request), connection_of(request)
    connection.head_came()
    with ExitStack() as held:
        request[HELD] = held
        held.enter_context(front.connections.busy(connection.place))
        response = await _answer(request, handler, held)
        front.metrics.count_request(_route(request), response.status)
        await _send(request, response, front.bounds.answer_s)
    return response


async def _answer(request: web.Request, handler: Handler, held: ExitStack) -> web.StreamResponse:
    """Give the answer of a request, a problem if need be.

    Args:
        request: Is answered.
        handler: Answers it.
        held: Holds what it takes until the answer was sent.
    """
    try:
        await _admit(request, held)
        return await handler(request)
    except ApiProblem as problem:
        return problem_answer(problem)
    except (BadRequest, Unavailable) as error:
        return problem_answer(of_error(error))
    except web.HTTPException as error:
        return problem_answer(of_status(error.status, error.headers))
    except ConnectionError:
        raise
    except Exception:
        logger.exception("a request to %s failed", _route(request))
        return problem_answer(ApiProblem(500, "Something went wrong in here.", "bug"))


async def _admit(request: web.Request, held: ExitStack) -> None:
    """Let a request in: by its name and origin, by who asks, and if there is a place."""
    front, operation = front_of(request), _operation(request)
    if operation is None or not operation.is_open:
        front.admission.check_host(request.headers)
        front.admission.check_origin(
            request.method, request.headers, request.scheme, with_cookie=has_cookie_only(request)
        )
    if operation is None:
        return
    if operation.act is not None:
        shown = (operation.shows or shown_by)(request)
        visit = request[VISIT] = await let_in(request, shown, operation.act)
        held.enter_context(front.entrance.opened(visit.caller, visit.act))
    if operation.takes_place:
        held.enter_context(place(front))


async def _send(request: web.Request, response: web.StreamResponse, within_s: float) -> None:
    """Send an answer to a client that reads; one that does not is cut off."""
    try:
        async with asyncio.timeout(within_s):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


def problem_answer(problem: ApiProblem) -> web.Response:
    """Make the answer of a problem."""
    return web.Response(
        body=written(problem.content()),
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def unreadable_answer(status: int) -> web.Response:
    """Answer what is no HTTP with a problem, too."""
    answer = problem_answer(of_status(status, {}))
    answer.headers.update(SECURITY_HEADERS)
    return answer


def _operation(request: web.Request) -> Operation[Any] | None:
    method = "GET" if request.method == "HEAD" else request.method
    return request.app[BY_ROUTE].get((method, _route(request)))


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""
