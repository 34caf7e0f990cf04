"""A streamed answer on its way: what may leave now, and what waits for the block at its end. Pure.

Events leave as they become whole, byte by byte as they came. From the one that says why the answer
ended on they wait for the end of the stream: what the call cost is known then, and goes into the
last of them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.openai_api.block import Block, with_block

_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_DATA: Final = re.compile(rb"^data:[ ]?(.*?)(?:\r?$)", re.MULTILINE)
MAX_EVENT_BYTES: Final = 1024 * 1024
"""A larger one leaves as it comes."""


class Event(NamedTuple):
    """One event, or what is no whole one.

    Attributes:
        raw: Its bytes with the empty line behind it.
        fields: Its data as a JSON object; None if it has none.
    """

    raw: bytes
    fields: Mapping[str, Any] | None

    @property
    def choices(self) -> list[Mapping[str, Any]]:
        """The choices that it is of."""
        found = self.fields.get("choices") if self.fields is not None else None
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    @property
    def has_output(self) -> bool:
        """Whether anything of an answer is in it."""
        return any(_says(one) for one in self.choices)

    @property
    def is_error(self) -> bool:
        """Whether it says that the provider failed."""
        return self.fields is not None and bool(self.fields.get("error"))

    @property
    def is_of_end(self) -> bool:
        """Whether it is one of those at the end: why it ended, the usage, the last word."""
        if self.fields is None:
            return b"[DONE]" in self.raw
        ended = any(one.get("finish_reason") is not None for one in self.choices)
        return ended or ("choices" in self.fields and not self.choices and not self.is_error)


def _says(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta")
    said = delta if isinstance(delta, dict) else choice
    return any(value for name, value in said.items() if name not in _NO_OUTPUT)


_NO_OUTPUT: Final = frozenset({"role", "index", "finish_reason", "logprobs", "delta"})


class Events:
    """Cuts a stream into events; what it gives, joined, is what it was given."""

    def __init__(self) -> None:
        """Start before the first byte."""
        self._held = b""
        self._looked = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that are whole now."""
        self._held += data
        start = 0
        for end in _END.finditer(self._held, max(0, self._looked - 3)):
            raw = self._held[start : end.end()]
            start = end.end()
            yield _event(raw)
        self._held = self._held[start:]
        self._looked = len(self._held)
        if self._looked > MAX_EVENT_BYTES:
            yield from self.rest()

    def rest(self) -> Iterator[Event]:
        """Yield what is left, which no empty line has ended."""
        held, self._held, self._looked = self._held, b"", 0
        if held:
            yield _event(held)


def _event(raw: bytes) -> Event:
    found = _DATA.findall(raw)
    fields = parse_json(found[0]) if len(found) == 1 else None
    return Event(raw, fields if isinstance(fields, dict) else None)


class StreamEnd:
    """Holds the end of a stream back."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: list[Event] = []

    def take(self, event: Event) -> bytes:
        """Give what may leave now that an event has come."""
        if event.is_of_end:
            self._held.append(event)
            return b""
        released = b"".join(one.raw for one in self._held) + event.raw
        self._held.clear()
        return released

    def finish(self, block: Block | None) -> bytes:
        """Give the rest, with what is said of the answer in the last event that can hold it."""
        last = max((at for at, one in enumerate(self._held) if one.fields), default=-1)
        pieces = [
            _with_block(one.raw, block) if at == last and block is not None else one.raw
            for at, one in enumerate(self._held)
        ]
        self._held.clear()
        return b"".join(pieces)


def _with_block(raw: bytes, block: Block) -> bytes:
    data = _DATA.search(raw)
    if data is None:
        return raw
    return raw[: data.start(1)] + with_block(data[1], block) + raw[data.end(1) :]
