"""Words as PostgreSQL keeps and finds them, the same as SQLite's `unicode61` makes of text. Pure.

PostgreSQL's own parser would take addresses, paths and numbers apart in its own way, by the
locale of the database. Words are found here instead, so that a search means the same everywhere.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from typing import Final
from unicodedata import normalize

from remora_aggregator.store.selection import WORD

_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
_ASCII_WORD: Final = re.compile(rb"[0-9a-z]+")
_MOST_WORD_BYTES: Final = 255
_MOST_BYTES: Final = 1_000_000
"""A tsvector holds a mebibyte."""
_NO_PLACES: Final = b"\0\0\0"


def folded(text: str) -> str:
    """Make words equal that differ in case or accents only."""
    lowered = text.lower()
    if lowered.isascii():
        return lowered
    return normalize("NFC", _ACCENTS.sub("", normalize("NFD", lowered)))


def lexeme(word: str) -> str:
    """Give a word as it is kept."""
    return _cut(folded(word).encode()).decode()


def tsvector(text: str) -> bytes:
    """Write the words of a text in PostgreSQL's binary form of them, without their places."""
    words = sorted(_words(folded(text)))
    if sum(map(len, words)) > _MOST_BYTES:
        words = list(_first(words))
    ended = _NO_PLACES.join((*words, b""))
    return struct.pack(">i", len(words)) + ended


def _words(text: str) -> set[bytes]:
    if text.isascii():
        found = set(_ASCII_WORD.findall(text.encode()))
    else:
        found = {word.encode() for word in set(WORD.findall(text))}
    if max(map(len, found), default=0) > _MOST_WORD_BYTES:
        found = set(map(_cut, found))
    return found


def _first(words: Iterable[bytes]) -> Iterator[bytes]:
    room = _MOST_BYTES
    for word in words:
        room -= len(word)
        if room < 0:
            return
        yield word


def _cut(word: bytes) -> bytes:
    return word[:_MOST_WORD_BYTES].decode(errors="ignore").encode()
