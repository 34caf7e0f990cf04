"""Runs of workflows on the control listener: look at them, follow them, steer them."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from remora_sidecar.control.admission import Kind
from remora_sidecar.control.execution_events import send_events
from remora_sidecar.control.handling import STATE, Handler, asked, guarded, refused
from remora_sidecar.control.openai_calls import BASES
from remora_sidecar.control.workflows import client_key
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.workflow_runs.known import Known
from remora_sidecar.workflows.inputs import Cancel, Pause, Resume

_UNKNOWN = Refusal(
    404, "not_found", "UNKNOWN_EXECUTION",
    "there is no execution of this id; what came of one is known for an hour",
)  # fmt: skip


class Steering(BaseModel):
    """What a person may say beside what is to be done.

    Attributes:
        reason: Why.
    """

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=1_000)


def add_executions(app: web.Application) -> None:
    """Serve the calls."""
    steers: dict[str, Callable[[str], Cancel | Pause | Resume]] = {
        "cancel": lambda reason: Cancel(reason or "cancelled"),
        "pause": lambda _: Pause(),
        "resume": lambda _: Resume(),
    }
    for base in BASES:
        app.router.add_get(f"{base}/executions", guarded(Kind.SESSION, _list))
        app.router.add_get(f"{base}/executions/{{id}}", guarded(Kind.SESSION, _of(_show)))
        app.router.add_get(f"{base}/executions/{{id}}/events", guarded(Kind.SESSION, _of(_follow)))
        for name, given in steers.items():
            path = f"{base}/executions/{{id}}/{name}"
            app.router.add_post(path, guarded(Kind.SESSION, _of(_steered(given))))


def _of(
    handler: Callable[[web.Request, Known], Awaitable[web.StreamResponse]],
) -> Handler:
    async def handled(request: web.Request) -> web.StreamResponse:
        known = request.app[STATE].workflows.find(request.match_info["id"])
        return refused(_UNKNOWN) if known is None else await handler(request, known)

    return handled


async def _list(request: web.Request) -> web.Response:
    key = client_key(request)
    if isinstance(key, Refusal):
        return refused(key)
    found = request.app[STATE].workflows.of_session(key.session.session_id)
    return web.json_response({"executions": [known.summary for known in found]})


async def _show(_: web.Request, known: Known) -> web.StreamResponse:
    return web.json_response(known.value)


async def _follow(request: web.Request, known: Known) -> web.StreamResponse:
    after = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    return await send_events(request, known.feed, known.feed.number_of(after))


def _steered(
    given: Callable[[str], Cancel | Pause | Resume],
) -> Callable[[web.Request, Known], Awaitable[web.StreamResponse]]:
    async def handled(request: web.Request, known: Known) -> web.StreamResponse:
        said = await asked(request, Steering, "the execution")
        if isinstance(said, Refusal):
            return refused(said)
        request.app[STATE].workflows.steer(known, given(said.reason))
        await known.settled()
        return web.json_response(known.value)

    return handled
