"""Amounts that budgets count: money and tokens.

Money is `Decimal` in USD wherever people and other parts see it. Inside it is counted in whole
picodollars (1e-12 USD): a token's price has that many places, sums stay exact, and integers are
what twenty budgets can be asked in a few microseconds with.
"""

from decimal import ROUND_CEILING, Context, Decimal
from typing import NamedTuple

_PLACES = 12
_UNIT_USD = Decimal(1).scaleb(-_PLACES)

_EXACT = Context(prec=60, rounding=ROUND_CEILING)
"""Enough digits for any sum; a caller's context must not round money."""


class Amount(NamedTuple):
    """What a call is thought to cost, or did.

    Attributes:
        cost_usd: None where the price is not known.
        tokens: Input and output together.
    """

    cost_usd: Decimal | None
    tokens: int


class BudgetLimit(NamedTuple):
    """How much a budget gives; None where it does not limit."""

    cost_usd: Decimal | None
    tokens: int | None


def picousd_of(cost_usd: Decimal) -> int:
    """Count money in picodollars, rounded up; a negative amount counts as none."""
    exact = _EXACT.scaleb(cost_usd, _PLACES)
    whole = int(exact)
    return max(0, whole if whole >= exact else whole + 1)


def usd_of(picousd: int) -> Decimal:
    """Return picodollars in USD, exact."""
    return _EXACT.multiply(Decimal(picousd), _UNIT_USD)
