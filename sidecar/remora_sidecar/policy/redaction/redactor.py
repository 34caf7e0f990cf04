"""Bodies as they were on the wire, made fit to be kept: decoded, redacted, bounded.

Nothing here raises, whatever the bytes; what can't be read is not kept.
"""

import re
from dataclasses import replace
from typing import Any, Final

from remora.policy.limits import Redaction
from remora.records import Body
from remora_sidecar.dialects.framing import aws_event_stream, json_lines
from remora_sidecar.dialects.framing.decoding import decoder_for
from remora_sidecar.dialects.framing.json_values import UNREADABLE, parse_json
from remora_sidecar.policy.redaction import streams
from remora_sidecar.policy.redaction.document import Document, dumped, without_last_word
from remora_sidecar.policy.redaction.marks import Marks, left_out
from remora_sidecar.policy.redaction.text import TextRules, rules_for_bodies

_PLAIN_TYPE: Final = "text/plain; charset=utf-8"

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}")
_ESCAPED_ASCII: Final = re.compile(r"\\+u00([2-7][0-9A-Fa-f])")
_ESCAPED_SLASH: Final = re.compile(r"\\+/")


class RedactionRules:
    """What policy says of redaction, compiled."""

    def __init__(self, redaction: Redaction) -> None:
        """Compile it; raises `re2.error` for a pattern that can't be read."""
        self.text = rules_for_bodies(redaction)
        self.digests = redaction.mode == "digest"
        self.body_bytes = redaction.max_body.bytes


class Redactor:
    """Redacts what is kept of calls."""

    def __init__(self, rules: RedactionRules, salt: bytes) -> None:
        """Take compiled rules, and what keys the digests."""
        self._text: TextRules = rules.text
        self._marks = Marks(salt, digests=rules.digests)
        self._limit = rules.body_bytes

    def text(self, text: str) -> str:
        """Redact a text that is no body: the message of an error, a note."""
        return self._text.redacted(text, self._marks)

    def redacted(self, body: Body, content_encoding: str | None = None) -> Body:
        """Make of a body as it was captured on the wire one that may be kept.

        Args:
            body: Its first bytes, as sent.
            content_encoding: The header's value, if there was one.

        Returns:
            The body decoded and redacted; ``truncated`` if it is not whole.
        """
        data, cut = self._decoded(body, content_encoding)
        form = body.content_type.partition(";")[0].strip().lower()
        if form == aws_event_stream.MEDIA_TYPE:
            content = self._stream(streams.aws_messages(data), cut=cut)
            return self._kept(replace(body, content_type=streams.LINES_TYPE), content, cut=cut)
        text = _whole_letters(data) if cut else data
        if not _is_text(text):
            size, name = body.original_bytes, _TYPE.fullmatch(form)
            content = left_out(f"{size} bytes of {name[0] if name else 'something unreadable'}")
            return replace(body, content=content, truncated=True, content_type=_PLAIN_TYPE)
        return self._kept(body, self._of_form(text, form, cut=cut), cut=cut)

    def _decoded(self, body: Body, content_encoding: str | None) -> tuple[bytes, bool]:
        """Undo the content-encoding as far as the bytes go; also tell whether that is not all."""
        limit = self._limit
        decoder = decoder_for(content_encoding)
        held = bytearray()
        for piece in decoder.feed(body.content):
            held += piece
            if len(held) > limit:
                break
        is_cut = body.truncated or len(held) > limit or bool(decoder.problem)
        return bytes(held[:limit]), is_cut

    def _of_form(self, data: bytes, form: str, *, cut: bool) -> bytes:
        if form == "text/event-stream" or streams.is_sse(data[:64]):
            return self._stream(streams.sse(data, cut=cut), cut=cut)
        if data.lstrip()[:1] in (b"{", b"[", b'"'):
            return self._json(data, form, cut=cut)
        return self._plain(data, cut=cut)

    def _json(self, data: bytes, form: str, *, cut: bool) -> bytes:
        value = parse_json(data)
        if value is not UNREADABLE:
            elements = streams.elements(value)
            if elements is not None:
                return self._stream(streams.array_of(elements), cut=False)
            values = [value]
            self._redact(values, cut=False)
            return dumped(values[0])
        if form in json_lines.MEDIA_TYPES or streams.is_lines(data):
            return self._stream(streams.json_lines(data, cut=cut), cut=cut)
        if data.lstrip()[:1] == b"[" and (stream := streams.json_array(data)).items:
            return self._stream(stream, cut=True)
        return self._plain(data, cut=cut)

    def _stream(self, stream: streams.Stream, *, cut: bool) -> bytes:
        self._redact(stream.values, cut=cut)
        return stream.written()

    def _redact(self, values: list[Any], *, cut: bool) -> None:
        Document(self._text, self._marks).redact(values, cut=cut)

    def _plain(self, data: bytes, *, cut: bool) -> bytes:
        """Redact what has no form, or only half of one: as text, its escapes undone."""
        text = data.decode("utf-8", "replace")
        text = _ESCAPED_ASCII.sub(lambda match: chr(int(match[1], 16)), text)
        text = _ESCAPED_SLASH.sub("/", text)
        if cut:
            text = without_last_word(text)
        return self.text(text).encode()

    def _kept(self, body: Body, content: bytes, *, cut: bool) -> Body:
        bounded = _whole_letters(content[: self._limit])
        return replace(body, content=bounded, truncated=cut or len(bounded) < len(content))


def _whole_letters(data: bytes) -> bytes:
    """Drop the first bytes of a letter that was cut at the end."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] >= 0xC0:
            return data[:-back] if back < _letter_bytes(data[-back]) else data
        if data[-back] < 0x80:
            break
    return data


def _letter_bytes(first: int) -> int:
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def _is_text(data: bytes) -> bool:
    if _CONTROL.search(data) is not None:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
