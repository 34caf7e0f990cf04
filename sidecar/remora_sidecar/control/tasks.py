"""Control calls of programs that look at tasks and steer them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from remora.client.task import TaskBudget, TaskState
from remora.errors import BadRequest, Unavailable
from remora.workflows.model import Usd
from remora_sidecar.control.admission import Kind
from remora_sidecar.control.body_problems import problems_in
from remora_sidecar.control.handling import STATE, Handler, guarded, refused
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.tasks.answering import MAX_PAGE, MAX_REASON_CHARS, MAX_TITLE_CHARS
from remora_sidecar.tasks.life import Terms
from remora_sidecar.tasks.views import receipt_view, task_view

_BASES: Final = ("/v1", "/api/v1")
_USUAL_PAGE: Final = 100
_STATES: Final[Mapping[str, TaskState]] = {
    state.name.lower(): state for state in TaskState if state is not TaskState.UNKNOWN
}
_TRUTHS: Final[Mapping[str, bool]] = {
    "": False,
    "false": False,
    "0": False,
    "true": True,
    "1": True,
}
_CODES: Final[Mapping[int, tuple[str, str]]] = {
    403: ("permission_error", "FORBIDDEN"),
    404: ("not_found", "UNKNOWN_TASK"),
    409: ("conflict", "TASK_STATE"),
}
_MOST_TOKENS: Final = (1 << 63) - 1

type _Answer = Callable[[web.Request], Awaitable[dict[str, Any]]]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OwnBudget(_Body):
    """What a task may use; at least one limit.

    Attributes:
        max_cost_usd: A number or decimal text.
        max_tokens: Of prompts and answers together.
    """

    max_cost_usd: Usd | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1, le=_MOST_TOKENS)] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.max_cost_usd is None and self.max_tokens is None:
            raise ValueError("names no limit: give max_cost_usd or max_tokens")
        return self


class NewTask(_Body):
    """A task to be made known; what is missing stays as it is."""

    task_id: str
    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARS)
    budget: OwnBudget | None = None

    @property
    def terms(self) -> Terms:
        """What is said of it."""
        given = self.budget
        budget = None if given is None else TaskBudget(given.max_cost_usd, given.max_tokens)
        return Terms(budget, self.title)


class Why(_Body):
    """Why a task is paused or goes on, for people."""

    reason: str = Field(default="", max_length=MAX_REASON_CHARS)


class Cancel(Why):
    """Why a task is cancelled, and whether its calls in flight are cut."""

    cut_streams: bool = True


def add_tasks(app: web.Application) -> None:
    """Serve the calls."""
    for base in _BASES:
        app.router.add_get(f"{base}/tasks", _served(_list))
        app.router.add_post(f"{base}/tasks", _served(_create))
        one = f"{base}/tasks/{{id:[^/]+}}"  # braces may stand in an id
        app.router.add_get(one, _served(_get))
        app.router.add_post(f"{one}/cancel", _served(_cancel))
        app.router.add_post(f"{one}/pause", _served(_pause))
        app.router.add_post(f"{one}/resume", _served(_resume))


def _served(answer: _Answer) -> Handler:
    async def handled(request: web.Request) -> web.Response:
        try:
            return web.json_response(await answer(request))
        except BadRequest as error:
            return refused(_refusal(error))
        except Unavailable as error:
            return refused(
                Refusal(503, "api_error", "AGGREGATOR_UNAVAILABLE", str(error), retry=True)
            )

    return guarded(Kind.SESSION, handled)


def _refusal(error: BadRequest) -> Refusal:
    if error.status not in _CODES:
        return bad_request(str(error))
    kind, code = _CODES[error.status]
    return Refusal(error.status, kind, code, str(error))


async def _list(request: web.Request) -> dict[str, Any]:
    query = request.query
    words = ",".join(query.getall("state", [])).split(",")
    states = [_state(word) for word in words if word]
    page = await request.app[STATE].tasks.list(
        states, limit=_limit(request), cursor=query.get("cursor", "")
    )
    tasks = [task_view(task) for task in page.tasks]
    return {"tasks": tasks, "next_cursor": page.next_cursor or None}


async def _get(request: web.Request) -> dict[str, Any]:
    query = request.query
    with_receipts = _truth(query.get("include_receipts", ""))
    limit = _limit(request)
    found = await request.app[STATE].tasks.get(
        request.match_info["id"],
        records=limit if with_receipts else 0,
        cursor=query.get("cursor", ""),
    )
    return {
        "task": task_view(found.task),
        "receipts": [receipt_view(record) for record in found.records],
        "next_cursor": found.next_cursor or None,
    }


async def _create(request: web.Request) -> dict[str, Any]:
    asked = await _body(request, NewTask)
    task = await request.app[STATE].tasks.create(asked.task_id, asked.terms)
    return {"task": task_view(task)}


async def _cancel(request: web.Request) -> dict[str, Any]:
    asked = await _body(request, Cancel)
    task = await request.app[STATE].tasks.cancel(
        request.match_info["id"], asked.reason, cut_streams=asked.cut_streams
    )
    return {"task": task_view(task)}


async def _pause(request: web.Request) -> dict[str, Any]:
    reason = (await _body(request, Why)).reason
    task = await request.app[STATE].tasks.pause(request.match_info["id"], reason)
    return {"task": task_view(task)}


async def _resume(request: web.Request) -> dict[str, Any]:
    reason = (await _body(request, Why)).reason
    task = await request.app[STATE].tasks.resume(request.match_info["id"], reason)
    return {"task": task_view(task)}


async def _body[M: BaseModel](request: web.Request, model: type[M]) -> M:
    """Read the body, which may be empty; raises BadRequest where it is not as it should be."""
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        raise BadRequest(f"the request can't be used: {problems_in(error)}") from None


def _state(word: str) -> TaskState:
    state = _STATES.get(word)
    if state is None:
        raise BadRequest(f"state is one of {', '.join(_STATES)}")
    return state


def _truth(word: str) -> bool:
    if word not in _TRUTHS:
        raise BadRequest("include_receipts is true or false")
    return _TRUTHS[word]


def _limit(request: web.Request) -> int:
    text = request.query.get("limit") or str(_USUAL_PAGE)
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_PAGE):
        raise BadRequest(f"limit is a number from 1 to {MAX_PAGE}")
    return int(text)
