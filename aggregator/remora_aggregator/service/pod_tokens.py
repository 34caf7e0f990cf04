"""Tokens of Kubernetes' ServiceAccounts, reviewed by the cluster (TokenReview).

What was found is remembered by the token's digest; the token is neither kept nor logged. The API
server itself checks that the pod which a token is bound to still exists.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, Field, ValidationError

from remora.clock import Clock
from remora.errors import BadRequest, Unavailable
from remora.task_owner import TaskOwner
from remora_aggregator.service.rates import Buckets, Rate
from remora_aggregator.service.shown import Shown
from remora_aggregator.service.token_file import ACCOUNT

logger = logging.getLogger(__name__)

AUDIENCE = "remora-aggregator"
_OPERATORS = "remora-operator"
"""Tokens for it are refused, whatever else they are for: DESIGN §7."""

KNOWN_S = 300.0
"""How long an answer holds: a pod that was deleted can report for so long at most."""

REFUSED_S = 10.0
AWAY_S = 1_800.0
"""How long an answer goes on, until its token ends, while the API server can't be asked."""

_RETRY_S = 2.0
"""How long nobody asks again after the API server could not be."""

_MAX_KNOWN = 50_000
_MAX_ASKED = 256
_REFUSALS = Rate(per_s=1.0, burst=30.0)
"""Of tokens from one host: who guesses keeps the API server no busier than that."""

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


class Reviewer(Protocol):
    """Reviews tokens."""

    async def review(self, token: str, audiences: Sequence[str]) -> object:
        """Return the answer's JSON; raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """A ServiceAccount that the cluster vouches for.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        pod_name: Of the pod that the token is bound to; empty: to none.
        pod_uid: The same.
    """

    namespace: str
    name: str
    pod_name: str = ""
    pod_uid: str = ""

    @property
    def username(self) -> str:
        """What Kubernetes calls it."""
        return f"{ACCOUNT}{self.namespace}:{self.name}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found of a token.

    Attributes:
        fresh_until_s: Until then nobody asks again.
        usable_until_s: Until then it goes on where nobody can be asked.
        found: The account, or why the token does not count.
    """

    fresh_until_s: float
    usable_until_s: float
    found: "_Answer"


@dataclass(frozen=True, slots=True)
class _No:
    """Why no account was found: with the status of a refusal, or because nobody can be asked."""

    why: str
    status: int = 0

    def error(self) -> BadRequest | Unavailable:
        """Make the error that says so; each caller gets one of its own."""
        return BadRequest(self.why, status=self.status) if self.status else Unavailable(self.why)


type _Answer = Account | _No


class PodTokens:
    """Says which account a token is of; one for all services."""

    def __init__(self, reviewer: Reviewer, clock: Clock) -> None:
        """Take whom to ask."""
        self._reviewer = reviewer
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[_Answer]] = {}
        self._refusals = Buckets[str](_REFUSALS, most=10_000)
        self._away: tuple[float, _No] | None = None
        self._tasks = TaskOwner("token reviews")

    async def aclose(self) -> None:
        """End what is under way."""
        await self._tasks.aclose()

    async def account(self, shown: Shown) -> Account:
        """Return the account whose token is shown.

        Raises:
            BadRequest: The token does not count (status 401), or too many that did not count came
                from where it comes from (429).
            Unavailable: The cluster can't be asked.
        """
        digest = hashlib.sha256(shown.token.encode()).digest()
        known = self._known.get(digest)
        now_s = self._clock.monotonic_s()
        if known is not None and now_s < known.fresh_until_s:
            answer = known.found
        else:
            answer = await self._asked_anew(digest, shown, now_s)
            is_away = isinstance(answer, _No) and not answer.status
            if is_away and known is not None and now_s < known.usable_until_s:
                answer = known.found
        if isinstance(answer, _No):
            raise answer.error()
        return answer

    async def _asked_anew(self, digest: bytes, shown: Shown, now_s: float) -> _Answer:
        """Ask, once for all who come with the same token meanwhile."""
        task = self._asked.get(digest)
        if task is None:
            if self._away is not None and now_s < self._away[0]:
                return self._away[1]
            if self._refusals.wait_s(shown.host, now_s, need=1.0):
                return _No("too many tokens from there did not count", status=429)
            if len(self._asked) >= _MAX_ASKED:
                return _No("too many tokens are being reviewed: try again")
            task = self._tasks.spawn(self._reviewed(digest, shown), name="review")
            self._asked[digest] = task
            task.add_done_callback(lambda _: self._asked.pop(digest, None))
        return await asyncio.shield(task)

    async def _reviewed(self, digest: bytes, shown: Shown) -> _Answer:
        """Ask; what comes of it is a value, since nobody may be left to hear an error."""
        try:
            found = _found(await self._reviewer.review(shown.token, (AUDIENCE, _OPERATORS)))
        except Unavailable as error:
            away = _No(str(error))
            self._away = (self._clock.monotonic_s() + _RETRY_S, away)
            logger.warning("tokens can't be reviewed: %s", error)
            return away
        self._away = None
        now_s = self._clock.monotonic_s()
        if isinstance(found, _No):
            self._refusals.take(shown.host, 1, now_s)
            self._keep(digest, _Known(now_s + REFUSED_S, now_s, found))
        else:
            left_s = self._left_s(shown.token)
            fresh_s, usable_s = min(KNOWN_S, left_s), min(AWAY_S, left_s)
            self._keep(digest, _Known(now_s + fresh_s, now_s + usable_s, found))
        return found

    def _keep(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    def _left_s(self, token: str) -> float:
        """How long a token that the cluster accepted still counts."""
        end_s = _end_unix_s(token)
        return KNOWN_S if end_s is None else max(0.0, end_s - self._clock.now_unix_ns() / 1e9)


class _User(BaseModel):
    username: str = ""
    extra: Mapping[str, Sequence[str]] = Field(default_factory=dict)


class _Status(BaseModel):
    authenticated: bool = False
    user: _User = _User()
    audiences: Sequence[str] = ()


class _Review(BaseModel):
    status: _Status = _Status()


def _found(answer: object) -> _Answer:
    """Read a TokenReview."""
    try:
        status = _Review.model_validate(answer).status
    except ValidationError:
        raise Unavailable("the Kubernetes API server's answer is no TokenReview") from None
    if not status.authenticated:
        return _No(f"the cluster does not accept the token for the audience {AUDIENCE!r}", 401)
    if _OPERATORS in status.audiences:
        return _No(f"the token is for the audience {_OPERATORS!r}, not for {AUDIENCE!r}", 401)
    # A server that does not know audiences leaves them out: the token is then for itself.
    if AUDIENCE not in status.audiences:
        return _No(f"the token is not for the audience {AUDIENCE!r}", 401)
    prefix, _, account = status.user.username.partition(ACCOUNT)
    namespace, _, name = account.partition(":")
    if prefix or not namespace or not name:
        return _No("the token is no ServiceAccount's", 401)
    pod = [_only(status.user.extra, key) for key in (_POD_NAME, _POD_UID)]
    return Account(namespace, name, *(pod if all(pod) else ()))


def _only(extra: Mapping[str, Sequence[str]], key: str) -> str:
    values = extra.get(key, ())
    return values[0] if len(values) == 1 else ""


def _end_unix_s(token: str) -> float | None:
    """Read the end of a JSON Web Token (RFC 7519, section 4.1.4), which others have verified."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error, RecursionError):
        return None
