"""Workflows on the control listener: run them, watch them, look at those that the package has."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from pydantic import ValidationError

from remora.errors import ConfigError, Problem
from remora.workflows.library import shipped_workflows
from remora_sidecar.control.admission import Kind
from remora_sidecar.control.body_problems import problems_in
from remora_sidecar.control.execution_events import send_events
from remora_sidecar.control.handling import STATE, Handler, guarded, refused
from remora_sidecar.control.openai_calls import BASES
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.openai_api.body import held_body
from remora_sidecar.openai_api.client_key import ClientKey, read_client_key
from remora_sidecar.workflow_runs.known import Known
from remora_sidecar.workflow_runs.order import RunOrder
from remora_sidecar.workflow_runs.preparing import (
    UnknownWorkflow,
    WrongInput,
    summary_value,
    template_value,
)
from remora_sidecar.workflow_runs.runs import Conflict, TaskIsOver, TooMany
from remora_sidecar.workflows.inputs import Cancel

_RETRY_AFTER_S = "5"

type Answer = Callable[[web.Request, Known, RunOrder], Awaitable[web.StreamResponse]]


def add_workflows(app: web.Application) -> None:
    """Serve the calls."""
    for base in BASES:
        add = app.router
        add.add_post(f"{base}/workflows/execute", guarded(Kind.SESSION, _ordering(_execute)))
        add.add_post(f"{base}/workflows/stream", guarded(Kind.SESSION, _ordering(_stream)))
        add.add_get(f"{base}/workflows", guarded(Kind.SESSION, _list))
        add.add_get(f"{base}/workflows/{{name}}", guarded(Kind.SESSION, _show))


def client_key(request: web.Request) -> ClientKey | Refusal:
    """Say whose request it is."""
    said, field = (request.headers.get(name, "") for name in ("Authorization", "remora-session"))
    return read_client_key(said, request.app[STATE].sessions, field)


async def _list(_: web.Request) -> web.Response:
    found = await asyncio.to_thread(lambda: [summary_value(one) for one in shipped_workflows()])
    return web.json_response({"workflows": found})


async def _show(request: web.Request) -> web.Response:
    key = client_key(request)
    if isinstance(key, Refusal):
        return refused(key)
    market = request.app[STATE].workflows.preparing.market(key)
    try:
        found = await asyncio.to_thread(template_value, request.match_info["name"], market)
    except UnknownWorkflow as error:
        return refused(Refusal(404, "not_found", "UNKNOWN_WORKFLOW", str(error)))
    return web.json_response(found)


def _ordering(answer: Answer) -> Handler:
    async def handled(request: web.Request) -> web.StreamResponse:
        key = client_key(request)
        if isinstance(key, Refusal):
            return refused(key)
        order = await _order(request)
        if isinstance(order, Refusal):
            return refused(order)
        known = await _begun(request, order, key)
        return await answer(request, known, order) if isinstance(known, Known) else known

    return handled


async def _order(request: web.Request) -> RunOrder | Refusal:
    """Read the body; the idempotency key may stand in a field of the request as well."""
    body = await held_body(request.content, request.app[STATE].max_order_bytes)
    if isinstance(body, Refusal):
        return body
    try:
        order = RunOrder.model_validate_json(body or b"{}")
        if said := request.headers.get("Idempotency-Key"):
            fields = {name: getattr(order, name) for name in order.model_fields_set}
            order = RunOrder.model_validate({**fields, "idempotency_key": said})
    except ValidationError as error:
        return bad_request(f"the workflow can't be run: {problems_in(error)}")
    return order


async def _begun(request: web.Request, order: RunOrder, key: ClientKey) -> Known | web.Response:
    try:
        return await request.app[STATE].workflows.order(order, key)
    except UnknownWorkflow as error:
        return refused(Refusal(404, "not_found", "UNKNOWN_WORKFLOW", str(error)))
    except WrongInput as error:
        return _invalid("INVALID_INPUT", "the input does not fit", error.problems)
    except ConfigError as error:
        return _invalid("INVALID_WORKFLOW", "the workflow can't be run", error.problems)
    except Conflict as error:
        return refused(Refusal(409, "invalid_request_error", "IDEMPOTENCY_CONFLICT", str(error)))
    except TooMany as error:
        answer = refused(Refusal(429, "rate_limit_error", "TOO_MANY_EXECUTIONS", str(error)))
        answer.headers["Retry-After"] = _RETRY_AFTER_S
        return answer
    except TaskIsOver as error:
        return refused(error.refusal)


def _invalid(code: str, what: str, problems: Sequence[Problem]) -> web.Response:
    message = f"{what}: " + "; ".join(map(str, problems))
    content = {
        "error": {"message": message, "type": "invalid_request_error", "code": code},
        "remora": {
            "code": code,
            "why": message,
            "problems": [{"where": found.where, "what": found.what} for found in problems],
        },
    }
    return web.json_response(content, status=400)


async def _execute(request: web.Request, known: Known, order: RunOrder) -> web.StreamResponse:
    if not order.wait:
        return web.json_response(known.value)
    try:
        await known.feed.over()
    except asyncio.CancelledError:
        _left(request, known, order)
        raise
    if known.ended_unix_ns:
        return web.json_response(known.value)
    what = (
        f"the sidecar stops, and goes on with the run when it starts again: GET /v1/executions/"
        f"{known.ordered.execution_id} then says what came of it"
    )
    return refused(Refusal(503, "api_error", "STOPPING", what, retry=True))


async def _stream(request: web.Request, known: Known, order: RunOrder) -> web.StreamResponse:
    try:
        return await send_events(request, known.feed)
    except (asyncio.CancelledError, ConnectionError):
        _left(request, known, order)
        raise


def _left(request: web.Request, known: Known, order: RunOrder) -> None:
    """End a run whose client has gone, if it was ordered so."""
    if order.on_disconnect == "cancel" and not known.feed.is_closed:
        request.app[STATE].workflows.steer(known, Cancel("its client has gone"))
