"""What answers say of how they were made: in the broker's words, and in ours. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from remora.records import Usage
from remora_sidecar.dialects.framing.json_members import with_member
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.openai_api.carried import Carried
from remora_sidecar.openai_api.plan import Leg, Plan

type PriceCall = Callable[[str, str, Usage], Decimal | None]
"""Says what a usage costs with a provider's model; None where the price is unknown."""


@dataclass(frozen=True, slots=True)
class Block:
    """What is said of one answer.

    Attributes:
        model: That was asked for.
        provider: That answered.
        cost_usd: Of all that was spent on it; None if unknown.
        savings_usd: How much less that is than the dearest candidate would have cost, or the
            model that was named; None if unknown.
        routed_from: The name that the client used, where another model answered.
    """

    plan: Plan
    call_id: str
    provider: str
    model: str
    goal: str
    cost_usd: Decimal | None
    savings_usd: Decimal | None
    routed_from: str | None

    @property
    def members(self) -> Mapping[str, Any]:
        """What is put into answers."""
        return {
            "x_kairosroute": {
                "provider": self.provider,
                "cost_usd": _number(self.cost_usd),
                "savings_usd": _number(self.savings_usd),
                "routed_from": self.routed_from,
            },
            "remora": {
                "call_id": self.call_id or None,
                "goal": self.goal or None,
                "tier": self.plan.tier or None,
                "model": self.model,
                "provider": self.provider,
                "cost_usd": _text(self.cost_usd),
                "candidates": [_shown(leg) for leg in self.plan.candidates],
            },
        }

    @property
    def headers(self) -> Mapping[str, str]:
        """What is put beside answers; unknown amounts are left out."""
        fields = {"X-KairosRoute-Provider": self.provider}
        if self.cost_usd is not None:
            fields["X-KairosRoute-Cost"] = f"{self.cost_usd:f}"
        if self.savings_usd is not None:
            fields["X-KairosRoute-Savings"] = f"{self.savings_usd:f}"
        return fields


def block_of(
    plan: Plan, leg: Leg, told: Carried | None, spent_before: Decimal | None, price: PriceCall
) -> Block:
    """Say how an answer was made.

    Args:
        plan: What was made of the request.
        leg: That answered, as far as the plan goes; policy may have sent it elsewhere.
        told: What the call's record says; None if it said nothing.
        spent_before: On tries that failed; None if unknown.
        price: Prices a usage.
    """
    provider, model = leg.provider.name, leg.model
    cost = None
    if told is not None:
        provider, model = told.provider or provider, told.model or model
        if told.cost_usd is not None and spent_before is not None:
            cost = told.cost_usd + spent_before
    named = plan.requested in (model, f"{provider}/{model}")
    return Block(
        plan,
        told.call_id if told is not None else "",
        provider,
        model,
        plan.goal or (told.goal if told is not None else ""),
        cost,
        _savings(plan, leg, told, cost, price),
        None if named else plan.requested,
    )


def _savings(
    plan: Plan, leg: Leg, told: Carried | None, cost: Decimal | None, price: PriceCall
) -> Decimal | None:
    if told is None or told.usage is None or cost is None:
        return None
    compared: Sequence[Leg] = plan.candidates or (leg,)
    priced = (price(one.provider.name, one.model, told.usage) for one in compared)
    known = [one for one in priced if one is not None]
    return max(max(known) - cost, Decimal(0)) if known else None


def with_block(answer: bytes, block: Block) -> bytes:
    """Put what is said into an answer; every other byte stays. No object: as it is."""
    if not isinstance(parse_json(answer), dict):
        return answer
    try:
        for name, value in block.members.items():
            answer = with_member(answer, name.encode(), json.dumps(value).encode())
    except ValueError:  # a parser took it, and yet no object ends in it
        return answer
    return answer


def _shown(leg: Leg) -> Mapping[str, Any]:
    est = _text(leg.est_cost_usd)
    return {"provider": leg.provider.name, "model": leg.model, "est_cost_usd": est}


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
