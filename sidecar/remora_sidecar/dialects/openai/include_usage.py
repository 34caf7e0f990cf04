"""`stream_options.include_usage` asked for by us, and its traces taken out of the answer.

A Chat Completions stream states usage only if it is asked to. The request gets the option and
keeps every other byte; from the answer go the chunk that states nothing but usage and the
``"usage":null`` of the others (OpenAI's API reference, "stream_options").
"""

import re
from collections.abc import Iterator

from remora_sidecar.dialects.framing.json_members import find, with_member, without_member
from remora_sidecar.dialects.framing.json_values import parse_json

NAMED = b"stream_options"
"""What a refusal of the option names."""

HELD_BYTES = 256 * 1024
"""A longer event is no chunk of usage: it passes as it comes."""

_OPTION = b"stream_options"
_EVENT_END = re.compile(rb"\r?\n\r?\n|\r\r(?!\n)")
_DATA = re.compile(rb"^data: ?([^\r\n]*)", re.MULTILINE)
_TRUE = b"true"

_NULL = b',"usage":null'
_TO_THE_END = re.compile(rb'(?:,"[^"\\]*":"[^"\\]*")*}\n\n')
"""What follows in OpenAI's chunks; the brace closes the chunk, so the member is its own."""


def asking_for_usage(body: bytes) -> bytes | None:
    """Add the option to a request.

    Args:
        body: A JSON object that asks for a stream.

    Returns:
        The body to send; None if it can't be asked.
    """
    request = parse_json(body)
    if not isinstance(request, dict) or not request:
        return None
    options = request.get("stream_options")
    if isinstance(options, dict):
        member = find(body, _OPTION)
        if member is None:
            return None
        changed = with_member(body[member.value_start : member.end], b"include_usage", _TRUE)
        return body[: member.value_start] + changed + body[member.end :]
    if options is not None:
        return None
    return with_member(body, _OPTION, b'{"include_usage":true}')


class UsageRemover:
    """Takes the traces out of a stream; every other byte passes, whole events at a time."""

    def __init__(self) -> None:
        """Stand before the first byte."""
        self._held = b""
        self._passing = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that may go."""
        data = self._held + data
        kept = []
        start = 0
        for end in _event_ends(data):
            event = data[start:end]
            kept.append(event if self._passing else _cleaned(event))
            self._passing = False
            start = end
        self._held = data[start:]
        if self._passing or len(self._held) > HELD_BYTES:
            # The last three bytes may belong to the event's end.
            self._passing = True
            kept.append(self._held[:-3])
            self._held = self._held[-3:]
        return b"".join(kept)

    def flush(self) -> bytes:
        """Return what the end of the stream left unterminated."""
        held, self._held = self._held, b""
        return held if self._passing else _cleaned(held)


def _event_ends(data: bytes) -> Iterator[int]:
    if b"\r" in data:
        yield from (end.end() for end in _EVENT_END.finditer(data))
        return
    end = 0
    while (at := data.find(b"\n\n", end)) >= 0:
        end = at + 2
        yield end


def _cleaned(event: bytes) -> bytes:
    if b'"usage"' not in event:
        return event
    data = _DATA.search(event)
    chunk = parse_json(data[1]) if data is not None else None
    if data is None or not isinstance(chunk, dict) or "usage" not in chunk:
        return event
    at = event.rfind(_NULL)
    if (
        chunk["usage"] is None
        and at > 0
        and (last := _TO_THE_END.fullmatch(event, at + len(_NULL)))
    ):
        return event[:at] + last[0]
    if chunk["usage"] and not chunk.get("choices"):
        return b""
    member = find(data[1], b"usage")
    if chunk["usage"] is not None or member is None:
        return event
    return event[: data.start(1)] + without_member(data[1], member) + event[data.end(1) :]
