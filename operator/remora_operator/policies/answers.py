"""What sidecars made of the documents that they were sent. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from remora.errors import Problem

_MAX_PROBLEMS = 8
_MAX_CHARACTERS = 300
_VERSION_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that a sidecar did not take.

    Attributes:
        version: The document's.
        problems: Why, by the field's path; some of them, if there are very many.
        turn: Grows with every refusal: of two the later one has the greater.
    """

    version: str
    problems: tuple[Problem, ...]
    turn: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one pod said last.

    Attributes:
        applied: Version that is in force there; empty: not known.
        refusal: Of the newest document; None: it was taken.
    """

    applied: str = ""
    refusal: Refusal | None = None


class Answers:
    """The last answer of every pod that this replica serves."""

    def __init__(self) -> None:
        """Start with nobody heard."""
        self._of: dict[str, Answer] = {}
        self._turn = 0

    def greeted(self, uid: str, version: str) -> Answer:
        """Note which version a pod has in force as its stream begins."""
        version = _plain(version, _VERSION_CHARACTERS)
        self._of[uid] = replace(self.of(uid), applied=version)
        return self._of[uid]

    def applied(self, uid: str, version: str) -> Answer:
        """Note that a pod has a version in force."""
        self._of[uid] = Answer(_plain(version, _VERSION_CHARACTERS))
        return self._of[uid]

    def refused(self, uid: str, version: str, problems: Iterable[Problem]) -> Answer:
        """Note that a pod did not take a version, and why; what it had before stays."""
        self._turn += 1
        refusal = Refusal(_plain(version, _VERSION_CHARACTERS), _bounded(problems), self._turn)
        self._of[uid] = replace(self.of(uid), refusal=refusal)
        return self._of[uid]

    def forget(self, uid: str) -> None:
        """Forget a pod that is gone."""
        self._of.pop(uid, None)

    def of(self, uid: str) -> Answer:
        """Return what a pod said last."""
        return self._of.get(uid, Answer())


def _bounded(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Keep what people can read: it comes from a pod, and goes into logs and status."""
    kept = list[Problem]()
    for problem in problems:
        if len(kept) == _MAX_PROBLEMS:
            break
        where, what = (_plain(text, _MAX_CHARACTERS) for text in (problem.where, problem.what))
        kept.append(Problem(where or "document", what or "no reason was given"))
    return tuple(kept) or (Problem("document", "no reason was given"),)


def _plain(text: str, most: int) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text[:most])
    return shown if len(text) <= most else f"{shown}…"
