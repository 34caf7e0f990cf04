"""A price of genai-prices as rates per unit, so that pricing a call is a few multiplications.

Made by `remora_sidecar.engine.pricing` once for each price. The library's rules hold: tokens
with a price of their own are taken out of the figure that counts them too, and a tier's price
holds for all tokens of a call whose input passes its start. What is charged beside tokens
(seconds of audio, searches) is priced alike; where it is not stated it costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

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
        "input_image_tokens": "input_image_tokens",
        "output_image_tokens": "output_image_tokens",
        "cache_write_1h_tokens": "cache_write_1h_tokens",
        "cache_read_audio_tokens": "cache_audio_read_tokens",
        "cache_read_image_tokens": "cache_image_read_tokens",
        "input_audio_seconds": "input_audio_seconds",
        "web_searches": "web_searches",
        "rerank_searches": "rerank_searches",
    }
)
"""The library's name of each figure of `Usage` but the billed ones, which stand for others."""

_OURS = {theirs: ours for ours, theirs in LIBRARY_NAMES.items()}

_AUDIO_EITHER_WAY = "audio_seconds"
"""The library's figure of audio whose direction does not matter: what was transcribed counts."""

_NOTHING = Decimal(0)

_INPUT_PARTS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "cache_read_audio_tokens",
    "cache_read_image_tokens",
)
_OUTPUT_PARTS = ("reasoning_tokens", "output_audio_tokens", "output_image_tokens")


def as_charged(usage: Usage) -> Usage:
    """Put the billed tokens, where they are stated, in the place of what was processed.

    Parts are of what was processed, and say nothing of what is charged.
    """
    changes: dict[str, Any] = {}
    if usage.billed_input_tokens is not None:
        changes |= dict.fromkeys(_INPUT_PARTS) | {"input_tokens": usage.billed_input_tokens}
    if usage.billed_output_tokens is not None:
        changes |= dict.fromkeys(_OUTPUT_PARTS) | {"output_tokens": usage.billed_output_tokens}
    return replace(usage, **changes) if changes else usage


@dataclass(frozen=True, slots=True)
class Prices:
    """What a call costs by side; what has no side, such as a search, stands apart."""

    input_usd: Decimal
    output_usd: Decimal
    other_usd: Decimal


class Side(Enum):
    """Whose price a rate belongs to."""

    INPUT = "input"
    OUTPUT = "output"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one figure's units.

    Attributes:
        figure: Name in `Usage`.
        apart: Figures counted in this one and priced apart; none is counted in another.
        twice: Figures counted in two of those, such as audio that was cached.
        parts: Every figure counted in this one.
        base_usd: Per unit.
        tiers: Inputs above which another price holds, highest first.
        side: What it is part of.
        is_of_tokens: Whether the units are tokens.
    """

    figure: str
    apart: tuple[str, ...]
    twice: tuple[str, ...]
    parts: tuple[str, ...]
    base_usd: Decimal
    tiers: tuple[tuple[int, Decimal], ...]
    side: Side
    is_of_tokens: bool

    def price(self, usage: Usage) -> Decimal | None:
        """Price the units; None if the figures contradict each other or only parts are stated."""
        stated: float | None = getattr(usage, self.figure)
        if stated is None:
            return None if any(getattr(usage, part) for part in self.parts) else _NOTHING
        units = stated
        for name in self.apart:
            units -= getattr(usage, name) or 0
        for name in self.twice:
            units += getattr(usage, name) or 0
        if units <= 0:
            return _NOTHING if units == 0 else None
        exact = units if isinstance(units, int) else Decimal(str(units))
        input_tokens = usage.input_tokens or 0
        for start, usd in self.tiers:
            if input_tokens > start:
                return usd * exact
        return self.base_usd * exact


@dataclass(frozen=True, slots=True)
class RateTable:
    """All rates of one price.

    Attributes:
        rates: One for each priced figure.
        per_call_usd: Price of the request itself.
        shared: Pairs of figures; tokens in both have a price of their own. With each pair,
            the figure that says how many they are; empty where none does.
    """

    rates: tuple[Rate, ...]
    per_call_usd: Decimal
    shared: tuple[tuple[str, str, str], ...]

    def price(self, usage: Usage) -> Prices | None:
        """Price a call; None where the figures don't tell what it costs."""
        if not self._tells(usage):
            return None
        input_usd = output_usd = _NOTHING
        other_usd = self.per_call_usd
        for rate in self.rates:
            if (usd := rate.price(usage)) is None:
                return None
            if rate.side is Side.INPUT:
                input_usd += usd
            elif rate.side is Side.OUTPUT:
                output_usd += usd
            else:
                other_usd += usd
        return Prices(input_usd, output_usd, other_usd)

    def _tells(self, usage: Usage) -> bool:
        if usage.input_tokens is None and any(rate.is_of_tokens for rate in self.rates):
            return False
        if any(_overlap(usage, *shared) is None for shared in self.shared):
            return False
        if any(getattr(usage, rate.figure) is not None for rate in self.rates):
            return True
        return bool(self.per_call_usd) and usage.input_tokens is not None


def _overlap(usage: Usage, one: str, other: str, both: str) -> int | None:
    """Say how many tokens are in both figures; None if nothing tells."""
    if not (getattr(usage, one) and getattr(usage, other)):
        return 0
    number: int | None = getattr(usage, both) if both else None
    return number


def _rate(
    figure: str,
    unit: "UnitDef",
    price: "Decimal | TieredPrices",
    priced: set[str],
    registry: "UnitRegistry",
) -> Rate:
    tiers = () if isinstance(price, Decimal) else reversed(price.tiers)
    parts = _within(unit.usage_key, registry)
    apart = {
        part
        for part in parts & priced
        if not any(part in _within(other, registry) for other in parts & priced)
    }
    return Rate(
        figure=figure,
        apart=tuple(_OURS[part] for part in apart),
        twice=tuple(
            _OURS[part]
            for part in parts & priced
            if sum(part in _within(other, registry) for other in apart) == 2
        ),
        parts=tuple(_OURS[part] for part in parts if _OURS[part] != figure),
        base_usd=(price if isinstance(price, Decimal) else price.base) / unit.per,
        tiers=tuple((tier.start, tier.price / unit.per) for tier in tiers),
        side=_side(figure, unit),
        is_of_tokens=unit.dimensions.get("family") == "tokens",
    )


def _within(key: str, registry: "UnitRegistry") -> set[str]:
    """Return the library's names of those of our figures that are counted in one of its own."""
    return {theirs for theirs in _OURS if key in registry.ancestor_usage_keys(theirs)} - {key}


def _side(figure: str, unit: "UnitDef") -> Side:
    if figure == "input_audio_seconds":
        return Side.INPUT
    return Side(unit.dimensions.get("direction", "other"))


def _shared(priced: set[str], registry: "UnitRegistry") -> tuple[tuple[str, str, str], ...]:
    pairs = []
    for one, other in combinations(_OURS, 2):
        joint = registry.find_join(registry.units[one], registry.units[other])
        if joint is not None and joint.usage_key in priced - {one, other}:
            pairs.append((_OURS[one], _OURS[other], _OURS.get(joint.usage_key, "")))
    return tuple(pairs)


def _figure(key: str, priced: set[str]) -> str | None:
    if key == _AUDIO_EITHER_WAY and "input_audio_seconds" not in priced:
        return "input_audio_seconds"
    return _OURS.get(key)


def rate_table(price: "ModelPrice", registry: "UnitRegistry") -> RateTable:
    """Resolve a price; what is priced beside our figures (characters, pages) is left out."""
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
            _rate(figure, unit, value, priced, registry)
            for key, (unit, value) in prices.items()
            if (figure := _figure(key, priced)) is not None
        ),
        per_call_usd=per_call_usd,
        shared=_shared(priced, registry),
    )
