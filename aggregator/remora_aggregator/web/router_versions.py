"""The resource ``/v1/router-versions``: what routers decide by, who judged it, and going back.

The same decisions as ScoreService's, by the same permissions, in the same audit log.
"""

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from remora.cli.version_lines import difference_json, version_json
from remora.client.router_version import difference_of, version_of
from remora.errors import BadRequest
from remora_aggregator.service.permissions import Act
from remora_aggregator.service.score_wire import version_message
from remora_aggregator.signals.ports import VersionBook
from remora_aggregator.signals.versioning import in_force
from remora_aggregator.signals.versioning import version_of as version_in
from remora_aggregator.web.answering import in_time, json_answer, rendered
from remora_aggregator.web.audited import audited
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import NoParameters
from remora_aggregator.web.question import about
from remora_aggregator.web.request_body import body_of
from remora_aggregator.web.score_answer import DifferencesAnswer, VersionAnswer, VersionsAnswer
from remora_aggregator.web.score_parameters import DiffParameters, NamespaceParameters
from remora_aggregator.web.scores import namespace_of


class ActivateRequest(BaseModel):
    """Whose version is put in force."""

    model_config = ConfigDict(extra="forbid", title="ActivateVersion")

    namespace: str = Field(default="", max_length=1_000, description="Default: the caller's own.")


class RollBackRequest(ActivateRequest):
    """Whose version before is put back in force."""

    model_config = ConfigDict(extra="forbid", title="RollBack")


class ProposeRequest(ActivateRequest):
    """Why a version is made, and of whose scores."""

    model_config = ConfigDict(extra="forbid", title="ProposeVersion")

    note: str = Field(default="", max_length=1_000, description="Why; for people.")
    activate: bool = Field(
        default=False, description="Put it in force if the gate accepts it, and only then."
    )


async def list_versions(request: web.Request, asked: NamespaceParameters) -> web.StreamResponse:
    """Answer with all versions."""
    front, namespace = front_of(request), namespace_of(request, asked.namespace)
    async with in_time(front.bounds):
        found = await front.learned.reports.versions(namespace)
    return await rendered(
        lambda: {"versions": [version_json(version_of(one)) for one in found.versions]}
    )


async def show_version(request: web.Request, asked: NamespaceParameters) -> web.StreamResponse:
    """Answer with one version and its scores."""
    front, namespace = front_of(request), namespace_of(request, asked.namespace)
    async with in_time(front.bounds):
        found = await front.learned.reports.versions(namespace, _number(request))
    return await rendered(lambda: version_json(version_of(found.versions[0])))


async def show_differences(request: web.Request, asked: DiffParameters) -> web.StreamResponse:
    """Answer with what is otherwise in a version than in another."""
    front, namespace = front_of(request), namespace_of(request, asked.namespace)
    async with in_time(front.bounds):
        found = await front.learned.reports.diff(namespace, asked.old, asked.new)
    return await rendered(
        lambda: {"differences": [difference_json(difference_of(d)) for d in found.differences]}
    )


async def propose(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Make a version of the scores as they are now."""
    del asked
    body = await body_of(request, ProposeRequest)
    namespace, versions = namespace_of(request, body.namespace), front_of(request).learned.versions
    told = {"namespace": namespace, "note": body.note, "activate": body.activate}
    async with audited(request, "ScoreService/Propose", told):
        caller_of(request).must(Act.STEER_SCORES)
        async with in_time(front_of(request).bounds):
            book, number = await versions.propose(namespace, note=body.note, activate=body.activate)
    return _told(book, number)


async def activate(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Put a version in force."""
    del asked
    body = await body_of(request, ActivateRequest)
    namespace, number = namespace_of(request, body.namespace), _number(request)
    told = {"namespace": namespace, "number": number}
    async with audited(request, "ScoreService/Activate", told):
        caller_of(request).must(Act.STEER_SCORES)
        async with in_time(front_of(request).bounds):
            book = await front_of(request).learned.versions.activate(namespace, number)
    return _told(book, number)


async def roll_back(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Put back in force what was before."""
    del asked
    body = await body_of(request, RollBackRequest)
    namespace = namespace_of(request, body.namespace)
    async with audited(request, "ScoreService/RollBack", {"namespace": namespace}):
        caller_of(request).must(Act.STEER_SCORES)
        async with in_time(front_of(request).bounds):
            book = await front_of(request).learned.versions.roll_back(namespace)
    return _told(book, book.history.in_force or 0)


def _number(request: web.Request) -> int:
    text = request.match_info["number"]
    with about("number"):
        if not text.isascii() or not text.isdecimal() or len(text) > 9:
            raise BadRequest("is no number of a version", status=404)
        return int(text)


def _told(book: VersionBook, number: int) -> web.Response:
    version = version_in(book, number) if number else in_force(book)
    assert version is not None  # noqa: S101 - what was just made or put in force is there
    return json_answer(version_json(version_of(version_message(book, version))))


def _steering(path: str, name: str, summary: str, body: type[BaseModel], handler: Any) -> Any:
    # Who may not is refused by the handler, so that the attempt is in the audit log.
    return Operation(
        "POST", path, name, summary,
        parameters=NoParameters, handler=handler, answer=json_of(VersionAnswer), body=body,
        problems=(404, 408, 409, 413, 415), act=Act.READ_SCORES,
    )  # fmt: skip


_AT: Final = "/v1/router-versions"

OPERATIONS: Final = (
    Operation(
        "GET", _AT, "listVersions", "List router versions",
        parameters=NamespaceParameters, handler=list_versions, answer=json_of(VersionsAnswer),
        act=Act.READ_SCORES,
    ),
    Operation(
        "GET", f"{_AT}/diff", "diffVersions", "Say what is otherwise in a version than in another",
        parameters=DiffParameters, handler=show_differences, answer=json_of(DifferencesAnswer),
        problems=(404,), act=Act.READ_SCORES,
    ),
    Operation(
        "GET", f"{_AT}/{{number}}", "showVersion", "Give a router version with its scores",
        parameters=NamespaceParameters, handler=show_version, answer=json_of(VersionAnswer),
        problems=(404,), act=Act.READ_SCORES,
    ),
    _steering(
        _AT, "proposeVersion", "Make a version of scores as they are now", ProposeRequest, propose
    ),
    _steering(
        f"{_AT}/{{number}}/activate", "activateVersion", "Put a version in force",
        ActivateRequest, activate,
    ),
    _steering(
        f"{_AT}/rollback", "rollBack", "Put back in force what was before", RollBackRequest,
        roll_back,
    ),
)  # fmt: skip
