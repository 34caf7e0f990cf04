"""What a call cost, by the price list that is bundled with genai-prices.

The engine asks once per call. A provider's model and tier are resolved to rates once; the
library's own calculation takes some 150 µs each time. Nothing is ever fetched: the list is the
installed one. Of what providers charge beside tokens, seconds of audio and searches are priced;
characters, pages and the like are in no call's usage and so not in its cost.
"""

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple

from remora.records import Cost, Usage
from remora_sidecar.engine.own_prices import OwnPrices, own_cost
from remora_sidecar.engine.price_rates import RateTable, as_charged, rate_table

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, PriceVariant, Provider
    from genai_prices.units import UnitRegistry

KEPT_MODELS = 2048
"""How many models are kept resolved, unknown ones too; agents choose names freely."""

_SAME_PRICE_TOKENS: Final = 30_000
"""Of a prompt: no model of the list changes its price below; a test looks."""

_TIER_WORDS: Final = ("service_tier", "speed", "processing")
"""What the list calls a tier: OpenAI's and Google's, Anthropic's fast mode, batches."""

_NS_PER_S: Final = 1_000_000_000
_NS_PER_HOUR: Final = 3_600 * _NS_PER_S
_NS_PER_DAY: Final = 24 * _NS_PER_HOUR
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


@dataclass(slots=True)
class _PricedModel:
    """A model of the list, at one service tier."""

    model: "ModelInfo"
    variants: tuple["PriceVariant", ...]
    context: dict[str, str] | None
    registry: "UnitRegistry"
    tables: dict[tuple[object, ...], RateTable] = field(default_factory=dict)

    @property
    def context_window(self) -> int | None:
        """What the model reads and writes at the most, in tokens."""
        return self.model.context_window

    def table(self, unix_ns: int) -> RateTable:
        """Return the rates that hold at a time."""
        at = datetime.fromtimestamp(unix_ns // _NS_PER_S, UTC)
        # Which price and which variants hold is all that the time decides.
        active = (v.constraint is None or v.constraint.active(at) for v in self.variants)
        key = (id(self.model.get_prices(at)), *active)
        table = self.tables.get(key)
        if table is None:
            price = self.model.get_prices(at, self.context)
            table = self.tables[key] = rate_table(price, self.registry)
        return table


class _PriceList:
    """The library's list; making it imports the library (0.1 to 0.2 s, 10 MB in a sidecar)."""

    def __init__(self) -> None:
        from genai_prices.data_snapshot import get_snapshot
        from genai_prices.data_units import unit_data
        from genai_prices.units import UnitRegistry

        self.source = f"genai-prices {version('genai-prices')}"
        self._providers = get_snapshot().providers
        self._registry = UnitRegistry(unit_data)
        self._change_days = sorted(self._all_change_days())
        self._day = -1
        self._date = ""

    def date_at(self, unix_ns: int) -> str:
        """Return the day of the newest price change in the list that had come to hold."""
        day = unix_ns // _NS_PER_DAY
        if day != self._day:
            before = bisect_right(self._change_days, day + _EPOCH_ORDINAL)
            newest = self._change_days[before - 1] if before else None
            self._date = date.fromordinal(newest).isoformat() if newest else ""
            self._day = day
        return self._date

    def find(self, provider_id: str, model_name: str, service_tier: str) -> _PricedModel | None:
        """Look a model up; None if the list has no price for it.

        The library's own look-up is passed by: it remembers every name it was ever asked.
        """
        from genai_prices.data_snapshot import find_provider_by_id

        provider = find_provider_by_id(self._providers, provider_id)
        # Google states some models by their resource name.
        name = model_name.removeprefix("models/")
        model = provider and provider.find_model(name, all_providers=self._providers)
        if provider is None or not model or (isinstance(model.prices, list) and not model.prices):
            return None
        variants = self._variants(provider, model, service_tier)
        context = dict(variants[0].when) if variants else None
        return _PricedModel(model, variants, context, self._registry)

    def _variants(
        self, provider: "Provider", model: "ModelInfo", service_tier: str
    ) -> tuple["PriceVariant", ...]:
        """Name what the tier changes; nothing for a model lent by another provider's list."""
        if not service_tier or not any(model is own for own in provider.models):
            return ()
        tiers: list[tuple[PriceVariant, ...]] = [
            tuple(v for v in model.price_variants or () if v.when == {word: service_tier})
            for word in _TIER_WORDS
        ]
        return next(filter(None, tiers), ())

    def _all_change_days(self) -> set[int]:
        prices = (
            price
            for provider in self._providers
            for model in provider.models
            if isinstance(model.prices, list)
            for price in model.prices
        )
        days = {getattr(price.constraint, "start_date", None) for price in prices}
        return {day.toordinal() for day in days if day is not None}


class _Line(NamedTuple):
    """What a call costs, as a straight line, up to so many tokens of prompt."""

    call_usd: Decimal
    entered_usd: Decimal
    written_usd: Decimal
    most_entered: int


class PriceBook:
    """Prices calls; cheap to make, the list is loaded with `load` or at the first call."""

    def __init__(self) -> None:
        """Make a book whose list is not loaded yet."""
        self._own: OwnPrices = {}
        self._list: _PriceList | None = None
        self._lines: dict[tuple[str, str], tuple[int, _Line | None]] = {}
        self._models: OrderedDict[tuple[str, str, str], _PricedModel | None] = OrderedDict()

    def use_own(self, prices: OwnPrices) -> None:
        """Go by the prices that the policy in force states, which the list does not know."""
        self._own = prices
        self._lines.clear()

    def load(self) -> None:
        """Load the list; may run on another thread while the sidecar starts."""
        if self._list is None:
            self._list = _PriceList()

    def cost(
        self,
        provider: str | None,
        model: str,
        usage: Usage,
        unix_ns: int,
        *,
        service_tier: str = "",
    ) -> Cost | None:
        """Price a call.

        Args:
            provider: The provider's id in genai-prices; None or empty if it has no prices.
            model: As served, else as sent.
            usage: Stated or estimated; billed tokens, where stated, are what is priced.
            unix_ns: When the call was made.
            service_tier: As the answer stated it; empty for the standard price.

        Returns:
            None if the price is unknown or the figures don't tell the cost: unknown, not zero.
        """
        if not provider or not model:
            return None
        if (own := self._own.get(provider)) is not None:
            return own_cost(own, provider, model, usage)
        priced = self._priced(provider, model, service_tier)
        if priced is None or self._list is None:
            return None
        usd = priced.table(unix_ns).price(as_charged(usage))
        if usd is None:
            return None
        return Cost(
            total_usd=usd.input_usd + usd.output_usd + usd.other_usd,
            input_usd=usd.input_usd,
            output_usd=usd.output_usd,
            price_source=self._list.source,
            price_date=self._list.date_at(unix_ns),
        )

    def estimate_usd(
        self, provider: str | None, model: str, entered: int, written: int, unix_ns: int
    ) -> Decimal | None:
        """Say what a call of so many tokens is likely to cost; None if its price is unknown.

        Straight from the price of a token, which holds until a model's price changes with the
        length of the prompt; past that it is what `cost` says.
        """
        if not provider or not model:
            return None
        hour = unix_ns // _NS_PER_HOUR
        key = (provider, model)
        known = self._lines.get(key)
        if known is None or known[0] != hour:
            if len(self._lines) >= KEPT_MODELS:
                self._lines.clear()
            known = self._lines[key] = hour, self._line(provider, model, unix_ns)
        line = known[1]
        if line is None or entered > line.most_entered:
            usage = Usage(input_tokens=entered, output_tokens=written)
            cost = self.cost(provider, model, usage, unix_ns)
            return None if cost is None else cost.total_usd
        return line.call_usd + line.entered_usd * entered + line.written_usd * written

    def _line(self, provider: str, model: str, unix_ns: int) -> "_Line | None":
        def cost(entered: int, written: int) -> Decimal | None:
            usage = Usage(input_tokens=entered, output_tokens=written)
            found = self.cost(provider, model, usage, unix_ns)
            return None if found is None else found.total_usd

        nothing, entered, written = cost(0, 0), cost(1, 0), cost(0, 1)
        if nothing is None or entered is None or written is None:
            return None
        return _Line(nothing, entered - nothing, written - nothing, _SAME_PRICE_TOKENS)

    def context_window(self, provider: str | None, model: str) -> int | None:
        """Say how many tokens a model reads and writes at the most; None if nobody knows."""
        known = provider and model and provider not in self._own
        priced = self._priced(provider, model, "") if known and provider else None
        return None if priced is None else priced.context_window

    def _priced(self, provider: str, model: str, service_tier: str) -> _PricedModel | None:
        key = (provider, model, service_tier)
        models = self._models
        if key in models:
            models.move_to_end(key)
            return models[key]
        self.load()
        found = self._list.find(provider, model, service_tier) if self._list else None
        models[key] = found
        if len(models) > KEPT_MODELS:
            models.popitem(last=False)
        return found
