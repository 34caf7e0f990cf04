"""Whether a conversation comes to its end or goes round in circles, by how messages relate. Pure.

A delta says how a message relates to the one before it, and holds none of either: how many words
they share, how much longer it is, and what the classifier found in it. Words are compared by
sketches, which are made with a key and tell nothing without it.
"""

import hashlib
import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from remora.feedback.classifier.verdict import Label
from remora.feedback.classifier.wording import read

KEPT_DELTAS: Final = 8
USED_DELTAS: Final = 4
FEWEST_DELTAS: Final = 2
_SLOTS: Final = 64
_SKETCHED_WORDS: Final = 200
_SLOT_BYTES: Final = 2
_BLOCK_BYTES: Final = 64


class Momentum(StrEnum):
    """Where a conversation goes."""

    CLOSING = "closing"
    WIDENING = "widening"
    FLAT = "flat"


class Sketch(NamedTuple):
    """A message, as far as the next one is compared with it.

    Attributes:
        slots: The least hash of its words, by each of several hashes; empty without words.
        words: How many words it has.
    """

    slots: tuple[int, ...] = ()
    words: int = 0


NO_SKETCH: Final = Sketch()


class Delta(NamedTuple):
    """How a message relates to the one before it.

    Attributes:
        jaccard: Share of their words that both have, from 0 to 1; an estimate.
        length_ratio: Its words for each of the other's.
        label: What the classifier found in it; empty where it was not sure.
    """

    jaccard: float
    length_ratio: float
    label: str


def sketch(message: str, key: str) -> Sketch:
    """Make what a message is compared by.

    Args:
        message: Of any length; its ends are read.
        key: Sketches of different keys can't be compared.
    """
    words = [token for token in read(message) if token[0].isalnum()]
    salt = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    hashed = [_hashes(word, salt) for word in set(words[:_SKETCHED_WORDS])]
    return Sketch(tuple(map(min, zip(*hashed, strict=True))), len(words))


def _hashes(word: str, salt: bytes) -> list[int]:
    blocks = _SLOTS * _SLOT_BYTES // _BLOCK_BYTES
    said = word.encode("utf-8", "surrogatepass")
    digest = b"".join(
        hashlib.blake2b(said, key=salt, salt=bytes([block])).digest() for block in range(blocks)
    )
    return [
        int.from_bytes(digest[at : at + _SLOT_BYTES]) for at in range(0, len(digest), _SLOT_BYTES)
    ]


def delta(before: Sketch, message: Sketch, label: Label | None) -> Delta:
    """Compare a message with the one before it."""
    pairs = list(zip(before.slots, message.slots, strict=False))
    alike = sum(one == other for one, other in pairs)
    jaccard = alike / len(pairs) if pairs else 0.0
    ratio = message.words / before.words if before.words else math.inf if message.words else 1.0
    return Delta(jaccard, min(ratio, 100.0), label or "")


def momentum(deltas: Sequence[Delta]) -> Momentum:
    """Say where a conversation goes by its last messages; flat where there are too few."""
    used = deltas[-USED_DELTAS:]
    if len(used) < FEWEST_DELTAS:
        return Momentum.FLAT
    jaccard = sum(one.jaccard for one in used) / len(used)
    ratio = sum(one.length_ratio for one in used) / len(used)
    unhappy = sum(one.label in (Label.REJECTED, Label.CORRECTED) for one in used)
    happy = sum(one.label == Label.ACCEPTED for one in used)
    if not unhappy and ((jaccard > 0.5 and ratio < 1.1) or (happy >= 2 and ratio < 1.2)):
        return Momentum.CLOSING
    if used[-1].label == Label.ACCEPTED:
        return Momentum.FLAT
    if unhappy > 1 or (unhappy and (jaccard < 0.35 or ratio > 1.3)):
        return Momentum.WIDENING
    return Momentum.FLAT
