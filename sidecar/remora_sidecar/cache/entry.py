"""An answer as the cache keeps it, and its bytes on disk and in Redis. Pure.

The bytes check themselves, and bind the key that they were stored under: what is damaged, of
another version or under another key reads as nothing, never as an exception.

    magic "RMRC" | version | flags | length of the plain form | CRC-32 | plain form, perhaps zstd

The plain form is the length of a JSON object (32 bits, big-endian), that object, and the bytes
of all chunks. The CRC covers the key and everything after itself.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
import zstandard

from remora.records import Usage
from remora_sidecar.dialects.base import AnswerFacts, Completeness
from remora_sidecar.model.exchange import Headers

MAX_PLAIN_BYTES = 64 * 1024 * 1024
"""No answer unpacks to more; a larger one is not encoded, and a stated larger one not believed."""

COMPRESS_FROM_BYTES = 2048

_MAGIC = b"RMRC"
_VERSION = 1
_ZSTD = 1
_HEAD = struct.Struct(">4sBBII")
_LENGTH = struct.Struct(">I")
_MICRO = 1_000_000
_ENTRY_OVERHEAD_BYTES = 600
_CHUNK_OVERHEAD_BYTES = 110
_HEADER_OVERHEAD_BYTES = 130


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of the body as they came in one piece.

    Attributes:
        delay_s: Since the piece before, for the first since the request; kept to the microsecond.
        data: As sent to the agent.
    """

    delay_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class CachedFacts:
    """What the answer stated, so that a hit is recorded without reading it again.

    Attributes:
        model: The response model.
        finish_reason: The provider's own word.
        response_id: The answer's own id.
        tool_names: Names of the tools that it calls, in order.
        usage: What the original call used; a hit uses nothing.
        usage_problem: Why usage is missing, where the operation states it.
        service_tier: The tier that the original call was served at.
        cost_usd: Of the original call, a decimal; empty where its price is unknown.
        latency_s: Of the original call.
        ttft_s: Of the original call, to the first output.
    """

    model: str = ""
    finish_reason: str = ""
    response_id: str = ""
    tool_names: tuple[str, ...] = ()
    usage: Usage | None = None
    usage_problem: str = ""
    service_tier: str = ""
    cost_usd: str = ""
    latency_s: float = 0.0
    ttft_s: float | None = None


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """One whole, successful answer.

    Attributes:
        status: As the provider sent it.
        reason: The reason phrase of the status line.
        headers: End-to-end fields as sent to the agent, without ``remora-*`` and without those
            that are no part of the answer (`remora_sidecar.cache.rules.kept_headers`).
        chunks: The body in the pieces and at the times in which it came.
        facts: What it stated.
        stored_unix_ns: When it was whole.
        stated: The facts as a reader of the answer would tell them; made once for all hits.
        saved_usd: What the original call cost; None where its price is unknown.
    """

    status: int
    reason: str
    headers: Headers
    chunks: tuple[Chunk, ...]
    facts: CachedFacts = field(default_factory=CachedFacts)
    stored_unix_ns: int = 0
    stated: AnswerFacts = field(init=False, repr=False, compare=False)
    saved_usd: Decimal | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what each hit is recorded with."""
        facts = self.facts
        object.__setattr__(self, "stated", _told(facts))
        object.__setattr__(self, "saved_usd", Decimal(facts.cost_usd) if facts.cost_usd else None)

    @property
    def body_bytes(self) -> int:
        """Length of the body."""
        return sum([len(chunk.data) for chunk in self.chunks])

    @property
    def body(self) -> bytes:
        """The whole body."""
        chunks = self.chunks
        return chunks[0].data if len(chunks) == 1 else b"".join([chunk.data for chunk in chunks])

    @property
    def held_bytes(self) -> int:
        """About what the answer takes in memory, Python's own objects included."""
        named = sum(len(n) + len(v) + _HEADER_OVERHEAD_BYTES for n, v in self.headers)
        pieces = sum(len(chunk.data) + _CHUNK_OVERHEAD_BYTES for chunk in self.chunks)
        return _ENTRY_OVERHEAD_BYTES + named + pieces

    def age_s(self, now_unix_ns: int) -> float:
        """How long ago it was whole; negative where the clock went back since."""
        return (now_unix_ns - self.stored_unix_ns) / 1e9


def _told(facts: CachedFacts) -> AnswerFacts:
    return AnswerFacts(
        model=facts.model,
        finish_reason=facts.finish_reason,
        response_id=facts.response_id,
        tool_names=facts.tool_names,
        usage=facts.usage,
        service_tier=facts.service_tier,
        completeness=Completeness.WHOLE,
    )


def encode(answer: CachedAnswer, key: str) -> bytes | None:
    """Write an answer down for one key; None if it is too large or can't be written."""
    try:
        plain = _plain(answer)
    except (TypeError, ValueError):  # lone surrogates, numbers past 64 bits
        return None
    if len(plain) > MAX_PLAIN_BYTES:
        return None
    flags, packed = 0, plain
    if len(plain) >= COMPRESS_FROM_BYTES:
        smaller = zstandard.ZstdCompressor(level=1).compress(plain)
        if len(smaller) < len(plain):
            flags, packed = _ZSTD, smaller
    sum_ = _checksum(key, flags, len(plain), packed)
    return _HEAD.pack(_MAGIC, _VERSION, flags, len(plain), sum_) + packed


def decode(data: bytes, key: str) -> CachedAnswer | None:
    """Read what `encode` wrote for this key; None for anything else."""
    if len(data) < _HEAD.size:
        return None
    magic, version, flags, length, sum_ = _HEAD.unpack_from(data)
    packed = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC or version != _VERSION or length > MAX_PLAIN_BYTES:
        return None
    if sum_ != _checksum(key, flags, length, packed):
        return None
    try:
        return _answer(_unpacked(flags, length, packed))
    except (KeyError, TypeError, ValueError, InvalidOperation, struct.error, zstandard.ZstdError):
        return None


def _checksum(key: str, flags: int, length: int, packed: bytes | memoryview) -> int:
    seed = zlib.crc32(b"%d %d %s" % (flags, length, key.encode("utf-8", "surrogatepass")))
    return zlib.crc32(packed, seed)


def _unpacked(flags: int, length: int, packed: memoryview) -> bytes:
    if flags == 0:
        plain = bytes(packed)
    elif flags == _ZSTD and zstandard.frame_content_size(packed) == length:
        plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=length)
    else:
        raise ValueError("packed in a way that is not known")
    if len(plain) != length:
        raise ValueError("its length is not what it says")
    return plain


def _plain(answer: CachedAnswer) -> bytes:
    facts = answer.facts
    head = orjson.dumps(
        {
            "status": answer.status,
            "reason": answer.reason,
            "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in answer.headers],
            "chunks": [[round(c.delay_s * _MICRO), len(c.data)] for c in answer.chunks],
            "facts": {
                name: value
                for name in _FACTS
                if (value := getattr(facts, name)) != _DEFAULTS[name] and name != "usage"
            },
            "usage": None if facts.usage is None else _stated(facts.usage),
            "stored": answer.stored_unix_ns,
        }
    )
    return b"".join((_LENGTH.pack(len(head)), head, *(chunk.data for chunk in answer.chunks)))


def _stated(usage: Usage) -> dict[str, Any]:
    return {name: value for name, value in asdict(usage).items() if value is not None}


def _answer(plain: bytes) -> CachedAnswer:
    (length,) = _LENGTH.unpack_from(plain)
    start = _LENGTH.size + length
    head = orjson.loads(plain[_LENGTH.size : start])
    return CachedAnswer(
        status=head["status"],
        reason=head["reason"],
        headers=tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in head["headers"]),
        chunks=_chunks(plain, start, head["chunks"]),
        facts=_facts(head["facts"], head["usage"]),
        stored_unix_ns=head["stored"],
    )


def _chunks(plain: bytes, start: int, sizes: Sequence[Sequence[int]]) -> tuple[Chunk, ...]:
    chunks = []
    for delay_us, size in sizes:
        chunks.append(Chunk(delay_us / _MICRO, plain[start : start + size]))
        start += size
    if start != len(plain):
        raise ValueError("its chunks are not all of its body")
    return tuple(chunks)


def _facts(facts: Mapping[str, Any], usage: Mapping[str, Any] | None) -> CachedFacts:
    tools = tuple(facts.get("tool_names", ()))
    stated = None if usage is None else Usage(**usage)
    return CachedFacts(**{**facts, "tool_names": tools, "usage": stated})


_FACTS = tuple(field.name for field in fields(CachedFacts))
_DEFAULTS = asdict(CachedFacts())
