"""What is asked of a hosted service alone: refused, with the reason. And whether all is well."""

from typing import Any, Final

from aiohttp import web

from remora_aggregator.web.answering import json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.reading import NothingAsked
from remora_aggregator.web.operation import Operation
from remora_aggregator.web.problems import ApiProblem

_KEYS: Final = (
    "Keys are lines of this aggregator's token file, which its operator writes: set KALIBR_API_KEY "
    "to a token and KALIBR_TENANT_ID to its namespace."
)
_RUNTIMES: Final = "Programs run without being registered here; `remora run` runs them recorded."


def _refusing(what: str, remedy: str) -> Any:
    async def refuse(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
        """Say that this is not served, and why."""
        del request, asked
        raise ApiProblem(404, f"This aggregator {what}.", "not-served", remedy=remedy)

    return refuse


async def health(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Tell whether records can be written and read."""
    del asked
    problems = await front_of(request).readiness.problems()
    word = "unavailable" if problems else "ok"
    shown = {"status": word, "database": word, "services": {"database": word}}
    return json_answer(shown, status=503 if problems else 200)


async def alive(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Answer at all."""
    del request, asked
    return json_answer({"status": "ok"})


def _open(path: str, name: str, handler: Any) -> Operation[Any]:
    shown = operation("GET", path, name, handler, None)
    return Operation(
        shown.method, shown.path, shown.name, shown.summary, parameters=NothingAsked,
        handler=handler, answer=shown.answer, act=None, is_open=True, takes_place=False,
    )  # fmt: skip


_SIGNS_UP: Final = _refusing("signs nobody up and hands out no keys", _KEYS)
_REGISTERS: Final = _refusing("registers no runtimes", _RUNTIMES)

OPERATIONS: Final = (
    _open("/api/v1/intelligence/health", "Health", health),
    _open("/health", "Alive", alive),
    operation("POST", "/api/cli-auth/device-code", "DeviceCode", _SIGNS_UP, None),
    operation("POST", "/api/cli-auth/token", "DeviceToken", _SIGNS_UP, None),
    operation("POST", "/api/cli-auth/signup-and-provision", "SignUp", _SIGNS_UP, None),
    operation("POST", "/api/runtimes/register", "RegisterRuntime", _REGISTERS, None),
    operation("PATCH", "/api/runtimes/{runtime_id}/stop", "StopRuntime", _REGISTERS, None),
)
