"""What calls cost. Pure; an unknown price is unknown, never nothing.

The tracker's records have prices of their own; the user may name others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from remora.selectors.contract import TrackedCall
from remora.selectors.evaluation import Bill, CallFacts

_MILLION = Decimal(1_000_000)
_FREE = Decimal(0)
NO_CALLS = "no call was recorded"


def facts_of(call: TrackedCall) -> CallFacts:
    """Take from a tracker's record what counts."""
    return CallFacts(
        model=call.model,
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        cache_read_tokens=call.cache_read_tokens,
        cache_write_tokens=call.cache_write_tokens,
        cached=call.cached,
        latency_seconds=call.latency_seconds,
        status_code=call.status_code,
        cost_usd=call.cost_usd,
        # Not every tracker knows it.
        saved_usd=getattr(call, "saved_usd", None),
    )


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Prices of a model in USD of a million tokens."""

    input_usd: Decimal
    output_usd: Decimal
    cache_read_usd: Decimal
    cache_write_usd: Decimal

    @classmethod
    def of(cls, model: str, prices: Mapping[str, Any]) -> Self:
        """Read ``input_price``, ``output_price`` and perhaps those of provider caches.

        Tokens of provider caches cost as much as others where no price is said.

        Raises:
            ValueError: One is missing or no number.
        """
        try:
            plain = _usd(prices["input_price"])
            return cls(
                plain,
                _usd(prices["output_price"]),
                _usd(prices.get("cache_read_price", plain)),
                _usd(prices.get("cache_write_price", plain)),
            )
        except (KeyError, TypeError, InvalidOperation):
            raise ValueError(
                f"model_prices[{model!r}] should be {{'input_price': …, 'output_price': …}} in USD "
                "of a million tokens"
            ) from None

    def of_call(self, call: CallFacts) -> Decimal:
        """Price a call's tokens."""
        plain = max(call.prompt_tokens - call.cache_read_tokens - call.cache_write_tokens, 0)
        return (
            plain * self.input_usd
            + call.cache_read_tokens * self.cache_read_usd
            + call.cache_write_tokens * self.cache_write_usd
            + call.completion_tokens * self.output_usd
        ) / _MILLION


def _usd(value: Any) -> Decimal:
    usd = value if isinstance(value, Decimal) else Decimal(str(value))
    if not usd.is_finite() or usd < 0:
        raise InvalidOperation
    return usd


class PriceList:
    """Prices that the user named, before those of the records."""

    def __init__(self, prices: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Take prices by model; ``provider/model`` names the model too.

        Raises:
            ValueError: One can't be read.
        """
        read = {model: ModelPrice.of(model, price) for model, price in (prices or {}).items()}
        self._prices = {model.rpartition("/")[2]: price for model, price in read.items()} | read

    def bill(self, calls: Sequence[CallFacts], *, has_failed: bool) -> Bill:
        """Add up the calls of an evaluation.

        One that succeeded without any recorded call has an unknown cost: its calls went past
        the tracker, as far as anybody knows.
        """
        if not calls and not has_failed:
            return Bill(cost_usd=None, paid_usd=None, unknown=(NO_CALLS,))
        costs = [self._cost_usd(call) for call in calls]
        paid = [_FREE if call.cached else cost for call, cost in zip(calls, costs, strict=True)]
        unknown = {call.model for call, cost in zip(calls, costs, strict=True) if cost is None}
        return Bill(
            _by_model((call.model, call.prompt_tokens) for call in calls),
            _by_model((call.model, call.completion_tokens) for call in calls),
            total(costs),
            total(paid),
            tuple(f"no price of {model}" for model in sorted(unknown)),
            sum(call.latency_seconds for call in calls if call.cached),
        )

    def _cost_usd(self, call: CallFacts) -> Decimal | None:
        """Price a call as if its answer had not come out of the cache."""
        if not (call.prompt_tokens or call.completion_tokens):
            return _cost_without_usage(call)
        named = self._prices.get(call.model) or self._prices.get(call.model.rpartition("/")[2])
        if named is not None:
            return named.of_call(call)
        if not call.cached:
            return call.cost_usd
        return call.saved_usd


def _cost_without_usage(call: CallFacts) -> Decimal | None:
    """Price a call that states no usage: free if it was refused or never answered."""
    if call.cost_usd is not None and not call.cached:
        return call.cost_usd
    is_unanswered = call.status_code == 0 or call.status_code >= 400
    return _FREE if is_unanswered else None


def _by_model(counts: Any) -> dict[str, int]:
    added: dict[str, int] = {}
    for model, number in counts:
        added[model] = added.get(model, 0) + number
    return added


def total(sums: Sequence[Decimal | None]) -> Decimal | None:
    """Add sums; None if one is unknown."""
    known = [usd for usd in sums if usd is not None]
    return sum(known, _FREE) if len(known) == len(sums) else None
