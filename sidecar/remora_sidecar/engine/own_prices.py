"""Prices that policy documents state for providers of one's own."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from remora.policy import LLMProvider
from remora.policy.provider_document import own_price_id
from remora.policy.spec import Price
from remora.records import Cost, Usage

_MILLION = Decimal(1_000_000)

OwnPrices = Mapping[str, Sequence[Price]]
"""Prices by their id; of several that take a model the first holds."""


def own_prices(providers: Iterable[LLMProvider]) -> OwnPrices:
    """Gather the prices of documents."""
    return {
        price_id: document.spec.prices
        for document in providers
        if (price_id := own_price_id(document)) is not None
    }


def own_cost(prices: Sequence[Price], price_id: str, model: str, usage: Usage) -> Cost | None:
    """Price a call; None where no price takes its model or its tokens are not known.

    A prompt's cached tokens cost what the others do.
    """
    price = next((price for price in prices if price.model.matches(model)), None)
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    entered = usage.input_tokens * price.input_per_million_usd / _MILLION
    written = usage.output_tokens * price.output_per_million_usd / _MILLION
    return Cost(entered + written, entered, written, price_source=price_id, price_date="")
