"""How many tokens a text is likely to be, for calls that end before their usage is stated.

Counts characters, not tokens: it runs beside every event of a stream, and what it says is
always marked as an estimate. A tokenizer would be exact for one vendor's models only.
"""

from collections.abc import Sequence
from typing import Final

_ASCII_PER_TOKEN: Final = 4.0
_TOKENS_PER_EXTRA_BYTE: Final = 0.4
"""Of UTF-8: one extra byte in a Cyrillic letter, two in a CJK character."""


class TextMeter:
    """Adds up pieces of text; holds none of them."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._ascii = 0
        self._extra_bytes = 0

    def add(self, text: object) -> None:
        """Take a piece; what is no text counts nothing."""
        if type(text) is not str:
            return
        if text.isascii():
            self._ascii += len(text)
            return
        self._ascii += len(text.encode("ascii", "ignore"))
        self._extra_bytes += len(text.encode("utf-8", "replace")) - len(text)

    @property
    def tokens(self) -> int:
        """The estimate so far; at least 1 if there was any text."""
        return _tokens(self._ascii, self._extra_bytes)


def tokens_of(texts: Sequence[str]) -> int:
    """Estimate pieces of text at once; at least 1 if there was any."""
    if all(map(str.isascii, texts)):
        return _tokens(sum(map(len, texts)), 0)
    meter = TextMeter()
    for text in texts:
        meter.add(text)
    return meter.tokens


def _tokens(ascii_characters: int, extra_bytes: int) -> int:
    tokens = ascii_characters / _ASCII_PER_TOKEN + extra_bytes * _TOKENS_PER_EXTRA_BYTE
    return (round(tokens) or 1) if tokens else 0
