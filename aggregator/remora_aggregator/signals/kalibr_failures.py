"""Why an answer was no good, by what Kalibr's clients say; what they wrote is dropped. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from remora.outcomes.categories import CATEGORIES
from remora.outcomes.categories import category_of as of_error

_CLUES: Final = (
    (re.compile(r"hallucinat", re.I), "hallucination_detected"),
    (re.compile(r"user.{0,4}(reject|unsatisf)", re.I), "user_unsatisfied"),
    (re.compile(r"quality.?fail", re.I), "validation_failed"),
)
"""What the client writes of its own, and other reasons that say more than an error's type."""

_PROVIDER: Final = "provider_error"
_LOOKED_AT_CHARS: Final = 500
_MOST_FACTS: Final = 20
_NAME: Final = re.compile(r"[A-Za-z][\w.-]{0,63}")


def category_of(category: str, reason: str) -> str:
    """Give the category of a failure: as it is named, else by what the reason says.

    Args:
        category: Whatever was sent; empty: nothing.
        reason: In free words; looked at and not kept. The client's own is
            ``provider_error: `` and an exception's name.
    """
    named = category.strip().lower()
    if named in CATEGORIES:
        return named
    text = f"{named} {reason}".strip()[:_LOOKED_AT_CHARS]
    if not text:
        return ""
    for pattern, name in _CLUES:
        if pattern.search(text):
            return name
    is_provider = text.startswith(f"{_PROVIDER}:")
    found = of_error(error_type=text.removeprefix(f"{_PROVIDER}:").strip(), message=text)
    return _PROVIDER if is_provider and found == "unknown" else found


def facts_of(metadata: Mapping[str, object] | None) -> dict[str, float | bool]:
    """Keep the numbers of what programs add to an outcome; texts are dropped."""
    found: dict[str, float | bool] = {}
    for name, value in (metadata or {}).items():
        if isinstance(value, bool | int | float) and _NAME.fullmatch(name):
            found[name] = value if isinstance(value, bool) else float(value)
        if len(found) == _MOST_FACTS:
            break
    return found
