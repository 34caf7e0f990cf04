"""What is found: what is so, where, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

_NAMED = 3
"""Of the places of one finding so many are named."""


class Weight(Enum):
    """Whether somebody has to do something; the values are those of the JSON."""

    PROBLEM = "problem"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so.

    Attributes:
        kind: Its stable name, in CamelCase.
        where: The object that it is about.
        what: What is so.
        todo: What to do; empty: nothing has to be done.
        weight: Whether somebody has to do it.
    """

    kind: str
    where: str
    what: str
    todo: str = ""
    weight: Weight = Weight.PROBLEM


def note(kind: str, where: str, what: str, todo: str = "") -> Finding:
    """Make a finding that nobody has to act upon."""
    return Finding(kind, where, what, todo, Weight.NOTE)


def united(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Say once what holds at several places; problems come first."""
    places: dict[Finding, list[str]] = {}
    for finding in findings:
        anywhere = places.setdefault(replace(finding, where=""), [])
        if finding.where not in anywhere:
            anywhere.append(finding.where)
    told = (replace(finding, where=_listed(where)) for finding, where in places.items())
    return tuple(sorted(told, key=lambda finding: finding.weight is Weight.NOTE))


def _listed(places: list[str]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(places[:_NAMED]) + more
