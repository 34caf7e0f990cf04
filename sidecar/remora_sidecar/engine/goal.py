"""What a call is for: named by policy, the call, its session, or told by rules. Pure."""

from contextlib import suppress
from typing import Final

from remora.learning.decision import Risk
from remora_sidecar.dialects.request_view import RequestView

MAX_GOAL_CHARACTERS: Final = 128
ALL_GOALS: Final = "*"
"""Stands for goals that have no settings of their own, so none is named so."""

MAX_CONVERSATIONS: Final = 2_048
"""Whose goal is remembered, so that rules look once at each."""

GOAL_HEADER: Final = "remora-goal"
RISK_HEADER: Final = "remora-risk"

_RISKS: Final[tuple[Risk, ...]] = ("low", "medium", "high")

_NAMES: Final = f"1 to {MAX_GOAL_CHARACTERS} printable characters, and not '*'"
BAD_GOAL: Final = f"the call's {GOAL_HEADER} was ignored: a goal is {_NAMES}"
BAD_RISK: Final = f"the call's {RISK_HEADER} was ignored: it is none of {', '.join(_RISKS)}"


class GoalRules:
    """Tells what calls are for that nobody says it of; a conversation keeps what it began with."""

    def __init__(self) -> None:
        """Start with no conversation known."""
        self._known: dict[tuple[str, str, int, str], str] = {}

    def goal_of(self, operation: str, view: RequestView) -> str:
        """Say what a request is for; the rules look at how its conversation began."""
        tools, form = len(view.tools), view.response_format
        key = (operation, view.conversation_key, tools, form)
        goal = self._known.get(key)
        if goal is None:
            # Loaded by the first route that asks: its rules take a while to compile.
            from remora.outcomes.goals import classified_goal

            goal = classified_goal(operation, view.opening_text, tools, form)
            if len(self._known) >= MAX_CONVERSATIONS:
                del self._known[next(iter(self._known))]
            self._known[key] = goal
        return goal


def checked_goal(text: str) -> str:
    """Read the name of a goal, without space around it.

    Raises:
        ValueError: It is empty, too long, has characters that nobody sees, or stands for all.
    """
    goal = text.strip()
    if goal == ALL_GOALS or not 1 <= len(goal) <= MAX_GOAL_CHARACTERS or not goal.isprintable():
        raise ValueError(f"should be {_NAMES}")
    return goal


def goal_in_header(value: str) -> str | None:
    """Read a goal from a header field, as decoded from Latin-1; None if it is none."""
    with suppress(UnicodeError):  # Latin-1 it is
        value = value.encode("latin-1").decode("utf-8")
    try:
        return checked_goal(value)
    except ValueError:
        return None


def risk_in_header(value: str) -> Risk | None:
    """Read a risk from a header field; None if it is none."""
    named = value.strip().lower()
    return next((risk for risk in _RISKS if risk == named), None)


def higher(one: Risk, other: Risk) -> Risk:
    """Give the greater risk."""
    return max(one, other, key=_RISKS.index)
