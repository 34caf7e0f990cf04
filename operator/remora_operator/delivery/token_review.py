"""Whose token it is, asked of the cluster (TokenReview, authentication.k8s.io/v1).

A token counts if it is for our audience, if it is bound to a pod, and if that pod still runs.
What was found is remembered for a few seconds by the token's digest; the token itself is neither
kept nor logged.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from remora.clock import Clock
from remora.errors import BadRequest, Unavailable
from remora.task_owner import TaskOwner
from remora_operator.cluster.api_server import ApiServer, Json
from remora_operator.delivery.pod_identity import Metadata, PodIdentity

AUDIENCE = "remora-operator"

KNOWN_S = 10.0
"""How long an answer holds: a pod that was deleted can be served for so long at most."""

_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"
_ACCOUNT = "system:serviceaccount:"
_OVER = ("Succeeded", "Failed")
_MAX_TOKEN_CHARS = 8192
_MAX_KNOWN = 10_000
_MAX_ASKED = 256
"""Reviews under way; who comes when there are more is told to come again."""


class _User(BaseModel):
    username: str = ""
    extra: Mapping[str, Sequence[str]] = Field(default_factory=dict)


class _ReviewStatus(BaseModel):
    authenticated: bool = False
    user: _User = _User()
    audiences: Sequence[str] = ()


class _Review(BaseModel):
    status: _ReviewStatus = _ReviewStatus()


class _PodMetadata(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    uid: str
    deletion: datetime | None = Field(default=None, alias="deletionTimestamp")


class _PodStatus(BaseModel):
    phase: str = ""


class _Pod(BaseModel):
    metadata: _PodMetadata
    status: _PodStatus = _PodStatus()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a token does not count."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of a token until a moment."""

    until_s: float
    answer: PodIdentity | _Refusal


type _Answer = PodIdentity | _Refusal | str
"""Text: why the cluster can't be asked."""


class TokenReviews:
    """Identifies pods by their projected tokens; one for all services of an operator."""

    def __init__(self, api: ApiServer, clock: Clock, *, audience: str = AUDIENCE) -> None:
        """Take whom to ask, and for which audience tokens have to be."""
        self._api = api
        self._clock = clock
        self._audience = audience
        self._found: OrderedDict[bytes, _Found] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[_Answer]] = {}
        self._tasks = TaskOwner("token reviews")

    async def aclose(self) -> None:
        """End what is under way."""
        await self._tasks.aclose()

    async def identify(self, metadata: Metadata) -> PodIdentity:
        """Return the pod whose token a call carries.

        Raises:
            BadRequest: Status 401 without an accepted token, 403 if it is no running pod's, 429
                where too many ask at once.
            Unavailable: The API server can't be asked.
        """
        token = bearer_token(metadata)
        digest = hashlib.sha256(token.encode()).digest()
        found = self._found.get(digest)
        if found is None or self._clock.monotonic_s() >= found.until_s:
            answer = await asyncio.shield(self._review_of(digest, token))
        else:
            answer = found.answer
        match answer:
            case PodIdentity():
                return answer
            case _Refusal():
                raise BadRequest(answer.why, status=answer.status)
            case str():
                raise Unavailable(answer)

    def _review_of(self, digest: bytes, token: str) -> asyncio.Task[_Answer]:
        """Ask once for all who come with the same token meanwhile."""
        task = self._asked.get(digest)
        if task is None:
            if len(self._asked) >= _MAX_ASKED:
                raise BadRequest("too many tokens are being reviewed: try again", status=429)
            task = self._tasks.spawn(self._reviewed(digest, token), name="review")
            self._asked[digest] = task
            task.add_done_callback(lambda _: self._asked.pop(digest, None))
        return task

    async def _reviewed(self, digest: bytes, token: str) -> _Answer:
        """Ask, and give whatever comes of it as a value: nobody may be left to hear an error."""
        try:
            answer: PodIdentity | _Refusal = await self._ask(token)
        except BadRequest as refused:
            answer = _Refusal(refused.status, str(refused))
        except Unavailable as error:
            return str(error)
        self._found[digest] = _Found(self._clock.monotonic_s() + KNOWN_S, answer)
        self._found.move_to_end(digest)
        while len(self._found) > _MAX_KNOWN:
            self._found.popitem(last=False)
        return answer

    async def _ask(self, token: str) -> PodIdentity:
        body: Json = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        answer = await self._api.create(_REVIEWS, body)
        identity = self._identity(_parsed(_Review, answer).status)
        await self._check_alive(identity)
        return identity

    def _identity(self, status: _ReviewStatus) -> PodIdentity:
        # A server that does not know audiences leaves them out: the token is then for itself.
        if not status.authenticated or self._audience not in status.audiences:
            raise BadRequest(
                f"the cluster does not accept the token for the audience {self._audience!r}",
                status=401,
            )
        prefix, account = (
            status.user.username[: len(_ACCOUNT)],
            status.user.username[len(_ACCOUNT) :],
        )
        namespace, _, name = account.partition(":")
        pod_name, pod_uid = (_only(status.user.extra, key) for key in (_POD_NAME, _POD_UID))
        if prefix != _ACCOUNT or not (namespace and name and pod_name and pod_uid):
            raise _forbidden("the token is not bound to a pod: mount a projected token")
        return PodIdentity(namespace, pod_name, pod_uid, name)

    async def _check_alive(self, identity: PodIdentity) -> None:
        namespace, name = quote(identity.namespace, safe=""), quote(identity.pod_name, safe="")
        found = await self._api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        pod = None if found is None else _parsed(_Pod, found)
        if pod is None or pod.metadata.uid != identity.pod_uid:
            raise _forbidden(f"{identity} does not exist any more")
        if pod.status.phase in _OVER:
            raise _forbidden(f"{identity} is over ({pod.status.phase})")
        deletion = pod.metadata.deletion
        now = datetime.fromtimestamp(self._clock.now_unix_ns() / 1e9, UTC)
        # The server writes when the pod's grace period ends; until then its agents still run.
        if deletion is not None and deletion.astimezone(UTC) <= now:
            raise _forbidden(f"{identity} was deleted")


def bearer_token(metadata: Metadata) -> str:
    """Return the token of a call's metadata.

    Raises:
        BadRequest: Status 401: there is none, or what can't be one.
    """
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and _may_be_token(token.strip()):
                return token.strip()
            raise BadRequest("the authorization is not of the form 'Bearer TOKEN'", status=401)
    raise BadRequest("a token is needed: authorization: Bearer TOKEN", status=401)


def _may_be_token(text: str) -> bool:
    is_plain = text.isascii() and text.isprintable() and " " not in text
    return is_plain and 0 < len(text) <= _MAX_TOKEN_CHARS


def _only(extra: Mapping[str, Sequence[str]], key: str) -> str:
    values = extra.get(key, ())
    return values[0] if len(values) == 1 else ""


def _parsed[M: BaseModel](model: type[M], answer: Json) -> M:
    try:
        return model.model_validate(answer)
    except ValidationError:
        kind = model.__name__.removeprefix("_")
        raise Unavailable(f"the API server's answer is not a {kind}") from None


def _forbidden(what: str) -> BadRequest:
    return BadRequest(what, status=403)
