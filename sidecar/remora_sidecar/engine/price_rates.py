"""A price of genai-prices as rates per token, so that pricing a call is a few multiplications.

Made by `remora_sidecar.engine.pricing` once for each price. The library's rules hold: tokens
with a price of their own are taken out of the figure that counts them too, and a tier's price
holds for all tokens of a call whose input passes its start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING

from remora.records import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices
    from genai_prices.units import UnitDef, UnitRegistry

LIBRARY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_tokens": "cache_read_tokens",
        "cache_write_tokens": "cache_write_tokens",
        "reasoning_tokens": "output_reasoning_tokens",
        "input_audio_tokens": "input_audio_tokens",
        "output_audio_tokens": "output_audio_tokens",
    }
)
"""The library's name of each figure of `Usage`."""

_OURS = {theirs: ours for ours, theirs in LIBRARY_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one figure's tokens.

    Attributes:
        figure: Name in `Usage`.
        apart: Figures counted in this one and priced apart.
        base_usd: Per token.
        tiers: Inputs above which another price holds, highest first.
        is_input: Whether it belongs to the input's price, else to the output's.
    """

    figure: str
    apart: tuple[str, ...]
    base_usd: Decimal
    tiers: tuple[tuple[int, Decimal], ...]
    is_input: bool

    def price(self, usage: Usage) -> Decimal | None:
        """Price the tokens; None if the figures contradict each other or only parts are stated."""
        if self.figure == "output_tokens" and usage.output_tokens is None:
            has_parts = usage.reasoning_tokens or usage.output_audio_tokens
            return None if has_parts else Decimal(0)
        tokens: int = getattr(usage, self.figure) or 0
        for name in self.apart:
            tokens -= getattr(usage, name) or 0
        if tokens <= 0:
            return Decimal(0) if tokens == 0 else None
        input_tokens = usage.input_tokens or 0
        for start, usd in self.tiers:
            if input_tokens > start:
                return usd * tokens
        return self.base_usd * tokens


@dataclass(frozen=True, slots=True)
class RateTable:
    """All rates of one price.

    Attributes:
        rates: One for each priced figure.
        per_call_usd: Price of the request itself.
        shared: Pairs of figures; tokens in both have a price of their own, and how many
            they are no usage says.
    """

    rates: tuple[Rate, ...]
    per_call_usd: Decimal
    shared: tuple[tuple[str, str], ...]

    def price(self, usage: Usage) -> tuple[Decimal, Decimal] | None:
        """Price input and output; None where the figures don't tell."""
        if any(getattr(usage, one) and getattr(usage, other) for one, other in self.shared):
            return None
        input_usd = output_usd = Decimal(0)
        for rate in self.rates:
            if (usd := rate.price(usage)) is None:
                return None
            if rate.is_input:
                input_usd += usd
            else:
                output_usd += usd
        return input_usd, output_usd


def _rate(
    unit: "UnitDef", price: "Decimal | TieredPrices", priced: set[str], registry: "UnitRegistry"
) -> Rate:
    tiers = () if isinstance(price, Decimal) else reversed(price.tiers)
    return Rate(
        figure=_OURS[unit.usage_key],
        apart=tuple(
            ours
            for theirs, ours in _OURS.items()
            if theirs in priced and unit.usage_key in registry.ancestor_usage_keys(theirs)
        ),
        base_usd=(price if isinstance(price, Decimal) else price.base) / unit.per,
        tiers=tuple((tier.start, tier.price / unit.per) for tier in tiers),
        is_input=unit.dimensions.get("direction") == "input",
    )


def _shared(priced: set[str], registry: "UnitRegistry") -> tuple[tuple[str, str], ...]:
    pairs = []
    for one, other in combinations(_OURS, 2):
        joint = registry.find_join(registry.units[one], registry.units[other])
        if joint is not None and joint.usage_key in priced - _OURS.keys():
            pairs.append((_OURS[one], _OURS[other]))
    return tuple(pairs)


def rate_table(price: "ModelPrice", registry: "UnitRegistry") -> RateTable:
    """Resolve a price; what is priced beside our figures (searches, seconds) is left out."""
    prices = {
        unit.usage_key: (unit, value)
        for unit in registry.units.values()
        if (value := getattr(price, unit.price_key)) is not None
    }
    per_call_usd = Decimal(0)
    if "requests" in prices:
        unit, value = prices["requests"]
        per_call_usd = (value if isinstance(value, Decimal) else value.base) / unit.per
    priced = set(prices)
    return RateTable(
        rates=tuple(
            _rate(unit, value, priced, registry)
            for key, (unit, value) in prices.items()
            if key in _OURS
        ),
        per_call_usd=per_call_usd,
        shared=_shared(priced, registry),
    )
