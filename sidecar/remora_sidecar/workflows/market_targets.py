"""Models for calls from the language's market: the cheapest that fits, cheaper ones on request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from remora.workflows.choosing import Candidate, Market, Wanted, cheaper_tiers
from remora.workflows.estimate import Role
from remora.workflows.model import TIERS
from remora_sidecar.workflows.amounts import NO_MONEY
from remora_sidecar.workflows.question import ModelWish, Target


@dataclass(frozen=True)
class MarketTargets:
    """Chooses from a market, for `Plan.choose`.

    Attributes:
        market: What is on offer now.
    """

    market: Market

    def __call__(self, wish: ModelWish) -> Sequence[Target]:
        """Give the models that fit a wish, best first.

        Downgraded: those of the tiers below, the nearest tier first, then those of its own tier
        that cost less than the one that it would be given to; within a tier the cheapest first.
        A model that is named stays; one that the catalogue does not know is taken as it is, with
        an empty provider where none is named.
        """
        usual = self._candidates(wish, wish.role)
        if self._is_unknown(wish.role):
            return [self._taken(wish.role)]
        if not wish.downgraded:
            return [_target(candidate) for candidate in usual]
        if wish.role.model is not None:
            return [_target(candidate) for candidate in sorted(usual, key=_cost)]
        return [_target(candidate) for candidate in self._cheaper(wish, usual)]

    def _is_unknown(self, role: Role) -> bool:
        catalogue = self.market.catalogue
        return role.model is not None and not catalogue.find(role.model, role.provider)

    def _taken(self, role: Role) -> Target:
        provider, model = role.provider or "", role.model or ""
        price = self.market.price_of(provider, model) if provider else None
        return Target(provider, model, role.tier, price)

    def _cheaper(self, wish: ModelWish, usual: Sequence[Candidate]) -> Iterator[Candidate]:
        for tier in cheaper_tiers(wish.role.tier):
            found = self._candidates(wish, replace(wish.role, tier=tier))
            yield from sorted(found, key=_cost)
        dearest = _cost(usual[0]) if usual else None
        yield from (c for c in sorted(usual, key=_cost) if dearest and _cost(c) <= dearest)

    def _candidates(self, wish: ModelWish, role: Role) -> Sequence[Candidate]:
        wanted = Wanted(
            needs=wish.needs,
            tiers=(role.tier,) if role.model is None else TIERS,
            model=role.model,
            provider=role.provider,
            input_tokens=wish.input_tokens,
            output_tokens=wish.output_tokens,
        )
        return self.market.choose(wanted).candidates


def _cost(candidate: Candidate) -> tuple[bool, Decimal, str]:
    """Order by cost, unknown ones last; the name decides between equals."""
    cost = candidate.cost_usd
    return cost is None, NO_MONEY if cost is None else cost, candidate.entry.name


def _target(candidate: Candidate) -> Target:
    entry = candidate.entry
    return Target(
        entry.provider, entry.model, entry.tier, candidate.price, candidate.thought_tokens
    )
