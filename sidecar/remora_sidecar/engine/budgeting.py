"""Budgets and rates held against a call before it is sent, and settled by what it used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from remora.clock import Clock
from remora.policy.limits import Budget
from remora.providers import Provider
from remora.records import CallRecord, Cost, EndReason, Usage
from remora_sidecar.dialects.parameters import Parameters
from remora_sidecar.engine.option import Option
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.refusal import budget_exceeded, limit_required, rate_limited
from remora_sidecar.engine.situation import Situation
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.budget_page import Reservation
from remora_sidecar.policy.budget_verdict import BudgetKeys, BudgetVerdict
from remora_sidecar.policy.ledger import Admission, Ledger
from remora_sidecar.policy.rates import RateHold, Rates
from remora_sidecar.policy.routers import Offer

USUAL_OUTPUT_TOKENS = 1_000
"""Reserved for a call that does not say how long its answer may be."""


@dataclass(slots=True)
class Held:
    """What a call holds, until it is settled; once.

    Attributes:
        estimate: What it was thought to cost.
        keys: Whose it is, where budgets count it.
    """

    estimate: Amount
    reservation: Reservation | None = None
    rate: RateHold | None = None
    keys: BudgetKeys | None = None


class Allowed(NamedTuple):
    """A call that budgets and rates let go.

    Attributes:
        legs: Where it may go; a cheaper one first, where a budget asked for it.
        held: To be settled.
        admission: What the budgets said; None where there are none.
    """

    legs: tuple[Option, ...]
    held: Held
    admission: Admission | None = None


class RefusedFor(NamedTuple):
    """A call that may not go, and what the budgets said."""

    refusal: Refusal
    admission: Admission | None = None


class Priced(Protocol):
    """What has a price: a provider's model."""

    @property
    def provider(self) -> Provider:
        """Who is asked."""
        ...

    @property
    def model(self) -> str:
        """For what."""
        ...

    @property
    def parameters(self) -> Parameters:
        """What is set in the request."""
        ...


class SharedBudgets(Protocol):
    """Gets shares of budgets that other pods count on as well."""

    async def ready(
        self, keys: BudgetKeys, estimate: Amount, now_unix_ns: int, *, most: Amount | None = None
    ) -> None:
        """Wait, for a moment, until a call's budgets have the shares it needs."""
        ...


class Budgeting:
    """Asks ledger and rates for calls, and tells them what became of these.

    Attributes:
        leases: Of budgets that are shared; None where none is.
    """

    def __init__(
        self,
        ledger: Ledger,
        rates: Rates,
        prices: PriceBook,
        clock: Clock,
        *,
        namespace: str,
        pod: str,
    ) -> None:
        """Take the ledger and the rates of this pod, and what calls cost."""
        self.ledger = ledger
        self.rates = rates
        self.leases: SharedBudgets | None = None
        self._prices = prices
        self._clock = clock
        self._namespace = namespace
        self._pod = pod

    def estimate_usd(self, option: Priced, situation: Situation) -> Decimal | None:
        """Say what a call is likely to cost at a place; None if its price is unknown."""
        return self._amount(situation, option).cost_usd

    def price_usd(self, option: Priced, used: Usage) -> Decimal | None:
        """Say what a call costs at a place with the tokens it used; None if nobody knows."""
        entered = used.input_tokens
        return None if entered is None else self._priced(option, entered, used.output_tokens or 0)

    async def ready(self, situation: Situation) -> None:
        """Wait, for a moment, for the shares that a call needs as it was asked."""
        if self.leases is None or not situation.rulebook.shares_budgets:
            return
        own = situation.own
        await self.leases.ready(
            self._keys(situation),
            self._amount(situation, own),
            self._clock.now_unix_ns(),
            most=self._most(situation, [own]),
        )

    def hold(
        self, situation: Situation, legs: tuple[Option, ...], others: Iterable[Offer]
    ) -> Allowed | RefusedFor:
        """Hold what a call is thought to use.

        Args:
            situation: The call.
            legs: Where it is to go, in order.
            others: Where it might go as well, if that were cheaper.
        """
        if not situation.rulebook.rules.budgets:
            return self._rated(situation, Allowed(legs, Held(self._amount(situation, legs[0]))))
        is_strict = situation.rulebook.has_strict_budget
        if is_strict and (unlimited := self._unlimited(situation, legs)) is not None:
            return RefusedFor(limit_required(unlimited.name))
        keys = self._keys(situation)
        found = self._reserved(keys, situation, legs)
        if found.downgrade is not None:
            legs = self._downgraded(situation, legs, others, found.downgrade)
            asked_by = found.downgrade
            found = self._reserved(keys, situation, legs, downgraded=True)
            found = found._replace(downgrade=asked_by if found.reservation is not None else None)
        if found.reservation is None:
            assert found.blocked_by is not None  # noqa: S101 - a downgraded call is let or blocked
            return RefusedFor(budget_exceeded(found.blocked_by), found)
        held = Held(self._amount(situation, legs[0]), found.reservation, None, keys)
        return self._rated(situation, Allowed(legs, held, found))

    def hold_more(self, held: Held, spent: Amount) -> bool:
        """Hold what a failed try cost beside what the next may cost; False if there is no room."""
        return held.reservation is None or self.ledger.hold_more(held.reservation, spent)

    def charge(self, held: Held, used: Amount) -> None:
        """Charge what a turn of a conversation used; what the connection holds stays held."""
        if held.keys is not None:
            self.ledger.charge(held.keys, used, self._clock.now_unix_ns())

    def let_go(self, held: Held, tokens: int) -> None:
        """End a conversation, whose turns were charged as they came and used so many tokens."""
        if held.reservation is not None:
            self.ledger.refund(held.reservation)
        if held.rate is not None:
            self.rates.settle(held.rate, tokens, self._clock.monotonic_s())

    def settle(self, held: Held, used: Amount) -> None:
        """Charge what a call used; once."""
        if held.reservation is not None:
            self.ledger.settle(held.reservation, used)
        if held.rate is not None:
            self.rates.settle(held.rate, used.tokens, self._clock.monotonic_s())

    def _rated(self, situation: Situation, allowed: Allowed) -> Allowed | RefusedFor:
        if not situation.rulebook.rules.rates:
            return allowed
        model, held = allowed.legs[0].model, allowed.held
        admission = self.rates.admit(model, held.estimate.tokens, self._clock.monotonic_s())
        if admission.refusal is None:
            held.rate = admission.hold
            return allowed
        if held.reservation is not None:
            self.ledger.refund(held.reservation)
        return RefusedFor(rate_limited(admission.refusal, model), allowed.admission)

    def _reserved(
        self,
        keys: BudgetKeys,
        situation: Situation,
        legs: tuple[Option, ...],
        *,
        downgraded: bool = False,
    ) -> Admission:
        return self.ledger.reserve(
            keys,
            self._amount(situation, legs[0]),
            self._clock.now_unix_ns(),
            most=self._most(situation, legs) if situation.rulebook.has_strict_budget else None,
            downgraded=downgraded,
        )

    def _keys(self, situation: Situation) -> BudgetKeys:
        whose = situation.attribution
        return BudgetKeys(
            whose.task_id, whose.session_id, whose.agent_id, self._pod, self._namespace
        )

    def _amount(self, situation: Situation, leg: Priced) -> Amount:
        """Say what a call is likely to use; worked out once for each place."""
        key = (leg.provider.price_id, leg.model, leg.parameters.text)
        amount = situation.amounts.get(key)
        if amount is None:
            view = situation.view
            entered = view.estimated_input_tokens
            longest, choices = view.limits(leg.parameters)
            output = (longest or USUAL_OUTPUT_TOKENS) * choices
            amount = Amount(self._priced(leg, entered, output), entered + output)
            situation.amounts[key] = amount
        return amount

    def _most(self, situation: Situation, legs: Sequence[Priced]) -> Amount | None:
        """Say what a call can use at the most, wherever it ends up.

        None where no strict budget wants to know.
        """
        if not situation.rulebook.has_strict_budget:
            return None
        # A token is a byte at the least, so that no prompt has more of them.
        entered = len(situation.own.body) + max(len(leg.parameters.text) for leg in legs)
        outputs = [self._longest_output(situation, leg) or 0 for leg in legs]
        costs = [
            self._priced(leg, entered, output) for leg, output in zip(legs, outputs, strict=True)
        ]
        known = [cost for cost in costs if cost is not None]
        return Amount(max(known, default=None), entered + max(outputs))

    def _longest_output(self, situation: Situation, leg: Priced) -> int | None:
        stated, choices = situation.view.limits(leg.parameters)
        longest = stated or self._prices.context_window(leg.provider.price_id, leg.model)
        return None if longest is None else longest * choices

    def _unlimited(self, situation: Situation, legs: Sequence[Priced]) -> Budget | None:
        """Find a strict budget of a call for which nobody knows how long its answer may be."""
        if all(self._longest_output(situation, leg) is not None for leg in legs):
            return None
        return next(budget for budget in situation.rulebook.rules.budgets if budget.strict)

    def _downgraded(
        self,
        situation: Situation,
        legs: tuple[Option, ...],
        others: Iterable[Offer],
        asked_by: BudgetVerdict,
    ) -> tuple[Option, ...]:
        """Say where a call is to go that a budget wants cheaper; as it was if there is no such.

        What is held is what the cheaper one costs: nothing dearer may come after it.
        """
        cheaper = self._cheaper(situation, legs, others, asked_by)
        if cheaper is None:
            return legs
        situation.note(f"the budget {asked_by.name!r} sent the call to {cheaper.model!r}")
        limit = self.estimate_usd(cheaper, situation)
        rest = [
            leg
            for leg in legs
            if leg.key != cheaper.key and self._costs_at_most(limit, leg, situation)
        ]
        return (cheaper, *rest)

    def _costs_at_most(self, limit: Decimal | None, leg: Option, situation: Situation) -> bool:
        price = self.estimate_usd(leg, situation)
        return price is not None and limit is not None and price <= limit

    def _cheaper(
        self,
        situation: Situation,
        legs: tuple[Option, ...],
        others: Iterable[Offer],
        asked_by: BudgetVerdict,
    ) -> Option | None:
        """Find the next cheaper place, or the one that the budget names; None if there is none."""
        rules = situation.rulebook.rules
        budget = next(b for b in rules.budgets if b.name == asked_by.name)
        if budget.downgrade_to is not None:
            return situation.option(legs[0].provider, budget.downgrade_to)
        now = self.estimate_usd(legs[0], situation)
        best: tuple[Decimal, Option] | None = None
        for option in (*legs[1:], *map(situation.option_of, others)):
            price = self.estimate_usd(option, situation)
            if price is None or (now is not None and price >= now):
                continue
            if best is None or price > best[0]:
                best = price, option
        return None if best is None else best[1]

    def _priced(self, leg: Priced, entered: int, output: int) -> Decimal | None:
        now_unix_ns = self._clock.now_unix_ns()
        return self._prices.estimate_usd(
            leg.provider.price_id, leg.model, entered, output, now_unix_ns
        )


def actual(held: Held, record: CallRecord) -> Amount:
    """Say what a call used; what nobody was asked for, or the cache gave, is free."""
    spent = _of_failed_attempts(record)
    if record.cached or record.end_reason is EndReason.REFUSED:
        return spent
    if record.usage is None:
        # Usage of an answered call that can't be read is not nothing: the estimate stands.
        answered = 0 < record.status_code < 400
        return total(spent, held.estimate) if answered else spent
    return total(spent, amount_of(record.usage, record.cost))


def _of_failed_attempts(record: CallRecord) -> Amount:
    spent = Amount(Decimal(0), 0)
    for attempt in record.attempts:
        if attempt.usage is not None:
            spent = total(spent, amount_of(attempt.usage, attempt.cost))
    return spent


def total(one: Amount, other: Amount) -> Amount:
    """Add two amounts; of unknown prices the known part stands."""
    if one.cost_usd is None or other.cost_usd is None:
        known = one.cost_usd or other.cost_usd
        return Amount(known, one.tokens + other.tokens)
    return Amount(one.cost_usd + other.cost_usd, one.tokens + other.tokens)


def amount_of(usage: Usage, cost: Cost | None) -> Amount:
    """Say what an answer used."""
    tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    return Amount(cost.total_usd if cost is not None else None, tokens)
