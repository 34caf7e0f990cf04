"""JSON values without what is to be taken out of their strings, wherever it stands in them.

An answer that streams says its text in pieces, so that a value may be cut over several events.
All pieces that continue each other lie in one *lane*: they have the same path in their events,
and the same type and numbers beside them. What is found in the joined text of a lane is taken
out of it as a whole: the first piece then holds all of the lane's text, the others none.
"""

import json
from collections.abc import Container, Sequence
from typing import Any, Final, NamedTuple

import orjson

from remora_sidecar.dialects.framing.json_values import UNREADABLE, parse_json
from remora_sidecar.policy.redaction.accounts import is_card
from remora_sidecar.policy.redaction.marks import Marks, left_out
from remora_sidecar.policy.redaction.provider_keys import is_secret_name
from remora_sidecar.policy.redaction.text import SHORTEST_CHARACTERS, TextRules

_MOST_DEPTH: Final = 64
_MOST_NESTED: Final = 3
_FEWEST_CARD_DIGITS: Final = 12

_SHORTEST_OF_LETTERS: Final = 15
"""Letters and digits: the number of a Norwegian bank account. Names of members are shorter."""

_TELLS_LANES: Final = (
    "type", "index", "output_index", "content_index", "summary_index", "contentBlockIndex",
)  # fmt: skip
"""Members of an event that say which of several texts its piece continues."""

_WHOLE: Final = frozenset(
    {
        "id", "model", "object", "type", "role", "system_fingerprint", "item_id", "response_id",
        "call_id", "event_id", "obfuscation", "service_tier", "finish_reason", "stop_reason",
        "modelVersion", "responseId", "created_at", "status", "p",
    }
)  # fmt: skip
"""Members that each event repeats or makes up anew: never pieces of a text."""

_TOKEN_BY_TOKEN: Final = frozenset({"logprobs", "logprobsResult"})
"""Members that say the text once more, cut into tokens: not kept."""

_UNKEPT: Final = left_out("token by token, or nested too deep").decode()

_WALKED: Final = frozenset({str, int, dict, list})
"""Types of values in which there may be something to find."""

_Holder = Any  # a dict or a list
_Lane = tuple[object, ...]
_Key = tuple[_Lane | str, str]
"""Where a text stands, or the text itself if it is no piece of a longer one; and its name."""


_MARKER: Final = "\x1e"
_BETWEEN: Final = f"\n{_MARKER}\n"
"""Stands between texts that are searched together; no value reaches over it."""


class _Piece(NamedTuple):
    holder: _Holder
    place: Any
    text: str


class Document:
    """One JSON value, or the events of one stream, while things are taken out of it.

    Attributes:
        changed: Whether anything was taken out.
    """

    def __init__(self, rules: TextRules, marks: Marks, *, nested: int = 0) -> None:
        """Take what is taken out, and the number of documents that this one stands in."""
        self.changed = False
        self._rules = rules
        self._marks = marks
        self._nested = nested
        self._lanes: dict[_Key, list[_Piece]] = {}
        self._names = _Names(rules, marks)

    def redact(self, events: list[Any], *, cut: bool = False) -> None:
        """Take out of the events, in place, what is found in them.

        Args:
            events: JSON values of one stream in their order, or a single one.
            cut: More events followed, so that a text may go on.
        """
        for number, event in enumerate(events):
            if type(event) in _WALKED:
                self._walk(events, number, _told(event), "", 0)
        texts = {key: _texts(key, pieces, cut=cut) for key, pieces in self._lanes.items()}
        for key, text in self._redacted(texts).items():
            self._write_back(self._lanes[key], text, is_lane=type(key[0]) is not str)

    def _walk(self, holder: _Holder, place: Any, lane: _Lane, name: str, depth: int) -> None:
        value = holder[place]
        kind = type(value)
        if kind is str:
            key = (value, name) if name in _WHOLE else (lane, name)
            self._lanes.setdefault(key, []).append(_Piece(holder, place, value))
        elif kind is int:
            if value >= 10**_FEWEST_CARD_DIGITS:
                self._redact_number(holder, place, value)
        elif depth >= _MOST_DEPTH or (value and name in _TOKEN_BY_TOKEN):
            self._put(holder, place, _UNKEPT)
        elif kind is dict:
            self._walk_members(value, lane, depth + 1)
        else:
            for at, item in enumerate(value):
                if type(item) in _WALKED:
                    self._walk(value, at, (*lane, _position(at, item)), name, depth + 1)

    def _walk_members(self, members: dict[str, Any], lane: _Lane, depth: int) -> None:
        self._rename(members)
        for name, value in members.items():
            if type(value) in _WALKED:
                self._walk(members, name, (*lane, name), name, depth)

    def _put(self, holder: _Holder, place: Any, value: object) -> None:
        holder[place] = value
        self.changed = True

    def _rename(self, members: dict[str, Any]) -> None:
        names = self._names
        if all(names[name] == name for name in members):
            return
        values = list(members.values())
        renamed = [names[name] for name in members]
        members.clear()
        members.update(zip(renamed, values, strict=True))
        self.changed = True

    def _redact_number(self, holder: _Holder, place: Any, value: int) -> None:
        digits = str(value)
        if is_card(digits.encode()):
            redacted = self._rules.redacted(digits, self._marks)
            if redacted != digits:
                self._put(holder, place, redacted)

    def _redacted(self, lanes: dict[_Key, list[str]]) -> dict[_Key, str]:
        """Redact many texts, of which all are looked over at once and few looked into."""
        plain = {}
        for key, texts in lanes.items():
            text = texts[0] if len(texts) == 1 else "".join(texts)
            lanes[key] = texts if (inner := self._nested_redacted(text)) is text else [inner]
            plain[key] = (f"{key[1]}=" if is_secret_name(key[1]) else "") + "".join(lanes[key])
        suspect = self._suspects(plain, lanes)
        return {
            key: self._looked_into(key, texts) if key in suspect else "".join(texts)
            for key, texts in lanes.items()
        }

    def _nested_redacted(self, text: str) -> str:
        """Redact a string that is a document itself, as the arguments of tools are."""
        if self._nested >= _MOST_NESTED or not _is_like_json(text):
            return text
        holder = [parse_json(text.encode("utf-8", "replace"))]
        if holder[0] is UNREADABLE:
            return text
        inner = Document(self._rules, self._marks, nested=self._nested + 1)
        inner.redact(holder)
        # What stands twice under one name, and escaped, is not seen by either look.
        is_other = inner.changed or "\\u00" in text
        return dumped(holder[0]).decode() if is_other else text

    def _suspects(self, plain: dict[_Key, str], lanes: dict[_Key, list[str]]) -> Container[_Key]:
        """Tell in which texts, or pieces of them, there is something to find."""
        looked_at = [*plain.items()]
        for key, texts in lanes.items():
            if len(texts) > 1:
                looked_at += ((key, text) for text in texts if len(text) >= SHORTEST_CHARACTERS)
        before = [text.replace(_MARKER, " ") for _, text in looked_at]
        after = self._rules.looked_over(_BETWEEN.join(before), self._marks).split(_BETWEEN)
        if self._rules.has_patterns or len(after) != len(before):
            return lanes
        places = zip(looked_at, before, after, strict=True)
        return {key for (key, _), old, new in places if old != new}

    def _looked_into(self, key: _Key, texts: Sequence[str]) -> str:
        head = f"{key[1]}=" if is_secret_name(key[1]) else ""
        if not head:
            return self._rules.joined(texts, self._marks)
        return self._rules.redacted(head + "".join(texts), self._marks).removeprefix(head)

    def _write_back(self, pieces: Sequence[_Piece], text: str, *, is_lane: bool) -> None:
        """Put a text in the place of its pieces.

        Pieces in front of the first change stay as they are, the next one takes the rest.
        """
        at = 0
        for number, (holder, place, piece) in enumerate(pieces):
            if not is_lane:
                at = 0
            rest = text[at:]
            is_last = not is_lane or number == len(pieces) - 1
            if rest == piece or (not is_last and rest.startswith(piece)):
                at += len(piece)
                continue
            self._put(holder, place, rest)
            at = len(text)


class _Names(dict[str, str]):
    """Redacted names of members, of which a document has few that come often."""

    def __init__(self, rules: TextRules, marks: Marks) -> None:
        super().__init__()
        self._rules = rules
        self._marks = marks

    def __missing__(self, name: str) -> str:
        is_word = len(name) < _SHORTEST_OF_LETTERS and name.isidentifier()
        self[name] = redacted = name if is_word else self._rules.redacted(name, self._marks)
        return redacted


def _texts(key: _Key, pieces: Sequence[_Piece], *, cut: bool) -> list[str]:
    if type(key[0]) is str or len(pieces) == 1:
        return [pieces[0].text]
    texts = [piece.text for piece in pieces]
    while cut and texts:
        # The last word may be the first half of what is to be taken out.
        texts[-1] = without_last_word(texts[-1])
        if texts[-1]:
            break
        texts.pop()
    return texts


def _told(event: object) -> _Lane:
    """Begin the lane of an event's texts with what tells them from others; never empty."""
    if type(event) is not dict:
        return (None,)
    told = tuple(map(event.get, _TELLS_LANES))
    return (None, *(value for value in told if type(value) is int or type(value) is str))


def _position(at: int, item: object) -> object:
    index = item.get("index") if type(item) is dict else None
    return index if type(index) is int else at


def _is_like_json(text: str) -> bool:
    if text[-1:].isalnum():  # nearly always
        return False
    bare = text.strip()
    return len(bare) > 2 and (bare[0], bare[-1]) in (("{", "}"), ("[", "]"), ('"', '"'))


def without_last_word(text: str) -> str:
    """Cut a text that goes on elsewhere back to its last white space."""
    end = len(text)
    while end and not text[end - 1].isspace():
        end -= 1
    return text[:end]


def dumped(value: object) -> bytes:
    """Write a value as JSON."""
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):  # what other writers took: huge numbers, lone surrogates
        return json.dumps(value, separators=(",", ":")).encode()
