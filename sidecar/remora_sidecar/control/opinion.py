"""The control call by which programs get a second opinion about a user's message."""

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from remora_sidecar.control.admission import Kind
from remora_sidecar.control.handling import STATE, asked, guarded, refused
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.signals.own_calls import NotAnswered, Why

_OFF = Refusal(
    404,
    "not_found",
    "CLASSIFIER_OFF",
    "policy names no model that gives second opinions: set spec.signals.classifier",
)
_SPENT = frozenset({Why.LIMIT, Why.UNPRICED})

Shown = Annotated[str, Field(max_length=16_384)]


class Question(BaseModel):
    """What is asked.

    Attributes:
        session_id: Whose message it is.
        goal: What the answer was for.
        message: What the user wrote.
        previous: The user's message that was answered.
        prior: The answer before it.
    """

    model_config = ConfigDict(extra="forbid")

    session_id: str = Field(default="", max_length=256)
    goal: str = Field(default="", max_length=128)
    message: Annotated[str, Field(min_length=1, max_length=16_384)]
    previous: Shown = ""
    prior: Shown = ""


def add_opinion(app: web.Application) -> None:
    """Serve the call."""
    app.router.add_post("/v1/signals/opinion", guarded(Kind.SESSION, _opinion))


async def _opinion(request: web.Request) -> web.Response:
    opinions = request.app[STATE].signals.opinions
    rules = None if opinions is None else opinions.rules
    if opinions is None or rules is None:
        return refused(_OFF)
    question = await asked(request, Question, "the opinion")
    if isinstance(question, Refusal):
        return refused(question)
    try:
        found = await opinions.opinion(rules, question.message, question.previous, question.prior)
    except NotAnswered as error:
        return refused(_refusal(error))
    told = {
        "label": found.label.value,
        "confidence": found.confidence,
        "dimensions": [dimension.value for dimension in found.dimensions],
    }
    return web.json_response(told)


def _refusal(error: NotAnswered) -> Refusal:
    if error.why in _SPENT:
        return Refusal(429, "rate_limit_error", "CLASSIFIER_SPENT", str(error))
    return Refusal(502, "upstream_error", "CLASSIFIER_FAILED", str(error))
