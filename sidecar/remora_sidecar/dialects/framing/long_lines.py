"""Lines as they are, long ones without their bulk: pictures and sound in answers of any size.

Nearly all lines are short, in streams of events and in indented JSON, and pass at no cost. What
becomes of a line depends on the line alone, never on where its bytes were cut.
"""

from typing import Final

from remora_sidecar.dialects.framing.json_skim import Skimmer

LONG_BYTES: Final = 256 * 1024
"""No text that a model says at once is longer."""


class LongLines:
    """Takes the bulk out of long lines; holds an unfinished line up to that length."""

    def __init__(self, long_bytes: int = LONG_BYTES) -> None:
        """Stand before the first byte; a line of more bytes is long."""
        self._long_bytes = long_bytes
        self._held = bytearray()
        self._skimmer: Skimmer | None = None

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that are kept, up to the last line end."""
        is_between = not self._held and self._skimmer is None
        if is_between and data.endswith(b"\n") and len(data) <= self._long_bytes:
            return data
        *ended, last = data.split(b"\n")
        return b"".join([*map(self._end_line, ended), self._go_on(last)])

    def flush(self) -> bytes:
        """Return what the end of the bytes left open."""
        held = bytes(self._held) if self._skimmer is None else self._skimmer.flush()
        self._held.clear()
        return held

    def _end_line(self, last: bytes) -> bytes:
        kept = self._go_on(last)
        if self._skimmer is not None:
            kept += self._skimmer.flush()
            self._skimmer = None
            return kept + b"\n"
        line = bytes(self._held) + b"\n"
        self._held.clear()
        return line

    def _go_on(self, piece: bytes) -> bytes:
        if self._skimmer is None:
            self._held += piece
            if len(self._held) <= self._long_bytes:
                return b""
            self._skimmer = Skimmer()
            piece = bytes(self._held)
            self._held.clear()
        return self._skimmer.feed(piece)
