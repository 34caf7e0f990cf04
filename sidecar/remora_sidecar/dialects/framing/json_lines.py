"""Lines of JSON (NDJSON): bytes of a stream in, objects out, wherever the bytes were cut.

Cohere's first API and Ollama stream so. What the objects mean it does not know, nor which of
them is the last: unlike `[DONE]` in events, that stands inside one.
"""

from typing import Final

from remora_sidecar.dialects.base import HELD_EVENT_LIMIT_BYTES, Completeness
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.framing.take import Take

MEDIA_TYPES: Final = (
    "application/x-ndjson",
    "application/ndjson",
    "application/stream+json",
    "application/jsonl",
    "application/x-jsonlines",
)
"""What such streams are called."""


class JsonLines:
    """A stream of lines, each with one JSON object; only an unfinished line is held."""

    ended = False

    def __init__(self, limit: int = HELD_EVENT_LIMIT_BYTES) -> None:
        """Hold at most `limit` bytes of a line; a larger one is not read."""
        self._limit = limit
        self._held = bytearray()
        self._skipping = False
        self._skipped = 0

    @property
    def problem(self) -> str:
        """What could not be read, if anything."""
        return f"{self._skipped} lines were too large to be read" if self._skipped else ""

    def feed(self, data: bytes, take: Take) -> None:
        """Take the next bytes and hand on the objects that they complete."""
        first, *others = data.split(b"\n")
        self._hold(first)
        for line in others:
            self._end_line(take)
            self._hold(line)

    def finish(self, take: Take) -> Completeness:
        """Hand on what a line without its end said; whose end it was is for the caller to say."""
        self._end_line(take)
        return Completeness.UNKNOWN

    def _hold(self, piece: bytes) -> None:
        if self._skipping:
            return
        self._held += piece
        if len(self._held) > self._limit:
            self._held.clear()
            self._skipping = True
            self._skipped += 1

    def _end_line(self, take: Take) -> None:
        line = bytes(self._held)
        self._held.clear()
        self._skipping = False
        value = parse_json(line) if line else None
        if isinstance(value, dict):
            take(value, b"")
