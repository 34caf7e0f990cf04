"""Bodies of calls as readers of JSON want them: without the encoding of the wire. Pure.

Captured bodies are the bytes that passed. What encoding they have is seen by their first bytes.
"""

from typing import Final

from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.dialects.framing.decoding import decode_body

_MAX_DECODED_BYTES: Final = 64 * 1024 * 1024
_ENCODINGS: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_PLAIN: Final = b"{[ \t\r\nde"
"""How JSON and event streams begin."""


def plain(content: bytes) -> bytes | None:
    """Undo the encoding that a body shows; None if it can't be undone. Brotli shows none."""
    if content[:1] in _PLAIN:
        return content
    for magic, encoding in _ENCODINGS:
        if content.startswith(magic):
            return _decoded(encoding, content)
    return _decoded("br", content)


def make_bodies_plain(record: pb.CallRecord) -> None:
    """Undo the encodings of a record's whole bodies, in place; what can't be undone stays."""
    for name in ("request_body", "response_body"):
        if record.HasField(name) and not (body := getattr(record, name)).truncated:
            decoded = plain(body.content)
            if decoded is not None and decoded is not body.content:
                body.content = decoded


def _decoded(encoding: str, content: bytes) -> bytes | None:
    decoded, problem = decode_body(encoding, content, _MAX_DECODED_BYTES)
    return None if problem else decoded
