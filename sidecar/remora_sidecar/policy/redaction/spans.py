"""Where a text holds something: candidates that RE2 finds, judged by what stands around them.

Texts are UTF-8 bytes, so that places found by RE2 need no conversion. RE2 takes time linear in
the text; what judges a candidate looks at no more than the candidate and a few bytes around it.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import re2

Find = Callable[[bytes], Iterator[tuple[int, int]]]
"""Gives begin and end of each value that is found in a text."""

Judge = Callable[[bytes, int, int], bool]
"""Tells whether a candidate in a text is what it looks like."""

ESCAPED = r"\\[nrtbf]|\\u[0-9a-fA-F]{4}|%[0-9a-fA-F]{2}"
"""An escape that is still written out: its last letter is no part of the word behind it."""

BEFORE = rf"(?:\b|{ESCAPED})"
"""Where a word begins."""


_DIGIT = re.compile(rb"[0-9]")
_LETTER = re.compile(rb"[A-Za-z]")


class Span(NamedTuple):
    """A part of a text that is to be taken out."""

    start: int
    end: int
    kind: str


class Detector(NamedTuple):
    """One way to find something.

    Attributes:
        trigger: In RE2's syntax and quick to look for: stands in every text in which anything
            is found.
        find: Finds it.
    """

    trigger: str
    find: Find


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """Compile a pattern in RE2's syntax; raises `re2.error`."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def candidates(pattern: str, text: bytes) -> Iterator[tuple[int, int]]:
    """Give what a pattern finds: its first group if it has one, else all of it."""
    regex = compiled(pattern)
    group = 1 if regex.groups else 0
    for match in regex.finditer(text):
        start, end = match.span(group)
        if start < end:
            yield start, end


def finder(pattern: str, judge: Judge | None = None) -> Find:
    """Make what finds the first group of a pattern."""

    def find(text: bytes) -> Iterator[tuple[int, int]]:
        for start, end in candidates(pattern, text):
            if judge is None or judge(text, start, end):
                yield start, end

    return find


def is_mixed(text: bytes, start: int, end: int) -> bool:
    """Words have no digits, numbers have no letters; keys have both."""
    value = text[start:end]
    return _DIGIT.search(value) is not None and _LETTER.search(value) is not None


def stands_alone(text: bytes, start: int, end: int) -> bool:
    """Tell whether no letter, digit or dot before a digit touches what was found."""
    before, after = text[max(0, start - 1) : start], text[end : end + 2]
    if before.isalnum() or before in (b"_", b".") or after[:1].isalnum() or after[:1] == b"_":
        return False
    return not (after[:1] == b"." and after[1:].isdigit())
