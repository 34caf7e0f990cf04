"""Money and tokens, as budgets count them.

Money travels as decimal text in USD. Inside it is counted in whole picodollars (1e-12 USD), so that
sums are exact and the same in Python, SQLite and PostgreSQL.
"""

from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from typing import Final, NamedTuple

MAX_PICOUSD: Final = 10**24
"""A trillion dollars: more than any sum; larger ones count as so much."""

MAX_TOKENS: Final = (1 << 63) - 1

_PLACES = 12
_MAX_CHARS = 64
_EXACT = Context(prec=100, rounding=ROUND_CEILING)
_UNIT_USD = Decimal(1).scaleb(-_PLACES)


class Amount(NamedTuple):
    """Money in picodollars, and tokens; neither is negative."""

    picousd: int
    tokens: int


class Limit(NamedTuple):
    """How much a budget gives; None where it does not limit."""

    picousd: int | None
    tokens: int | None

    @property
    def is_none(self) -> bool:
        """Whether nothing is limited."""
        return self.picousd is None and self.tokens is None

    def is_reached(self, spent: Amount) -> bool:
        """Tell whether nothing is left."""
        return (self.picousd is not None and spent.picousd >= self.picousd) or (
            self.tokens is not None and spent.tokens >= self.tokens
        )


NOTHING: Final = Amount(0, 0)
NO_LIMIT: Final = Limit(None, None)


def plus(one: Amount, other: Amount) -> Amount:
    """Add; a sum past all bounds stays at them."""
    return Amount(
        min(one.picousd + other.picousd, MAX_PICOUSD), min(one.tokens + other.tokens, MAX_TOKENS)
    )


def minus(one: Amount, other: Amount) -> Amount:
    """Say what is left: nothing rather than less than nothing."""
    return Amount(max(0, one.picousd - other.picousd), max(0, one.tokens - other.tokens))


def least(one: Amount, other: Amount) -> Amount:
    """Take the lower of both, of money and of tokens."""
    return Amount(min(one.picousd, other.picousd), min(one.tokens, other.tokens))


def most(one: Amount, other: Amount) -> Amount:
    """Take the higher of both, of money and of tokens."""
    return Amount(max(one.picousd, other.picousd), max(one.tokens, other.tokens))


def picousd_of(text: str) -> int:
    """Read money, in USD; less than a picodollar counts as one.

    Raises:
        ValueError: It is no decimal number of at most 64 characters, or below nothing.
    """
    try:
        usd = Decimal(text) if len(text) <= _MAX_CHARS else Decimal("NaN")
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        raise ValueError(f"{text[:_MAX_CHARS]!r} is no decimal amount of dollars")
    if usd.adjusted() > _PLACES:  # before it is written out: 1e999999 has a million digits
        return MAX_PICOUSD
    if usd.adjusted() < -_PLACES:
        return int(bool(usd))
    picousd = _EXACT.scaleb(usd, _PLACES).to_integral_value(ROUND_CEILING)
    return min(int(picousd), MAX_PICOUSD)


def tokens_of(count: int) -> int:
    """Take a number of tokens.

    Raises:
        ValueError: It is below nothing.
    """
    if count < 0:
        raise ValueError(f"{count} is no number of tokens")
    return min(count, MAX_TOKENS)


def usd_text(picousd: int) -> str:
    """Write money in USD, exact."""
    return f"{_EXACT.multiply(Decimal(picousd), _UNIT_USD).normalize(_EXACT):f}"
