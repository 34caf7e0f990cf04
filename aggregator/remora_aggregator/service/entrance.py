"""The one place where it is decided who comes in, for gRPC and HTTP alike.

Whoever serves asks in this order: who is it (`caller`), may it do this (`admit`), is there room
for one more call of its (`opened`), and, for each message, is it too much (`charge`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from remora.clock import Clock
from remora.errors import Unavailable
from remora_aggregator.service.caller import Caller, Role
from remora_aggregator.service.identity import Authenticator
from remora_aggregator.service.permissions import ANYBODY, QUERIES, Act
from remora_aggregator.service.rates import Limits, Rate, RateLimited
from remora_aggregator.service.shown import Shown

_POD_CALLS = 64
"""A pod has one sidecar, which needs a handful at once."""

_POD_REPORTS = 4
"""Each may hold one message of the largest size that gRPC takes."""

_STRANGER_CALLS = 4
_PATIENCE_S = 5.0
"""Who owes no more is slowed down, by being read more slowly; who owes more is turned away."""

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class EntranceRates:
    """What each caller may do in a second, on average; 0: there is no limit.

    Attributes:
        messages: Messages sent, of whatever kind.
        records: Records reported.
        bytes: Bytes of messages.
        queries: Questions about records and tasks.
    """

    messages: float = 0.0
    records: float = 0.0
    bytes: float = 0.0
    queries: float = 0.0

    @property
    def limits(self) -> Limits:
        """Buckets of these rates."""
        names = ("messages", "records", "bytes", "queries")
        return Limits({name: Rate.of(getattr(self, name)) for name in names})


class Entrance:
    """Lets callers in."""

    def __init__(
        self, who: Authenticator, limits: Limits, clock: Clock, *, calls_each: int
    ) -> None:
        """Take who knows callers, and what each may ask for.

        Args:
            who: Says who somebody is.
            limits: Of messages, records, bytes and queries.
            clock: Its monotonic half fills the buckets.
            calls_each: How many calls one caller may have under way; a pod has fewer.
        """
        self._who = who
        self._limits = limits
        self._clock = clock
        self._calls_each = calls_each
        self._open: Counter[str] = Counter()

    @property
    def open_calls(self) -> int:
        """How many calls are under way."""
        return self._open.total()

    async def caller(self, shown: Shown, act: Act) -> Caller:
        """Return who somebody is that wants to do something.

        Raises:
            BadRequest: It is nobody (status 401), or nobody that may come in (403).
            Unavailable: Nobody can tell now.
        """
        if act in ANYBODY:
            return Caller("", Role.READER, f"anybody at {shown.host}")
        return await self._who.caller(shown)

    def admit(self, caller: Caller, act: Act) -> None:
        """Let a caller begin to do something.

        Raises:
            BadRequest: It may not (status 403).
            RateLimited: It asked for too much already (status 429).
        """
        caller.must(act)
        now_s, key = self._clock.monotonic_s(), caller.key
        if act in QUERIES:
            self._limits.check(key, ("queries",), now_s, need=1.0)
            self._limits.charge(key, {"queries": 1}, now_s)
        self._limits.check(key, ("messages",), now_s, patience_s=_PATIENCE_S)
        self._limits.charge(key, {"messages": 1}, now_s)

    @contextmanager
    def opened(self, caller: Caller, act: Act) -> Iterator[None]:
        """Count a call as under way for as long as the block lasts.

        Raises:
            RateLimited: Too many of the caller's are.
        """
        key, most = self._counted(caller, act)
        if self._open[key] >= most:
            text = f"{caller.name} has {most} such calls under way, as many as it may"
            raise RateLimited(text, _RETRY_S)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def _counted(self, caller: Caller, act: Act) -> tuple[str, int]:
        """Say as what a call is counted, and how many such there may be."""
        if caller.namespaces == frozenset():
            return caller.key, _STRANGER_CALLS
        if not caller.pod_uid:
            return caller.key, self._calls_each
        if act is Act.REPORT:
            return f"{caller.key} {act.value}", min(_POD_REPORTS, self._calls_each)
        return caller.key, min(_POD_CALLS, self._calls_each)

    def charge(self, caller: Caller, amounts: Mapping[str, float]) -> float:
        """Charge a message that came; return for how many seconds no other should be read.

        Raises:
            RateLimited: Too much came already; this one is not charged.
        """
        now_s = self._clock.monotonic_s()
        self._limits.check(caller.key, amounts, now_s, patience_s=_PATIENCE_S)
        return self._limits.charge(caller.key, amounts, now_s)

    async def is_still(self, caller: Caller, shown: Shown, act: Act) -> bool:
        """Tell whether what somebody shows still makes it the same caller; not knowing, it does.

        Raises:
            BadRequest: It is nobody any more.
        """
        try:
            return await self.caller(shown, act) == caller
        except Unavailable:
            return True
