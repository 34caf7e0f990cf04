"""What every control call has in common: who may make it, how it is refused, what it reads."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import BaseModel, ValidationError

from remora_sidecar.control.admission import Kind, admit
from remora_sidecar.control.body_problems import problems_in
from remora_sidecar.control.state import ControlState
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.model.refusal import Refusal

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATE = web.AppKey("state", ControlState)


def guarded(
    kind: Kind, handler: Handler, refuse: Callable[[Refusal], web.Response] | None = None
) -> Handler:
    """Refuse a call to whoever may not make it, in the words that ``refuse`` has for it."""

    async def handled(request: web.Request) -> web.StreamResponse:
        state = request.app[STATE]
        hosts = state.hosts_of(request)
        refusal = admit(kind, request.headers, state.admin_token, hosts)
        return await handler(request) if refusal is None else (refuse or refused)(refusal)

    return handled


@web.middleware
async def errors_are_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say in JSON what aiohttp itself refuses."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return refused(bad_request(error.reason, error.status))


def refused(refusal: Refusal) -> web.Response:
    """Answer with a refusal."""
    content = {
        "error": {"message": refusal.message, "type": refusal.type, "code": refusal.code},
        "remora": {"code": refusal.code, "why": refusal.message},
    }
    return web.json_response(content, status=refusal.status)


async def asked[M: BaseModel](request: web.Request, model: type[M], what: str) -> M | Refusal:
    """Read a call's JSON body, which may be empty; a refusal if it is not as it should be.

    Args:
        request: The call.
        model: What it should be.
        what: Whose making it asks for, such as ``the session``.
    """
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        return bad_request(f"{what} can't be read: {problems_in(error)}")


async def hold(request: web.Request, state: ControlState) -> web.StreamResponse:
    """Answer with a connection that stands until the caller closes it, and wait for that."""
    response = web.StreamResponse()
    closed = asyncio.get_running_loop().create_future()
    with state.holds, contextlib.suppress(asyncio.CancelledError, ConnectionError):
        await response.prepare(request)
        await response.write(b"held\n")
        await closed  # aiohttp cancels the handler when the connection goes
    return response
