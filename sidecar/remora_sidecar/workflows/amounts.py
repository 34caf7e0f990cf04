"""What calls take: money and tokens, added to the last digit."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation])
"""A sum that would be rounded raises instead: no price list has so many digits."""

NO_MONEY: Final = Decimal(0)


def add_usd(one: Decimal, other: Decimal) -> Decimal:
    """Add two amounts exactly."""
    return _EXACT.add(one, other)


def take_usd(one: Decimal, other: Decimal) -> Decimal:
    """Take the second amount from the first exactly."""
    return _EXACT.subtract(one, other)


def sum_usd(amounts: Iterable[Decimal]) -> Decimal:
    """Add amounts exactly."""
    total = NO_MONEY
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def usd_text(amount: Decimal | None) -> str | None:
    """Write an amount as it travels: decimal text without an exponent; None is unknown."""
    return None if amount is None else f"{amount:f}"


@dataclass(frozen=True, slots=True)
class Load:
    """What a call may take.

    Attributes:
        cost_usd: At most; None: the price is unknown.
        tokens: Of prompt and answer, at most.
        latency_ms: How long it may well take, by assumed speeds.
    """

    cost_usd: Decimal | None = NO_MONEY
    tokens: int = 0
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class Bill:
    """What a call took, as its receipt says.

    Attributes:
        call_id: Of the call, and of its receipt.
        provider: Who served it.
        model: Which one was sent to.
        cost_usd: None: unknown.
        input_tokens: None: the provider did not say.
        output_tokens: None: the provider did not say.
        latency_ms: From the question to the end of the answer.
    """

    call_id: str
    provider: str = ""
    model: str = ""
    cost_usd: Decimal | None = NO_MONEY
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    latency_ms: int = 0

    @property
    def tokens(self) -> int | None:
        """Of prompt and answer; None if either is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens
