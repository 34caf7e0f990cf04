"""What becomes of a namespace's router versions, one step at a time. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from remora.errors import BadRequest
from remora.learning.scores import GoalScores
from remora.learning.versions import History, RouterVersion
from remora_aggregator.signals.ports import Judged, VersionBook

MOST_VERSIONS = 60
"""So many are kept: the newest, and all that can be gone back to."""

MOST_STEPS = 20
"""So many steps can be gone back."""

MOST_NOTE_CHARS = 500

FIRST = Judged("accepted", "it is the first version: there is none to lose by it")


def proposed(
    book: VersionBook,
    goals: Mapping[str, GoalScores],
    judged: Judged,
    now_ms: int,
    *,
    note: str = "",
    activate: bool = False,
) -> VersionBook:
    """Add a version with what the gate says of it.

    Args:
        book: The versions so far.
        goals: Scores and settings of all goals.
        judged: What the gate says.
        now_ms: In milliseconds since 1970.
        note: Why it is made.
        activate: Whether it is put in force if the gate accepts it.
    """
    history = book.history.proposed(goals, now_ms, note[:MOST_NOTE_CHARS])
    number = history.versions[-1].number
    made = replace(book, history=history, verdicts={**book.verdicts, number: judged})
    if activate and judged.result == "accepted":
        made = activated(made, number, now_ms)
    return _bounded(made)


def activated(book: VersionBook, number: int, now_ms: int) -> VersionBook:
    """Put a version in force; all evidence counts, whatever there was before.

    Raises:
        BadRequest: There is none of that number (status 404).
    """
    try:
        history = book.history.activated(number)
    except LookupError as error:
        raise _no_version(error) from None
    if history is book.history and not book.goes_back:
        return book
    return replace(book, history=history, since_ms=now_ms, goes_back=False)


def rolled_back(book: VersionBook, now_ms: int) -> VersionBook:
    """Put back in force what was before, without the evidence between.

    Raises:
        BadRequest: Nothing was in force before (status 409).
    """
    try:
        history = book.history.rolled_back()
    except LookupError as error:
        raise BadRequest(f"{error}", status=409, code="no_version_before") from None
    return replace(book, history=history, since_ms=now_ms, goes_back=True)


def version_of(book: VersionBook, number: int) -> RouterVersion:
    """Find a version.

    Raises:
        BadRequest: There is none of that number (status 404).
    """
    try:
        return book.history.version(number)
    except LookupError as error:
        raise _no_version(error) from None


def in_force(book: VersionBook) -> RouterVersion | None:
    """Give the version that decides; None before the first."""
    number = book.history.in_force
    return None if number is None else book.history.version(number)


def pinned(book: VersionBook, goal: str) -> GoalScores | None:
    """Give what the version in force says of a goal; None: nothing."""
    version = in_force(book)
    return None if version is None else version.goals.get(goal)


def last_made_ms(book: VersionBook) -> int:
    """Say when the last version was made; 0: none was."""
    return max((version.made_ms for version in book.history.versions), default=0)


def _bounded(book: VersionBook) -> VersionBook:
    """Forget the oldest versions that nothing can go back to, and the first of many steps."""
    history = book.history
    steps = history.steps[-MOST_STEPS:]
    needed = {*steps, history.in_force}
    newest = {version.number for version in history.versions[-MOST_VERSIONS:]}
    kept = tuple(v for v in history.versions if v.number in newest or v.number in needed)
    numbers = {version.number for version in kept}
    verdicts = {number: said for number, said in book.verdicts.items() if number in numbers}
    return replace(book, history=History(kept, history.in_force, steps), verdicts=verdicts)


def _no_version(error: LookupError) -> BadRequest:
    return BadRequest(f"{error}", status=404, code="no_version")
