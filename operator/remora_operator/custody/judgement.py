"""What follows from how a CA's Secret was found. Pure.

Agents read their roots once, when they start. So a root never gives way to another in silence: a
new one is made only where none was ever made known, and what somebody else put in its place is not
signed with until a person says so (`remora ca replace`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509

from remora_operator.ca.certificates import fingerprint
from remora_operator.ca.rotation import Rotation
from remora_operator.custody.known_roots import KnownRoots, root_keys

_DIGITS = 16


class Verdict(StrEnum):
    """What is done about a CA."""

    USE = "use"
    MAKE = "make"
    PUT_BACK = "put back"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Found:
    """A CA's Secret, and what is known besides.

    Attributes:
        is_there: Whether there is such a Secret.
        rotation: What it holds; None where it can't be used.
        unfit: Why it can't be used.
        known: The roots that were made known.
        held: What this replica read last and still has in memory.
        is_made_here: The leader makes the CA where there is none; else its owner does.
    """

    is_there: bool
    rotation: Rotation | None
    unfit: Sequence[str]
    known: KnownRoots
    held: Rotation | None
    is_made_here: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is done, and what people are told.

    Attributes:
        verdict: What is done.
        problems: What is wrong; empty where nothing is.
    """

    verdict: Verdict
    problems: tuple[str, ...] = ()


def judge(found: Found) -> Judgement:
    """Decide about a CA."""
    trusted = _trusted(found)
    if not found.is_there:
        return _missing(found, trusted)
    if found.rotation is None:
        return Judgement(Verdict.HOLD, tuple(f"{what}{_meanwhile(found)}" for what in found.unfit))
    if not _follows(found.rotation, trusted):
        return Judgement(Verdict.HOLD, (_foreign(found.rotation, trusted) + _meanwhile(found),))
    return Judgement(Verdict.USE)


def _trusted(found: Found) -> KnownRoots:
    """Go by the record; what a replica remembers may be older, and counts where there is none."""
    if found.known.roots or found.held is None:
        return found.known
    return KnownRoots(found.held.roots)


def _follows(rotation: Rotation, trusted: KnownRoots) -> bool:
    """Tell whether one of a CA's roots is trusted already, or none is."""
    return not trusted.roots or not trusted.keys.isdisjoint(root_keys(rotation.roots))


def _missing(found: Found, trusted: KnownRoots) -> Judgement:
    if not trusted.roots:
        if found.is_made_here:
            return Judgement(Verdict.MAKE)
        return Judgement(Verdict.HOLD, ("is awaited: a CA is to be brought, and there is none",))
    if found.is_made_here and found.held is not None and _follows(found.held, trusted):
        what = "is gone, and is put back by the leader from memory: find out who deleted it"
        return Judgement(Verdict.PUT_BACK, (what,))
    what = f"is gone, and its root ({_shown(trusted.roots)}) is trusted: put it back from a backup"
    return Judgement(Verdict.HOLD, (f"{what}, or run `remora ca replace`{_meanwhile(found)}",))


def _foreign(rotation: Rotation, trusted: KnownRoots) -> str:
    return (
        f"holds another root ({_shown(rotation.roots)}) than the one that is trusted "
        f"({_shown(trusted.roots)}), and is not signed with: put the old one back, or accept the "
        "new one with `remora ca replace` and restart what is injected"
    )


def _meanwhile(found: Found) -> str:
    return "" if found.held is None else "; until then this replica goes on with what it has read"


def _shown(roots: Sequence[x509.Certificate]) -> str:
    return ", ".join(fingerprint(root)[:_DIGITS] for root in roots)
