"""What is known of one answer, and which evidence of it counts.

Of all evidence about an answer one piece counts: the best. So it does not matter in which order
pieces come, how often each comes, or on which replica: choosing the greater of two is all there
is, and the greatest of a set is the same however one goes through it.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from remora.learning.counts import NOTHING, Counts, counts_of


class Source(IntEnum):
    """Where evidence comes from; the greater one counts."""

    INFERRED = 1
    """Nobody said so: checks of form, provider errors, how a session ended, silence."""
    CLASSIFIED = 2
    """Made of what a user wrote next, or by a judge."""
    EXPLICIT = 3
    """Somebody said so: accepted, rejected, the outcome that a program reports."""
    DOWNSTREAM = 4
    """What was done with the answer: used, copied, edited, discarded."""


class Evidence(NamedTuple):
    """One piece of evidence about one answer.

    Attributes:
        source: Where it comes from.
        strength: How good the answer was, from 0 (useless) to 1.
        confidence: How sure that is, from 0 to 1.
        at_ms: When it arose, in milliseconds since 1970.
        signal_id: Tells pieces apart that arose at one time.
        kind: What happened, such as ``user_rejected``; for reports.
        reporter: Whose evidence it is, in a form that names nobody; empty if nobody's.
    """

    source: Source
    strength: float
    confidence: float
    at_ms: int
    signal_id: str
    kind: str = ""
    reporter: str = ""

    @property
    def counts(self) -> Counts:
        """What it adds to the counts: ``confidence`` in all, ``confidence * strength`` good."""
        return counts_of(self.strength, self.confidence)


def better(one: Evidence, other: Evidence) -> Evidence:
    """Choose the piece that counts.

    The better source; of what was guessed the surer, of what was said or done the later.
    """
    return max(one, other, key=_order)


def best(pieces: Iterable[Evidence]) -> Evidence | None:
    """Choose the one piece that counts; None of nothing."""
    return max(pieces, key=_order, default=None)


def _order(piece: Evidence) -> tuple[object, ...]:
    """Give what pieces are ordered by: of two that differ one always is greater."""
    is_guess = piece.source <= Source.CLASSIFIED
    return (piece.source, piece.confidence if is_guess else 0.0, piece.at_ms, *piece[1:])


class Settlement(NamedTuple):
    """What a piece of evidence changes.

    Attributes:
        counted: The piece that counts from now on.
        taken_back: Of what counted before.
        added: In its place. Both are nothing where the new piece does not count.
    """

    counted: Evidence
    taken_back: Counts = NOTHING
    added: Counts = NOTHING

    @property
    def changes(self) -> bool:
        """Whether sums change."""
        return any(self.taken_back) or any(self.added)


def settle(known: Evidence | None, new: Evidence) -> Settlement:
    """Fold a piece into what is known of the answer: it replaces, it never adds."""
    if known is None:
        return Settlement(new, added=new.counts)
    counted = better(known, new)
    if counted == known:
        return Settlement(known)
    return Settlement(counted, known.counts, counted.counts)
