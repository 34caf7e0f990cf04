"""Money as the wire form has it: decimal text in USD, such as ``0.00125``."""

from decimal import Decimal, InvalidOperation


def usd_of(text: str) -> Decimal:
    """Read a sum; raises `decimal.InvalidOperation` where the text is no finite number."""
    usd = Decimal(text)
    if not usd.is_finite():
        raise InvalidOperation(f"{text} is no sum of money")
    return usd
