"""Which model a step is given to: the cheapest that can do it. Pure; others know the prices."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from remora.workflows.capabilities import NO_OVERRIDES, Overrides
from remora.workflows.catalogue import Catalogue, CatalogueModel, Operation
from remora.workflows.model import TIERS, Tier
from remora.workflows.sizes import THOUGHT_TOKENS
from remora.workflows.step import Need

_MILLION = 1_000_000

_THINK_IF_ASKED = frozenset({"anthropic", "anthropic-aws", "mistral"})
"""Providers whose models think before they answer only where a request asks for it."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD of a million tokens."""

    input_per_million_usd: Decimal
    output_per_million_usd: Decimal

    def cost_usd(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return what a call of this size costs."""
        return (
            self.input_per_million_usd * input_tokens + self.output_per_million_usd * output_tokens
        ) / _MILLION


type PriceOf = Callable[[str, str], ModelPrice | None]
"""Gives the price of a provider's model; None where it is unknown."""

type Permits = Callable[[CatalogueModel], str]
"""Says why a model may not be used now (policy, health); empty if it may."""


def no_prices(provider: str, model: str) -> None:
    """Know no price."""
    del provider, model


def anything(entry: CatalogueModel) -> str:
    """Permit every model."""
    del entry
    return ""


@dataclass(frozen=True)
class Wanted:
    """What a model is looked for.

    Attributes:
        needs: Capabilities; required ones have to be there, the others rank.
        tiers: How strong it may be.
        model: Only this one.
        provider: Only this provider's.
        operation: What it is to do.
        input_tokens: Size of the prompt; it has to fit the model's context with the answer.
        output_tokens: Size of the answer.
    """

    needs: Sequence[Need] = ()
    tiers: Collection[Tier] = TIERS
    model: str | None = None
    provider: str | None = None
    operation: Operation = "chat"
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can do it.

    Attributes:
        entry: The model.
        price: None: unknown.
        cost_usd: Of a call of the size that was asked for, thoughts included; None: unknown.
        hints: How many of the capabilities it has that were not required.
        thought_tokens: Room that it needs beyond the answer, as it thinks unasked.
    """

    entry: CatalogueModel
    price: ModelPrice | None
    cost_usd: Decimal | None
    hints: int
    thought_tokens: int = 0


@dataclass(frozen=True)
class Choice:
    """What there is to choose from.

    Attributes:
        candidates: Best first.
        dropped: The others that were looked at, and why each one is out.
    """

    candidates: tuple[Candidate, ...]
    dropped: tuple[tuple[CatalogueModel, str], ...]


@dataclass(frozen=True)
class Market:
    """What is on offer.

    Attributes:
        catalogue: The models.
        price_of: Their prices.
        overrides: What the namespace makes of capabilities.
        permits: Whether a model may be used.
        today: ISO date; models that have retired by then are out. Empty: none is.
    """

    catalogue: Catalogue
    price_of: PriceOf = no_prices
    overrides: Overrides = NO_OVERRIDES
    permits: Permits = anything
    today: str = ""

    def choose(self, wanted: Wanted) -> Choice:
        """Rank the models that can do what is wanted.

        More hints come before fewer, then cheaper before dearer, unknown prices last; the name
        decides what is left, so that the same question has the same answer.
        """
        candidates = []
        dropped = []
        for entry in self.catalogue.models:
            if entry.operation != wanted.operation:
                continue
            reason = self._unfit(entry, wanted)
            if reason:
                dropped.append((entry, reason))
            else:
                candidates.append(self._candidate(entry, wanted))
        return Choice(tuple(sorted(candidates, key=_rank)), tuple(dropped))

    def _candidate(self, entry: CatalogueModel, wanted: Wanted) -> Candidate:
        price = self.price_of(entry.provider, entry.model)
        thoughts = self._thought_tokens(entry, wanted)
        written = wanted.output_tokens + thoughts
        cost = None if price is None else price.cost_usd(wanted.input_tokens, written)
        hints = [n for n in wanted.needs if not n.required and self.overrides.has(entry, n.kind)]
        return Candidate(entry, price, cost, len(hints), thoughts)

    def _thought_tokens(self, entry: CatalogueModel, wanted: Wanted) -> int:
        can = "reasoning" in entry.capabilities or self.overrides.has(entry, "reasoning")
        if entry.provider in _THINK_IF_ASKED or not can:
            return 0
        left = entry.context_tokens - wanted.input_tokens
        room = min(left, entry.answer_tokens or left) - wanted.output_tokens
        return min(THOUGHT_TOKENS[entry.tier], room)

    def _unfit(self, entry: CatalogueModel, wanted: Wanted) -> str:
        """Say why a model is out; empty if it is not."""
        if wanted.model not in (None, entry.model):
            return "other model"
        if wanted.provider not in (None, entry.provider):
            return "other provider"
        if entry.tier not in wanted.tiers:
            return f"tier {entry.tier}"
        if entry.retires and entry.retires <= self.today:
            return "retired"
        lacking = [n.kind for n in wanted.needs if n.required]
        lacking = [kind for kind in lacking if not self.overrides.has(entry, kind)]
        if lacking:
            return f"lacks {', '.join(lacking)}"
        if wanted.input_tokens + wanted.output_tokens > entry.context_tokens:
            return "context too small"
        if wanted.output_tokens > (entry.answer_tokens or entry.context_tokens):
            return "answers too short"
        return self.permits(entry)


def _rank(candidate: Candidate) -> tuple[int, bool, Decimal, str]:
    cost = candidate.cost_usd
    return -candidate.hints, cost is None, cost or Decimal(0), candidate.entry.name


def cheaper_tiers(tier: Tier) -> tuple[Tier, ...]:
    """Return the tiers below one, the nearest first: where a downgrade looks."""
    return tuple(reversed(TIERS[: TIERS.index(tier)]))
