"""Budgets as envelopes in envelopes: a call has to fit its step's, its workflow's and its task's.

What a call may take is reserved before it is asked, and settled by its receipt. Spent and reserved
together never pass a limit that blocks or downgrades by more than calls took beyond what was
reserved for them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Literal

from remora.workflows.budget import Budget
from remora_sidecar.workflows.amounts import NO_MONEY, Bill, Load, add_usd, take_usd, usd_text

LimitName = Literal["max_cost_usd", "max_tokens", "max_latency_ms"]


class Verdict(IntEnum):
    """What becomes of a call, the strictest last.

    ``WAIT``: it does not fit beside what is reserved, and may once that is settled.
    """

    GO = 0
    WARN = 1
    WAIT = 2
    DOWNGRADE = 3
    BLOCK = 4


@dataclass(frozen=True, slots=True)
class Overrun:
    """A limit that a call would pass.

    Attributes:
        scope: Whose: ``task``, ``workflow``, or ``step`` and its id.
        verdict: What follows from it.
        limit: Its name.
        allowed: As the budget says it.
        would_be: What it would come to; None: nobody knows, as the price is unknown.
    """

    scope: str
    verdict: Verdict
    limit: LimitName
    allowed: Decimal
    would_be: Decimal | None

    @property
    def over_by(self) -> Decimal | None:
        """By how much; None where it is unknown."""
        return None if self.would_be is None else take_usd(self.would_be, self.allowed)

    def facts(self) -> dict[str, object]:
        """Write it as events and errors carry it; numbers are decimal text."""
        return {
            "scope": self.scope,
            "limit": self.limit,
            "allowed": usd_text(self.allowed),
            "would_be": usd_text(self.would_be),
            "over_by": usd_text(self.over_by),
        }

    def __str__(self) -> str:
        text = f"{self.limit} {self.allowed:f} of the {self.scope}"
        if self.over_by is None:
            return f"{text} can't be kept: the price of the model is unknown"
        return f"{text} would be passed by {self.over_by:f}"


class Envelope:
    """One budget, what was spent of it and what is reserved.

    Attributes:
        scope: Whose it is.
        budget: None: nothing is limited, and all the same it is counted.
        parent: The envelope around it.
        began_ms: When its time began to run.
        spent_usd: As receipts said; where one had no price, what had been reserved.
        spent_tokens: As receipts said, likewise.
        reserved_usd: For calls that are being asked.
        reserved_tokens: For calls that are being asked.
    """

    def __init__(
        self,
        scope: str,
        budget: Budget | None = None,
        *,
        parent: "Envelope | None" = None,
        began_ms: int = 0,
    ) -> None:
        """Begin with nothing spent."""
        self.scope = scope
        self.budget = budget
        self.parent = parent
        self.began_ms = began_ms
        self.spent_usd = NO_MONEY
        self.spent_tokens = 0
        self.reserved_usd = NO_MONEY
        self.reserved_tokens = 0

    def chain(self) -> Iterator["Envelope"]:
        """Give this envelope and all around it."""
        envelope: Envelope | None = self
        while envelope is not None:
            yield envelope
            envelope = envelope.parent

    @property
    def deadline_ms(self) -> int | None:
        """When its time is over, by the clock of `began_ms`."""
        limit = None if self.budget is None else self.budget.max_latency_ms
        return None if limit is None else self.began_ms + limit

    def overruns(self, load: Load, now_ms: int) -> tuple[Overrun, ...]:
        """Find the limits, of this envelope and all around it, that a call would pass."""
        found: list[Overrun] = []
        for envelope in self.chain():
            if envelope.budget is not None:
                found.extend(envelope._own_overruns(envelope.budget, load, now_ms))
        return tuple(found)

    def reserve(self, load: Load) -> "Reservation":
        """Set aside what a call may take, here and in all envelopes around."""
        for envelope in self.chain():
            envelope._reserve(load, 1)
        return Reservation(self, load)

    def charge(self, cost_usd: Decimal, tokens: int) -> None:
        """Count what was spent without a reservation, such as before a restart."""
        self.spent_usd = add_usd(self.spent_usd, cost_usd)
        self.spent_tokens += tokens

    def _reserve(self, load: Load, sign: int) -> None:
        cost = load.cost_usd or NO_MONEY
        self.reserved_usd = (add_usd if sign > 0 else take_usd)(self.reserved_usd, cost)
        self.reserved_tokens += sign * load.tokens

    def _own_overruns(self, budget: Budget, load: Load, now_ms: int) -> Iterator[Overrun]:
        if budget.max_cost_usd is not None:
            yield from self._cost_overrun(budget, budget.max_cost_usd, load)
        if budget.max_tokens is not None:
            yield from self._token_overrun(budget, budget.max_tokens, load)
        if budget.max_latency_ms is not None:
            yield from self._time_overrun(budget, budget.max_latency_ms, load, now_ms)

    def _cost_overrun(self, budget: Budget, limit: Decimal, load: Load) -> Iterator[Overrun]:
        if load.cost_usd is None:
            yield Overrun(self.scope, _verdict(budget), "max_cost_usd", limit, None)
            return
        alone = add_usd(self.spent_usd, load.cost_usd)
        total = add_usd(alone, self.reserved_usd)
        if total > limit:
            verdict = _verdict(budget, may_wait=alone <= limit)
            yield Overrun(self.scope, verdict, "max_cost_usd", limit, total)

    def _token_overrun(self, budget: Budget, limit: int, load: Load) -> Iterator[Overrun]:
        alone = self.spent_tokens + load.tokens
        total = alone + self.reserved_tokens
        if total > limit:
            verdict = _verdict(budget, may_wait=alone <= limit)
            yield Overrun(self.scope, verdict, "max_tokens", Decimal(limit), Decimal(total))

    def _time_overrun(
        self, budget: Budget, limit: int, load: Load, now_ms: int
    ) -> Iterator[Overrun]:
        """Assumed speeds may move a call to a faster model; only time that is over blocks."""
        elapsed = now_ms - self.began_ms
        expected = elapsed + (load.latency_ms if budget.on_exceed == "downgrade" else 0)
        if elapsed >= limit:
            verdict = Verdict.WARN if budget.on_exceed == "warn" else Verdict.BLOCK
            yield self._time(verdict, limit, elapsed)
        elif expected > limit:
            yield self._time(Verdict.DOWNGRADE, limit, expected)

    def lateness(self, now_ms: int) -> Overrun | None:
        """Return its time limit as an overrun if its time is over."""
        if self.budget is None or self.budget.max_latency_ms is None:
            return None
        found = self._time_overrun(self.budget, self.budget.max_latency_ms, Load(), now_ms)
        return next((overrun for overrun in found), None)

    def _time(self, verdict: Verdict, limit: int, would_be: int) -> Overrun:
        return Overrun(self.scope, verdict, "max_latency_ms", Decimal(limit), Decimal(would_be))


def _verdict(budget: Budget, *, may_wait: bool = False) -> Verdict:
    if budget.on_exceed == "warn":
        return Verdict.WARN
    if may_wait:
        return Verdict.WAIT
    return Verdict.BLOCK if budget.on_exceed == "block" else Verdict.DOWNGRADE


def strictest(overruns: tuple[Overrun, ...]) -> Verdict:
    """Return what becomes of a call that would pass these limits."""
    return max((overrun.verdict for overrun in overruns), default=Verdict.GO)


class Reservation:
    """What is set aside for one call, until it is settled or released, whichever comes first."""

    __slots__ = ("_envelope", "_open", "load")

    def __init__(self, envelope: Envelope, load: Load) -> None:
        """Made by `Envelope.reserve`."""
        self._envelope = envelope
        self._open = True
        self.load = load

    def settle(self, bill: Bill) -> None:
        """Put what the call took in the place of what was set aside.

        What a bill does not say is taken to be as much as was set aside.
        """
        cost = (self.load.cost_usd if bill.cost_usd is None else bill.cost_usd) or NO_MONEY
        self._close(cost, self.load.tokens if bill.tokens is None else bill.tokens)

    def release(self) -> None:
        """Give back all of it: the call took nothing."""
        self._close(NO_MONEY, 0)

    def _close(self, cost_usd: Decimal, tokens: int) -> None:
        if not self._open:
            return
        self._open = False
        for envelope in self._envelope.chain():
            envelope._reserve(self.load, -1)
            envelope.charge(cost_usd, tokens)
