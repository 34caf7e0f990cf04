"""Money in answers: decimal text on the wire, `Decimal` for programs. Pure."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from remora.wire_money import usd_of

_SUFFIX: Final = "_usd"
_OF_USERS: Final = frozenset({"document", "examples", "input", "output", "outputs"})
"""Members that hold what users and models wrote: nothing in them is ours to read."""


def with_amounts(value: Any) -> Any:
    """Give an answer with each sum of money as a `Decimal`; None where it is not known.

    What users and models wrote stays as it is, whatever its members are called.
    """
    if isinstance(value, dict):
        return {name: _member(name, part) for name, part in value.items()}
    return [with_amounts(part) for part in value] if isinstance(value, list) else value


def _member(name: str, value: Any) -> Any:
    if name in _OF_USERS:
        return value
    is_sum = name.endswith(_SUFFIX) and isinstance(value, str | int | float)
    return _usd(value) if is_sum and not isinstance(value, bool) else with_amounts(value)


def _usd(value: Any) -> Any:
    try:
        return usd_of(str(value))
    except InvalidOperation:
        return value


def without_amounts(value: Any) -> Any:
    """Write sums as decimal text, for programs that read JSON."""
    if isinstance(value, Mapping):
        return {name: without_amounts(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_amounts(part) for part in value]
    return format(value, "f") if isinstance(value, Decimal) else value
