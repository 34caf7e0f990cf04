"""Where the members of a JSON object stand in its bytes, so that one can be changed alone.

Rule 1 of the design: what a rule does not name stays byte for byte, which parsing and
writing anew would not give. Takes text that a parser has already taken as an object.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from remora_sidecar.dialects.framing.json_values import parse_json

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]', re.DOTALL)
_SPACE = b" \t\r\n"

_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


def spells_a_letter(text: bytes) -> bool:
    """Tell whether a letter of ASCII is spelled as nobody needs to: keys may be so, too."""
    return b"\\u00" in text and _ESCAPED_LETTER.search(text) is not None


class Member(NamedTuple):
    """Offsets of one member; the value's do not include the space around it."""

    key: bytes
    start: int
    value_start: int
    end: int


def members(text: bytes) -> Iterator[Member]:
    """Yield the members of the outermost object; of a broken text as far as it goes."""
    depth = 0
    key_start = key_end = colon_end = -1
    for token in _TOKEN.finditer(text):
        kind = text[token.start()]
        if kind in b"{[":
            depth += 1
        elif depth == 1 and kind in b",}" and colon_end >= 0:
            yield _member(text, key_start, key_end, colon_end, token.start())
            key_start = colon_end = -1
        elif depth == 1 and kind == 0x3A and key_start >= 0 and colon_end < 0:  # a colon
            colon_end = token.end()
        elif depth == 1 and kind == 0x22 and key_start < 0:  # a quotation mark
            key_start, key_end = token.span()
        if kind in b"}]":
            depth -= 1
            if depth == 0:
                return


def _member(text: bytes, key_start: int, key_end: int, colon_end: int, end: int) -> Member:
    value = text[colon_end:end]
    value_start = colon_end + len(value) - len(value.lstrip(_SPACE))
    return Member(
        key=text[key_start + 1 : key_end - 1],
        start=key_start,
        value_start=value_start,
        end=max(value_start, colon_end + len(value.rstrip(_SPACE))),
    )


def find(text: bytes, key: bytes) -> Member | None:
    """Find a member by its key as written; of several the last, as parsers do."""
    found = None
    for member in members(text):
        if member.key == key:
            found = member
    return found


def with_member(text: bytes, key: bytes, value: bytes) -> bytes:
    """Set a member's value, or append the member; all other bytes stay.

    It is set wherever it stands, however it is spelled: parsers differ in which of several counts.
    """
    # Most texts tell at once that they have no such member, and need not be gone through.
    may_have_it = b'"' + key + b'"' in text or spells_a_letter(text)
    every = members(text) if may_have_it else ()
    found = [member for member in every if spells(member.key, key)]
    for member in reversed(found):
        text = text[: member.value_start] + value + text[member.end :]
    if found:
        return text
    end = text.rindex(b"}")
    is_empty = text[:end].rstrip(_SPACE).endswith(b"{")
    return text[:end] + (b"" if is_empty else b",") + b'"' + key + b'":' + value + text[end:]


def spells(written: bytes, key: bytes) -> bool:
    """Tell whether a member's key as written is this one."""
    if b"\\" not in written:
        return written == key
    return bool(parse_json(b'"' + written + b'"') == key.decode())


def without_member(text: bytes, member: Member) -> bytes:
    """Take a member out, with one of the commas beside it."""
    before = text[: member.start].rstrip(_SPACE)
    if before.endswith(b","):
        return before[:-1] + text[member.end :]
    after = text[member.end :]
    rest = after.lstrip(_SPACE)
    if rest.startswith(b","):
        return text[: member.start] + rest[1:].lstrip(_SPACE)
    return text[: member.start] + after
