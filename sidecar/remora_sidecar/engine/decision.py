"""What policy makes of one call, noted as it is made; told as a receipt when the record is due.

Nobody waits for a receipt but the record, so all that it tells beside what decided (prices of
candidates that were not chosen, verdicts of budgets that let the call go) is worked out then.
"""

from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from typing import Protocol

from remora.frozen import by_name
from remora.policy.routing import Route
from remora.receipt import BudgetReceipt, CandidateReceipt, Receipt
from remora.records import Usage
from remora_sidecar.engine.key_use import whose_key
from remora_sidecar.engine.option import Option
from remora_sidecar.engine.situation import Situation
from remora_sidecar.policy.budget_verdict import BudgetVerdict
from remora_sidecar.policy.ledger import Admission
from remora_sidecar.policy.routers import Choice, Offer
from remora_sidecar.policy.routes import Dropped

_receipt = by_name(Receipt)

_NO_CHOICE = Choice(None)


class Prices(Protocol):
    """Says what a call costs at a place; None where nobody knows."""

    def estimate_usd(self, option: Offer, situation: Situation) -> Decimal | None:
        """Say what it is likely to cost."""
        ...

    def price_usd(self, option: Offer, used: Usage) -> Decimal | None:
        """Say what it costs with the tokens that it used."""
        ...


@dataclass(slots=True)
class Decision:
    """Why a call goes where it goes, or nowhere.

    Attributes:
        route: That has the call; None if none has.
        router: What chose; empty if nothing did.
        offers: That it chose from.
        choice: What it chose; None before, and where nothing did.
        fallback: What is tried next.
        dropped: Candidates that can't be taken.
        admission: What the budgets said; None where there are none.
        taken: Where the call goes first; None where it is refused.
        refused_by: The code of the refusal.
    """

    situation: Situation
    prices: Prices
    route: Route | None = None
    router: str = ""
    offers: tuple[Offer, ...] = ()
    choice: Choice | None = None
    fallback: tuple[Option, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    admission: Admission | None = None
    taken: Option | None = None
    refused_by: str = ""

    @property
    def policy(self) -> str:
        """Name of the policy."""
        return self.situation.rulebook.receipt.policy

    def receipt(self, used: Usage | None) -> Receipt:
        """Tell it.

        Args:
            used: What the call used, by which candidates are priced if nobody had to estimate it
                before: closer than a guess, and done already. None where nobody knows.
        """
        rulebook = self.situation.rulebook
        provider = (self.taken or self.situation.own).provider
        return _receipt(
            policy=rulebook.receipt.policy,
            policy_version=rulebook.receipt.policy_version,
            rule=self.route.name if self.route is not None else "",
            router=self.router,
            propensity=self._propensity(),
            candidates=(*self._candidates(used), *map(_dropped, self.dropped)),
            fallback=tuple([option.key for option in self.fallback]),
            budgets=self._budgets(),
            credential=whose_key(rulebook.key_plan(provider)),
            refused_by=self.refused_by,
            risk=self.choice.risk if self.choice is not None else "",
            reason=self.choice.reason if self.choice is not None else "",
            scores=self.choice.digest if self.choice is not None else "",
        )

    def _propensity(self) -> float | None:
        """Say how likely the router's choice was; None where the call went elsewhere."""
        choice = self.choice
        if choice is None or choice.chosen is None or choice.propensity is None:
            return None
        went_there = self.taken is None or self.taken.key == self.offers[choice.chosen].key
        return choice.propensity if went_there else None

    def _budgets(self) -> tuple[BudgetReceipt, ...]:
        admission = self.admission
        if admission is None:
            return ()
        asked_by = admission.downgrade.name if admission.downgrade is not None else None
        return tuple(
            _budget(verdict, is_downgraded=verdict.name == asked_by)
            for verdict in admission.verdicts
        )

    def _candidates(self, used: Usage | None) -> list[CandidateReceipt]:
        choice = self.choice or _NO_CHOICE
        prices, situation = self.prices, self.situation
        return [
            CandidateReceipt(
                offer.provider.name,
                offer.model,
                score,
                (
                    prices.estimate_usd(offer, situation)
                    if used is None or situation.amounts
                    else prices.price_usd(offer, used)
                ),
                parameters=offer.parameters.text,
                propensity=propensity,
                note=note,
            )
            for offer, score, propensity, note in zip(
                self.offers,
                choice.scores or repeat(None),
                choice.propensities or repeat(None),
                choice.notes or repeat(""),
                strict=False,
            )
        ]


def _dropped(dropped: Dropped) -> CandidateReceipt:
    return CandidateReceipt(
        dropped.provider,
        dropped.model,
        filtered_out_by=dropped.filtered_out_by,
        parameters=dropped.parameters.text,
    )


def _budget(verdict: BudgetVerdict, *, is_downgraded: bool) -> BudgetReceipt:
    limit, spent, reserved = verdict.limit, verdict.spent, verdict.reserved
    spent_usd = (spent.cost_usd or Decimal(0)) + (reserved.cost_usd or Decimal(0))
    return BudgetReceipt(
        name=verdict.name,
        per=verdict.per,
        result="downgrade" if is_downgraded and verdict.result == "ok" else verdict.result,
        spent_usd=spent_usd if limit.cost_usd is not None else None,
        limit_usd=limit.cost_usd,
        spent_tokens=spent.tokens + reserved.tokens if limit.tokens is not None else None,
        limit_tokens=limit.tokens,
        resets_unix_ns=verdict.resets_unix_ns,
    )
