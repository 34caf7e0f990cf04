"""What went wrong, as RFC 9457 has it: what happened, where, and what to do about it. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from remora.errors import BadRequest, RemoraError, Unavailable
from remora_aggregator.service.rates import RateLimited

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1

_TYPE = "urn:remora:problem:"

_REMEDIES: Final = {
    400: "Correct the request; /v1/openapi.json says what it may hold.",
    401: "Send `Authorization: Bearer TOKEN`, or sign in with POST /v1/sign-in.",
    403: "Ask with a token that may do this.",
    404: "See /v1/openapi.json for what there is.",
    405: "Use one of the methods in the Allow header.",
    408: "Send the request in one go.",
    409: "Look at what is there now, and ask again.",
    413: "Send less at once.",
    414: "Ask with fewer or shorter parameters.",
    415: "Send the body as it is, as application/json.",
    421: "Use a name of this aggregator, or add this one to REMORA_AGGREGATOR_HTTP_HOSTS.",
    429: "Ask again later, and less often.",
    500: "This is a bug of ours: the aggregator's log has it.",
    503: "Ask again in a moment; /readyz says whether the aggregator is well.",
    504: "Ask for less: a shorter span of time, fewer groups, more conditions.",
}


_DETAILS: Final = {
    400: "The request is no HTTP that can be read.",
    404: "There is nothing under this path.",
    405: "This path can't be asked with this method.",
    413: "The body is too large.",
}


class ProblemAnswer(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="A name of this kind of problem, for programs.")
    title: str = Field(description="The status in words.")
    status: int
    code: str = Field(description="The end of `type`.")
    detail: str = Field(description="What happened.")
    where: str | None = Field(description="The parameter, header or member that it is about.")
    remedy: str = Field(description="What to do.")


class ApiProblem(RemoraError):
    """Ends a request with an answer that says why.

    Attributes:
        detail: What happened.
        code: For programs.
        where: The parameter, header or member that it is about; empty: the whole request.
        remedy: What to do; empty: what is usual for the status.
    """

    def __init__(
        self, status: int, detail: str, code: str, where: str = "", *,
        remedy: str = "", headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        """Keep what is answered."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.where = where
        self.remedy = remedy
        self.headers = headers

    def content(self) -> dict[str, Any]:
        """Make the members of the answer."""
        return {
            "type": f"{_TYPE}{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "where": self.where or None,
            "remedy": self.remedy or _REMEDIES.get(self.status, _REMEDIES[400]),
        }


def of_error(error: BadRequest | Unavailable, where: str = "") -> ApiProblem:
    """Make the problem of one of our errors."""
    if isinstance(error, Unavailable):
        return unavailable(str(error))
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="remora"'
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
    code = _code(error.code)
    return ApiProblem(error.status, _sentence(str(error)), code, where, headers=headers)


def unavailable(detail: str) -> ApiProblem:
    """Make the problem of what will pass."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return ApiProblem(503, _sentence(detail), "unavailable", headers=headers)


def of_status(status: int, headers: Mapping[str, str]) -> ApiProblem:
    """Make the problem of a status that the HTTP library answers with."""
    phrase = HTTPStatus(status).phrase
    kept = {name: value for name, value in headers.items() if name.lower() == "allow"}
    detail = _DETAILS.get(status, f"{phrase}.")
    return ApiProblem(status, detail, _code(phrase), headers=kept)


def of_validation(error: ValidationError, kind: str) -> ApiProblem:
    """Make the problem of parameters or members that can't be read; names all of them.

    Args:
        error: What pydantic raised; nothing of the values is repeated.
        kind: ``parameter`` or ``member``.
    """
    found = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(str(part)[:60] for part in one["loc"])
        said = one["msg"].removeprefix("Value error, ")
        unknown = one["type"] == "extra_forbidden"
        what = f"there is no such {kind}" if unknown else said[:1].lower() + said[1:]
        found.append((place, what))
    detail = "; ".join(f"{place}: {what}" if place else what for place, what in found[:10])
    return ApiProblem(400, f"{detail}.", f"bad-{kind}", where=found[0][0])


def _code(words: str) -> str:
    return words.lower().replace(" ", "-").replace("_", "-")


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
