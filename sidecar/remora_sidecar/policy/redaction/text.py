"""Text without what is to be taken out of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

import re2

from remora.policy.limits import Redaction
from remora_sidecar.policy.redaction.accounts import CARDS, IBANS
from remora_sidecar.policy.redaction.addresses import IP_ADDRESSES
from remora_sidecar.policy.redaction.cloud_keys import CLOUD_KEYS, PRIVATE_KEYS
from remora_sidecar.policy.redaction.marks import BULK, MARK, Marks
from remora_sidecar.policy.redaction.people import EMAILS, PHONES
from remora_sidecar.policy.redaction.provider_keys import BEARER_TOKENS, PROVIDER_KEYS
from remora_sidecar.policy.redaction.spans import Detector, Find, Span, compiled, finder

KEYS: Final[Mapping[str, Sequence[Detector]]] = {
    "private-key": PRIVATE_KEYS,
    "provider-key": PROVIDER_KEYS,
    "cloud-key": CLOUD_KEYS,
    "bearer-token": BEARER_TOKENS,
}
"""What is a secret in any text."""

DETECTORS: Final[Mapping[str, Sequence[Detector]]] = {
    **KEYS,
    "credit-card": CARDS,
    "iban": IBANS,
    "email": EMAILS,
    "phone": PHONES,
    "ip-address": IP_ADDRESSES,
}
"""By the names that ``redaction.skip`` takes."""

SHORTEST_CHARACTERS: Final = 6
"""Nothing shorter is found: an address such as a@b.co."""

_BULK_CHARACTERS: Final = 256
_FEWEST_PASSES: Final = 4
_MOST_PASSES: Final = 64
_MOST_REREAD_CHARACTERS: Final = 256 * 1024
"""A short text is looked at again until nothing more is found, a long one a few times only."""
_MOST_TRIGGER_BYTES: Final = 32 * 1024 * 1024


def _is_encoded(text: bytes, start: int, end: int) -> bool:
    """Tell encoded bytes from rulers and other runs of few characters."""
    return len(set(text[start : min(end, start + _BULK_CHARACTERS)])) > 10


_BULK: Final = Detector(
    r"[A-Za-z0-9+/_-]{16}",
    finder(rf"([A-Za-z0-9+/_-]{{{_BULK_CHARACTERS},}}={{0,2}})", _is_encoded),
)


class TextRules:
    """What is taken out of a text; compiled once and used for any number of them."""

    def __init__(
        self,
        detectors: Mapping[str, Sequence[Detector]],
        patterns: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Take detectors by kind, and names and regular expressions in RE2's syntax.

        Raises:
            re2.error: A regular expression can't be read.
        """
        self._finds: list[tuple[str, Find]] = []
        self._triggers = re2.Set.SearchSet(_with_room())
        for kind, several in detectors.items():
            for trigger, find in several:
                self._triggers.Add(trigger)
                self._finds.append((kind, find))
        self._triggers.Compile()
        self._own = tuple((name, finder(f"({regex})")) for name, regex in _checked(patterns))
        for _ in _found((*self._finds, *self._own), b""):
            pass  # else the first text would wait for what is compiled on first use

    @property
    def has_patterns(self) -> bool:
        """Whether policy has patterns of its own, which see each text alone."""
        return bool(self._own)

    def redacted(self, text: str, marks: Marks) -> str:
        """Return the text with marks in the place of what was found."""
        return self.joined((text,), marks)

    def joined(self, pieces: Sequence[str], marks: Marks) -> str:
        """Return a text that came in pieces, without what is in all of it or in a piece."""
        before, text = "".join(pieces), self._once(pieces, marks, self._own)
        for _ in range(_passes(text)):
            if text == before:
                break
            # A mark may part what stood together, so that the rest is found only now.
            before, text = text, self._once((text,), marks, self._own)
        return text

    def looked_over(self, text: str, marks: Marks) -> str:
        """Redact a text once, without policy's own patterns: to see where anything is."""
        return self._once((text,), marks, ())

    def _once(self, pieces: Sequence[str], marks: Marks, own: Iterable[tuple[str, Find]]) -> str:
        texts = [piece.encode("utf-8", "replace") for piece in pieces]
        data = b"".join(texts)
        spans = self._spans(data, own)
        if len(texts) > 1:
            ends = accumulate(map(len, texts))
            for text, end in zip(texts, ends, strict=True):
                spans += _shifted(self._spans(text, own), end - len(text))
        merged = _merged(spans, data)
        return (_replaced(data, merged, marks) if merged else data).decode()

    def _spans(self, data: bytes, own: Iterable[tuple[str, Find]]) -> list[Span]:
        return list(_found((*self._triggered(data), *own), data))

    def _triggered(self, data: bytes) -> Iterable[tuple[str, Find]]:
        if len(data) < SHORTEST_CHARACTERS:
            return ()
        return [self._finds[number] for number in sorted(self._triggers.Match(data) or ())]


def _with_room() -> re2.Options:
    """Leave RE2 room: a set that ran out of memory would find nothing, and not say so."""
    options = re2.Options()
    options.max_mem = _MOST_TRIGGER_BYTES
    return options


def _passes(text: str) -> int:
    affordable = _MOST_REREAD_CHARACTERS // max(1, len(text))
    return max(_FEWEST_PASSES, min(affordable, _MOST_PASSES))


def _checked(patterns: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, regex in patterns:
        compiled(regex)
        yield name, regex


def _found(finds: Iterable[tuple[str, Find]], data: bytes) -> Iterator[Span]:
    for kind, find in finds:
        for start, end in find(data):
            yield Span(start, end, kind)


def _shifted(spans: Iterable[Span], by: int) -> list[Span]:
    return [Span(start + by, end + by, kind) for start, end, kind in spans]


def _merged(found: Sequence[Span], data: bytes) -> Sequence[Span]:
    """Join spans that overlap, so that no part of one is left; what lies in a mark stays."""
    if not found:
        return ()
    spans = [*found, *(Span(*match.span(), "") for match in MARK.finditer(data))]
    spans.sort(key=lambda span: (span.start, span.kind != ""))
    merged: list[Span] = []
    for span in spans:
        if not merged or span.start >= merged[-1].end:
            merged.append(span)
        elif merged[-1].kind or span.end > merged[-1].end:
            merged[-1] = _joined(merged[-1], span)
    return [span for span in merged if span.kind]


def _joined(first: Span, second: Span) -> Span:
    """Join two spans; the longer gives its kind, of equals the first."""
    first_is_longer = first.end - first.start >= second.end - second.start
    kind = first.kind if first.kind and (first_is_longer or not second.kind) else second.kind
    return Span(first.start, max(first.end, second.end), kind)


def _replaced(data: bytes, spans: Sequence[Span], marks: Marks) -> bytes:
    pieces: list[bytes] = []
    at = 0
    for start, end, kind in spans:
        pieces += (data[at:start], marks.mark(kind, data[start:end]))
        at = end
    return b"".join((*pieces, data[at:]))


@lru_cache(maxsize=1)
def _keys() -> TextRules:
    return TextRules(KEYS)


def without_keys(text: str) -> str:
    """Return the text without keys and tokens, for what is kept whatever policy captures."""
    return _keys().redacted(text, Marks()) if text else text


def rules_for_bodies(redaction: Redaction) -> TextRules:
    """Compile what policy says of prompts and answers.

    Raises:
        re2.error: A regular expression can't be read.
    """
    detectors = {kind: each for kind, each in DETECTORS.items() if kind not in redaction.skip}
    detectors[BULK] = (_BULK,)
    return TextRules(detectors, ((each.name, each.regex) for each in redaction.patterns))
