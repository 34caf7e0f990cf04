"""What programs give to feedback, checked; errors say what to give, never what was given."""

import math
import re
from typing import Final

from remora.feedback.reporters import reporter_of
from remora.outcomes.categories import CATEGORIES

MOST_SESSION_CHARACTERS: Final = 256
MOST_GOAL_CHARACTERS: Final = 128
MOST_USER_CHARACTERS: Final = 256
MOST_DIMENSION_CHARACTERS: Final = 64
MOST_TEXT_CHARACTERS: Final = 4_000
"""Of what users write as much goes along, where policy wants it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def checked_share(value: float, name: str) -> float:
    """Return a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} should be a number from 0 to 1, not {type(value).__name__}")
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} should be a number from 0 to 1")
    return float(value)


def checked_name(value: str, name: str, most: int, *, may_be_empty: bool = True) -> str:
    """Return an id or a name."""
    if not isinstance(value, str):
        raise TypeError(f"{name} should be a text, not {type(value).__name__}")
    if len(value) > most or _CONTROL.search(value):
        raise ValueError(
            f"{name} should be a text of up to {most} characters, none of them control"
        )
    if not value and not may_be_empty:
        raise ValueError(f"{name} should not be empty")
    return value


def checked_session(value: str) -> str:
    """Return a session's id."""
    return checked_name(value, "session_id", MOST_SESSION_CHARACTERS, may_be_empty=False)


def checked_goal(value: str) -> str:
    """Return a goal, which may be empty."""
    return checked_name(value, "goal", MOST_GOAL_CHARACTERS)


def checked_dimension(value: str) -> str:
    """Return what of an answer something is about; empty: all of it."""
    return checked_name(value, "dimension", MOST_DIMENSION_CHARACTERS)


def checked_text(value: str, name: str) -> str:
    """Return what somebody wrote."""
    if not isinstance(value, str):
        raise TypeError(f"{name} should be a text, not {type(value).__name__}")
    return value


def checked_user(user: str | None) -> str:
    """Return what stands for a user in signals; empty for nobody."""
    if user is None:
        return ""
    return reporter_of(checked_name(user, "user", MOST_USER_CHARACTERS, may_be_empty=False))


def checked_category(value: str) -> str:
    """Return a category of failure."""
    if value not in CATEGORIES:
        raise ValueError(f"category should be one of {', '.join(CATEGORIES)}")
    return value


def sendable(text: str) -> str:
    """Cut a text to what may go along; lone surrogates, which no JSON can hold, are replaced."""
    cut = text[:MOST_TEXT_CHARACTERS]
    return cut.encode("utf-8", "replace").decode()
