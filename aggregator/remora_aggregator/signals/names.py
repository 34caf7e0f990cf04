"""Ids and names that senders choose: which are taken, and in which form. Pure."""

import re
from typing import Final

from remora.errors import BadRequest

MAX_SIGNAL_ID_CHARS: Final = 64
MAX_GOAL_CHARS: Final = 128
MAX_SESSION_ID_CHARS: Final = 256
"""As many as sidecars take over from a call."""
MAX_NAME_CHARS: Final = 64
"""Of a kind or a dimension."""

ALL_GOALS: Final = "*"
"""Stands for goals that have no settings of their own, so no goal is named so."""

_CALL_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE
)
_NAME: Final = re.compile(r"[A-Za-z0-9][-\w.:/]*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def call_id_of(text: str) -> str:
    """Return a call's id as records have it: UUIDs lose their dashes.

    Raises:
        BadRequest: It is none.
    """
    if not _CALL_ID.fullmatch(text):
        raise BadRequest("call_id is not 32 hex digits, nor a UUID")
    return text.replace("-", "").lower()


def is_goal(text: str) -> bool:
    """Tell whether a goal may be named so."""
    return 0 < len(text) <= MAX_GOAL_CHARS and text != ALL_GOALS and not _CONTROL.search(text)


def goal_of(text: str) -> str:
    """Return the name of a goal; empty: none. Raises BadRequest where no goal may be named so."""
    if text and not is_goal(text):
        raise BadRequest(
            f"goal is no name: give up to {MAX_GOAL_CHARS} characters, none of them a control "
            f"character, and not {ALL_GOALS!r}"
        )
    return text


def id_of(text: str, what: str, most_chars: int) -> str:
    """Return an id; empty: none. Raises BadRequest where it is too long or holds controls."""
    if len(text) > most_chars:
        raise BadRequest(f"{what} has more than {most_chars} characters")
    if _CONTROL.search(text):
        raise BadRequest(f"{what} holds control characters")
    return text


def name_of(text: str, what: str) -> str:
    """Return a plain name, such as a kind; empty: none. Raises BadRequest where it is none."""
    if text and (len(text) > MAX_NAME_CHARS or not _NAME.fullmatch(text)):
        raise BadRequest(
            f"{what} is no name: give up to {MAX_NAME_CHARS} of letters, digits and -_.:/"
        )
    return text
