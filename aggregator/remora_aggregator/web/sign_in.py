"""The resources ``/v1/sign-in``, ``/v1/sign-out`` and ``/v1/whoami``: a cookie for a token."""

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from remora import __version__
from remora.cli.moments import iso_utc
from remora_aggregator.service.caller import Caller
from remora_aggregator.service.permissions import MAY, Act
from remora_aggregator.web.answering import json_answer
from remora_aggregator.web.callers import caller_of, cookie_of, let_in, shown_with
from remora_aggregator.web.cookie import (
    LIFE_S,
    MOST_TOKEN_CHARS,
    NONCE_BYTES,
    SignedIn,
    cookie_name,
    expiry_of,
)
from remora_aggregator.web.front import Front, front_of
from remora_aggregator.web.operation import NOTHING, Operation, json_of
from remora_aggregator.web.parameters import NoParameters
from remora_aggregator.web.record_answer import Answer, moment
from remora_aggregator.web.request_body import body_of


class SignInRequest(BaseModel):
    """Who wants to sign in."""

    model_config = ConfigDict(extra="forbid", title="SignIn")

    token: str = Field(min_length=1, max_length=MOST_TOKEN_CHARS, description="As for Bearer.")


class IdentityAnswer(Answer):
    """Who asks, as the aggregator sees it."""

    model_config = ConfigDict(title="Identity")

    name: str
    role: str
    namespace: str
    namespaces: list[str] | None = Field(description="What may be looked at; null: everything.")
    may: list[str] = Field(description="What may be done, such as `steer_tasks`.")
    aggregator_version: str
    expires_at: str | None = moment("When the cookie expires; null: no cookie says who asks.")


async def sign_in(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Exchange a token for a cookie."""
    del asked
    front = front_of(request)
    token = (await body_of(request, SignInRequest)).token.strip()
    visit = await let_in(request, shown_with(request, token), Act.LEARN_SERVICES)
    expires_unix_ns = expiry_of(front.clock.now_unix_ns())
    answer = json_answer(_identity(visit.caller, expires_unix_ns))
    sealed = front.seal.sealed(SignedIn(token, expires_unix_ns), front.urandom(NONCE_BYTES))
    answer.set_cookie(
        cookie_name(is_secure=request.secure), sealed, max_age=LIFE_S, path="/",
        httponly=True, samesite="Strict", secure=request.secure,
    )  # fmt: skip
    return answer


async def sign_out(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Take the cookie back."""
    del asked
    front, cookie = front_of(request), cookie_of(request)
    if front.seal.opened(cookie, front.clock.now_unix_ns()) is not None:
        front.signed_out.add(cookie)
    answer = web.Response(status=204)
    answer.del_cookie(
        cookie_name(is_secure=request.secure), path="/",
        httponly=True, samesite="Strict", secure=request.secure,
    )  # fmt: skip
    return answer


async def whoami(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Say who asks."""
    del asked
    caller = caller_of(request)
    return json_answer(_identity(caller, _expiry(request, front_of(request))))


def _expiry(request: web.Request, front: Front) -> int | None:
    if "Authorization" in request.headers:
        return None
    signed_in = front.seal.opened(cookie_of(request), front.clock.now_unix_ns())
    return None if signed_in is None else signed_in.expires_unix_ns


def _identity(caller: Caller, expires_unix_ns: int | None) -> dict[str, Any]:
    namespaces = caller.namespaces
    shown = IdentityAnswer(
        name=caller.name,
        role=caller.role.value,
        namespace=caller.namespace,
        namespaces=None if namespaces is None else sorted(namespaces),
        may=sorted(act.name.lower() for act in MAY[caller.role]),
        aggregator_version=__version__,
        expires_at=None if expires_unix_ns is None else iso_utc(expires_unix_ns),
    )
    content: dict[str, Any] = shown.model_dump()
    return content


OPERATIONS: Final = (
    Operation(
        "POST", "/v1/sign-in", "signIn", "Exchange a token for a cookie",
        parameters=NoParameters, handler=sign_in, answer=json_of(IdentityAnswer),
        body=SignInRequest, problems=(408, 413, 415), act=None,
    ),
    Operation(
        "POST", "/v1/sign-out", "signOut", "Take the cookie back",
        parameters=NoParameters, handler=sign_out, answer=NOTHING, act=None,
    ),
    Operation(
        "GET", "/v1/whoami", "whoAmI", "Say who asks, and what they may look at",
        parameters=NoParameters, handler=whoami, answer=json_of(IdentityAnswer),
        act=Act.LEARN_SERVICES,
    ),
)  # fmt: skip
