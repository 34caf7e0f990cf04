"""What can be asked over HTTP, said once: routes and the OpenAPI document are made from it."""

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

from remora_aggregator.service.permissions import Act
from remora_aggregator.service.shown import Shown
from remora_aggregator.web.parameters import Parameters
from remora_aggregator.web.record_answer import CALL_ID

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"

type Handler[P: Parameters] = Callable[[web.Request, P], Awaitable[web.StreamResponse]]

PATH_PATTERNS: Final = {"call_id": CALL_ID}
"""What variable parts of paths look like; what does not is not found."""
ANY_PART: Final = "[^/]+"
"""What the others look like as they are written, with `%2F` for a slash."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an answer holds.

    Attributes:
        model: Its schema; None: what its media type says.
    """

    media_type: str
    model: type[BaseModel] | None
    description: str


def json_of(model: type[BaseModel], description: str = "") -> Content:
    """Describe an answer in JSON."""
    return Content(JSON, model, description or (model.__doc__ or "").strip().splitlines()[0])


@dataclass(frozen=True, slots=True)
class Operation[P: Parameters]:
    """One thing that can be asked.

    Attributes:
        path: With variable parts in braces.
        name: Of the operation, in the document.
        summary: What it does, in a line.
        body: What is sent; None: nothing.
        others: Answers of other statuses.
        problems: Statuses of problems beside those that everything may answer with.
        act: What asking it is; None: it is anybody's.
        shows: Reads what a request shows of who sends it; None: as everywhere.
        is_open: Whether it may be asked by any name, and by pages of any origin.
        takes_place: Whether it counts among the questions that are answered at once.
    """

    method: str
    path: str
    name: str
    summary: str
    _: KW_ONLY
    parameters: type[P]
    handler: Handler[P]
    answer: Content
    body: type[BaseModel] | None = None
    others: tuple[tuple[int, Content], ...] = ()
    problems: tuple[int, ...] = ()
    act: Act | None = Act.READ_RECORDS
    shows: Callable[[web.Request], Shown] | None = None
    is_open: bool = False
    takes_place: bool = True


NOTHING: Final = Content("", None, "Done.")
"""An answer without content (204)."""

type Operations = tuple[Operation[Any], ...]
