"""Where the records of a TLS connection end; what is in them it does not know. Pure."""

_HEAD_BYTES = 5
"""Type, version and length, which are never encrypted (RFC 8446 §5.1)."""


class TlsRecords:
    """Follows one direction of a connection from its first byte, wherever it is cut."""

    def __init__(self) -> None:
        """Stand before the first record."""
        self._head = b""
        self._left = 0

    def ended_in(self, data: bytes) -> int:
        """Count the records whose last byte is in these bytes, which follow those before."""
        ended, at, size = 0, 0, len(data)
        while at < size:
            if not self._left:
                part = data[at : at + _HEAD_BYTES - len(self._head)]
                at += len(part)
                self._head += part
                if len(self._head) < _HEAD_BYTES:
                    break
                self._left = int.from_bytes(self._head[3:])
                self._head = b""
            step = min(self._left, size - at)
            at += step
            self._left -= step
            ended += not self._left
        return ended
