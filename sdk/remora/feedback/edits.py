"""How much of an answer somebody changed, in time that grows with the texts and no faster. Pure.

The share is 1 minus twice what both texts have in common over what they have in all, in words:
nothing where they are equal, all where they share no word in order.
"""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from remora.learning.signals import edit_strength

type Edit = str | tuple[str, str]
"""What was changed of an answer: a unified diff, or the text before and the text after."""

COMPARED_WORDS: Final = 10_000
"""Of each text as many are compared in order, after what both begin and end with; of the others it
only counts which there are."""
READ_CHARACTERS: Final = 1_000_000

_WORD = re.compile(r"\w+|[^\w\s]")
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@", re.MULTILINE)


def checked_edit(edit: Edit | None) -> Edit | None:
    """Return an edit; raises TypeError where it is none."""
    if isinstance(edit, tuple):
        if len(edit) == 2 and all(isinstance(one, str) for one in edit):
            return edit
    elif edit is None or isinstance(edit, str):
        return edit
    raise TypeError("edit should be a unified diff, or the text before and the text after")


def worth_of(edit: Edit, answer_words: int = 0) -> float | None:
    """Say how good an answer was that was changed so, from 0 to 1; None if that can't be told.

    Args:
        edit: The change.
        answer_words: How many words the answer has in all, where that is known.
    """
    if isinstance(edit, tuple):
        return edit_strength(changed_share(*edit))
    return edit_strength(changed_share_of_diff(edit, answer_words)) if is_diff(edit) else None


def as_diff(edit: Edit, most_characters: int) -> str:
    """Write a change as a diff, of texts that are cut first."""
    if isinstance(edit, tuple):
        before, after = (one[:most_characters].splitlines() for one in edit)
        edit = "\n".join(difflib.unified_diff(before, after, lineterm="", n=1))
    return edit[:most_characters]


def words_of(text: str) -> list[str]:
    """Split a text into words and signs; spaces do not count."""
    return _WORD.findall(text[:READ_CHARACTERS])


def changed_share(before: str, after: str) -> float:
    """Say which share of an answer was changed, from 0 to 1."""
    return _share(words_of(before), words_of(after), 0)


def is_diff(text: str) -> bool:
    """Tell whether a text is a unified diff."""
    return _HUNK.search(text) is not None


def changed_share_of_diff(diff: str, answer_words: int = 0) -> float:
    """Say which share of an answer a unified diff changes, from 0 to 1.

    Args:
        diff: Of one or more files; what its hunks do not show was left as it is.
        answer_words: How many words the answer has in all; 0: unknown, what the hunks show counts.
    """
    before: list[str] = []
    after: list[str] = []
    in_hunk = False
    for line in diff[:READ_CHARACTERS].splitlines():
        if line.startswith("@@"):
            in_hunk = True
        elif line.startswith(("--- ", "diff ")):
            in_hunk = False
        elif in_hunk and line[:1] in ("-", "+", " ", ""):
            words = words_of(line[1:])
            before += words if line[:1] != "+" else ()
            after += words if line[:1] != "-" else ()
    return _share(before, after, max(answer_words - len(before), 0))


def _share(before: Sequence[str], after: Sequence[str], untouched: int) -> float:
    total = len(before) + len(after) + 2 * untouched
    if not total:
        return 0.0
    common = untouched + _common(before, after)
    return min(max(1 - 2 * common / total, 0.0), 1.0)


def _common(before: Sequence[str], after: Sequence[str]) -> int:
    """Count the words that both have in the same order."""
    start, end = _same_ends(before, after)
    one, other = before[start : len(before) - end], after[start : len(after) - end]
    in_order = _longest_common(one[:COMPARED_WORDS], other[:COMPARED_WORDS])
    rest = Counter(one[COMPARED_WORDS:]) & Counter(other[COMPARED_WORDS:])
    return start + end + in_order + rest.total()


def _same_ends(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, end


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the longest common subsequence, all positions of one text at once as bits (Hyyrö)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(one)) - 1
    row = everything
    for word in other:
        if matches := row & places.get(word, 0):
            row = ((row + matches) | (row - matches)) & everything
    return len(one) - row.bit_count()
