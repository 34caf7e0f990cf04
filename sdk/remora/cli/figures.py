"""Figures as a person reads them. Pure; what is not known is never written as a zero."""

from decimal import Context, Decimal

UNKNOWN = "unknown"
NONE = "-"

_FOUR_DIGITS = Context(prec=4)
_MILLION = 1_000_000


def money(usd: Decimal) -> str:
    """Write a sum: cents where there are dollars, four digits that count where there are none."""
    if usd == 0:
        return "$0"
    if abs(usd) >= 1:
        return f"${usd:,.2f}"
    return "$" + format(_FOUR_DIGITS.plus(usd), "f").rstrip("0")


def tokens(number: int) -> str:
    """Write a number of tokens: exactly below a million."""
    return f"{number:,}" if number < _MILLION else f"{number / _MILLION:,.2f}M"


def seconds(span_s: float) -> str:
    """Write a span of time in the unit that suits it."""
    if span_s < 0.001:
        return "<1ms"
    if span_s < 0.9995:
        return f"{span_s * 1000:.0f}ms"
    if span_s < 99.95:
        return f"{span_s:.2f}s" if span_s < 9.995 else f"{span_s:.1f}s"
    minutes, rest_s = divmod(round(span_s), 60)
    return f"{minutes}m{rest_s:02}s"


def plural(number: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def visible(text: str) -> str:
    """Make text of strangers safe for a terminal: control characters show, and do nothing."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clipped(text: str, width: int) -> str:
    """Cut text to a width; an ellipsis says that it was cut."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
