"""A streamed JSON array of objects: bytes in, whole objects out, wherever the bytes were cut.

Google's APIs stream so where no events were asked for: one array whose elements come one by one.
What the objects mean it does not know. An array of anything else is not read.

Own code because ijson, the kept library that can be fed like this, holds an element of any size
and stops at the first bytes that are no strict JSON; and because it takes 21 µs for an element of
800 bytes, where this takes 4 if the element comes at once, as Google sends them, and 25 if it comes
in pieces (all that is done for a streamed event may take 20).
"""

import re
from typing import Final

from remora_sidecar.dialects.base import HELD_EVENT_LIMIT_BYTES, Completeness
from remora_sidecar.dialects.framing.json_skim import Skimmer
from remora_sidecar.dialects.framing.json_values import UNREADABLE, parse_json
from remora_sidecar.dialects.framing.long_lines import LONG_BYTES
from remora_sidecar.dialects.framing.take import Take

# Whole strings and whatever is no brace, up to a brace, to a string that is cut, or to the end.
_TO_MARK: Final = re.compile(rb'(?:[^"{}]++|"(?:[^"\\]++|\\.)*+")*+([{}"]|\Z)', re.DOTALL)
_IN_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BACKSLASH: Final = 0x5C
_BEFORE_ELEMENT: Final = b"[, \t\r\n"


class JsonArray:
    """An array of objects; only an unfinished one is held, and a long one without its bulk.

    Attributes:
        ended: The bracket that closes the array was seen.
    """

    def __init__(self, limit: int = HELD_EVENT_LIMIT_BYTES) -> None:
        """Hold at most `limit` bytes of an element; one of which more is left is not read."""
        self.ended = False
        self._limit = limit
        self._held = bytearray()
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._skimmer: Skimmer | None = None
        self._skipping = False
        self._skipped = 0

    @property
    def problem(self) -> str:
        """What could not be read, if anything."""
        return f"{self._skipped} elements were too large to be read" if self._skipped else ""

    def feed(self, data: bytes, take: Take) -> None:
        """Take the next bytes and hand on the objects that they complete."""
        if self.ended or self._is_one(data, take):
            return
        at = self._string_end(data, 0) if self._in_string else 0
        begin = self._read_elements(data, at, take)
        if self.ended:
            return  # what follows the bracket is no element
        if self._depth:
            self._hold(data[begin:])
        elif b"]" in data[begin:]:
            self.ended = True

    def finish(self, _: Take) -> Completeness:
        """Say whether the array was closed; an element without its end is none."""
        self._held.clear()
        return Completeness.WHOLE if self.ended else Completeness.CUT

    def _is_one(self, data: bytes, take: Take) -> bool:
        """Hand on the one element that these bytes are, as Google's chunks mostly are."""
        text = data.strip(_BEFORE_ELEMENT)
        is_like_one = text.startswith(b"{") and text.endswith(b"}")
        is_long = len(text) > LONG_BYTES or len(text) > self._limit
        if self._depth or self._in_string or not is_like_one or is_long:
            return False
        value = parse_json(text)
        if isinstance(value, dict):
            take(value, b"")
        return value is not UNREADABLE

    def _read_elements(self, data: bytes, at: int, take: Take) -> int:
        """Hand on what is whole; return where what is not begins."""
        begin = 0
        depth = self._depth
        for match in _TO_MARK.finditer(data, at):
            mark = match[1]
            if mark == b"{":
                depth += 1
                if depth == 1:
                    begin = self._begin(data, begin, match.end() - 1)
                    if self.ended:
                        break
            elif mark == b"}":
                depth -= 1
                if depth == 0:
                    self._end(data[begin : match.end()], take)
                    begin = match.end()
                depth = max(depth, 0)
            else:
                if mark:
                    self._string_end(data, match.end())
                break
        self._depth = depth
        return begin

    def _begin(self, data: bytes, gap: int, at: int) -> int:
        """Begin an element at a place, unless the array ended in the gap before it."""
        self.ended = data.find(b"]", gap, at) >= 0
        return at

    def _end(self, last: bytes, take: Take) -> None:
        self._hold(last)
        value = None if self._skipping or not self._held else parse_json(self._held)
        self._held.clear()
        self._skimmer = None
        self._skipping = False
        if isinstance(value, dict):
            take(value, b"")

    def _hold(self, piece: bytes) -> None:
        if self._skipping:
            return
        self._held += piece if self._skimmer is None else self._skimmer.feed(piece)
        if len(self._held) > LONG_BYTES and self._skimmer is None:
            self._skimmer = Skimmer()
            self._held = bytearray(self._skimmer.feed(bytes(self._held)))
        if len(self._held) > self._limit:
            self._held.clear()
            self._skipping = True
            self._skipped += 1

    def _string_end(self, data: bytes, at: int) -> int:
        """Go on inside a string; return the place behind it, or the end of the data."""
        if self._escaped and at < len(data):
            at += 1
            self._escaped = False
        inside = _IN_STRING.match(data, at)
        end = inside.end() if inside is not None else at
        is_cut_escape = end < len(data) and data[end] == _BACKSLASH
        self._in_string = end == len(data) or is_cut_escape
        self._escaped = self._escaped or is_cut_escape
        return min(end + 1, len(data))
