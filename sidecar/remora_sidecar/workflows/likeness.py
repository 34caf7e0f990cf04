"""How much two answers say the same, between 0 and 1.

Texts are compared as words in their order: twice the longest common subsequence, divided by the
words of both (rapidfuzz's Indel ratio). Case, marks, space and width of characters do not count;
each character of a script that puts no space between words is a word. Figures count apart as well,
and the lesser score stands: two texts that differ in one number say different things, however many
words they share. Numbers at the beginning of a line that only count its items are left out.

Texts of more than `MAX_WORDS` words are compared by the runs of three words that they share
(Dice's coefficient), so that the time is bounded by the longer one's length.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rapidfuzz.distance import Indel

from remora.workflows.strategy import Agreement

MAX_WORDS: Final = 4096
"""Compared in their order: at most some 20 ms."""

_ITEM_NUMBER = re.compile(r"^[^\S\n]*(?:[-*•]\s+)?\d{1,3}[.)](?=\s)", re.MULTILINE)
_WORD = re.compile(
    r"\d+(?:[.,:/]\d+)*"
    r"|[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
    r"|[\U00020000-\U0003ffff]"
    r"|[^\W\d_\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff]+"
)


def words_of(text: str) -> list[str]:
    """Return a text's words and figures as they are compared."""
    plain = unicodedata.normalize("NFKC", text)
    return _WORD.findall(_ITEM_NUMBER.sub("", plain).casefold())


def text_likeness(one: str, other: str) -> float:
    """Score two texts; without any words they are alike only if they are the same."""
    first, second = words_of(one), words_of(other)
    if not first and not second:
        return 1.0 if one.split() == other.split() else 0.0
    figures = _dice(list(filter(_is_figure, first)), list(filter(_is_figure, second)))
    return min(_in_order(first, second), figures)


def _is_figure(word: str) -> bool:
    return word[0].isdecimal()


def _in_order(first: Sequence[str], second: Sequence[str]) -> float:
    if max(len(first), len(second)) <= MAX_WORDS:
        return float(Indel.normalized_similarity(first, second))
    return _dice(_runs(first), _runs(second))


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], strict=False))


def _dice[T](first: Sequence[T], second: Sequence[T]) -> float:
    """Return the share of what both have; 1 if neither has anything."""
    if not first and not second:
        return 1.0
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared / (len(first) + len(second))


def same_value(one: object, other: object) -> bool:
    """Tell whether two JSON values are the same; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def value_likeness(one: object, other: object) -> float:
    """Score two JSON values: the leaves that stand in the same place, texts by `text_likeness`.

    A list's items are compared by their place.
    """
    if isinstance(one, str) and isinstance(other, str):
        return text_likeness(one, other)
    pairs = _pairs(one, other)
    if pairs is None:
        return 1.0 if same_value(one, other) else 0.0
    weights = [(max(_leaves(a), _leaves(b)), a, b) for a, b in pairs]
    total = sum(weight for weight, _, _ in weights)
    if not total:
        return 1.0
    return math.fsum(w * value_likeness(a, b) for w, a, b in weights) / total


class _Missing:
    """Stands where the other value has something."""


_MISSING = _Missing()


def _pairs(one: object, other: object) -> list[tuple[object, object]] | None:
    """Pair what stands in the same place of two values; None if they are no such values."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return [(one.get(key, _MISSING), other.get(key, _MISSING)) for key in keys]
    if isinstance(one, list) and isinstance(other, list):
        longest = range(max(len(one), len(other)))
        return [(_item(one, place), _item(other, place)) for place in longest]
    return None


def _item(values: list[object], place: int) -> object:
    return values[place] if place < len(values) else _MISSING


def _leaves(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return max(1, sum(map(_leaves, value)))
    return 0 if value is _MISSING else 1


def score(agreement: Agreement, one: object, other: object) -> float:
    """Score two answers as an agreement asks for it: texts, or the values of their JSON."""
    if agreement.kind == "similar":
        return value_likeness(one, other)
    if isinstance(one, str) and isinstance(other, str):
        return 1.0 if one.split() == other.split() else 0.0
    return 1.0 if same_value(one, other) else 0.0


def agree(agreement: Agreement, one: object, other: object) -> bool:
    """Tell whether two answers say the same."""
    return score(agreement, one, other) >= (
        agreement.least_score if agreement.kind == "similar" else 1.0
    )


def agreement_of(said: Agreement | None, *, is_json: bool) -> Agreement:
    """Return how a step's answers are compared: equal for JSON where it does not say."""
    return said or Agreement(kind="equal" if is_json else "similar")
