"""What the provider double may answer, as values: bytes, framing, timing and failures.

Written by tests, the demo and benchmarks; `double_player` performs them. Knows no sockets.
"""

import asyncio
import gzip
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise

from remora.testing.transcripts import Transcript

Fields = tuple[tuple[str, str], ...]
"""Header fields in their order, Latin-1."""


class Framing(Enum):
    """How the end of an answer's body is told.

    AUTO follows a ``content-length`` or ``transfer-encoding`` among the answer's own headers
    (which may lie), else adds a true ``content-length``; bodies of unknown length are chunked.
    """

    AUTO = "auto"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class FaultKind(Enum):
    """How an answer fails.

    CLOSE says goodbye (TLS close_notify, FIN), DROP is a FIN without TLS goodbye, RESET a
    TCP reset, STALL sends nothing more and keeps the connection until the peer leaves.
    """

    CLOSE = "close"
    DROP = "drop"
    RESET = "reset"
    STALL = "stall"


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure in the middle of an answer.

    Attributes:
        kind: What happens.
        after_body_bytes: Once so many bytes of the body are out, 0 meaning right after the
            head; None: before the head. At or past the body's end it stands in for the end:
            a chunked answer then lacks its last chunk.
    """

    kind: FaultKind
    after_body_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RandomCuts:
    """Cuts at random offsets, the same ones for the same seed and length."""

    seed: int
    mean_bytes: int = 64

    def offsets(self, length: int) -> tuple[int, ...]:
        """Choose the offsets for a body of this length."""
        source = random.Random(f"{self.seed}/{length}")  # noqa: S311 (test data)
        count = length // self.mean_bytes
        return tuple(
            sorted(source.randrange(1, length) for _ in range(count)) if length > 1 else ()
        )


@dataclass(frozen=True, slots=True)
class Repeated:
    """A body that repeats one piece: large downloads and endless streams.

    Attributes:
        piece: What is sent again and again.
        total_bytes: Length of the body, its last piece cut short; None: no end.
    """

    piece: bytes
    total_bytes: int | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield the body piece by piece."""
        if self.total_bytes is None:
            while True:
                yield self.piece
        whole, rest = divmod(self.total_bytes, len(self.piece))
        for _ in range(whole):
            yield self.piece
        if rest:
            yield self.piece[:rest]


@dataclass(frozen=True, slots=True)
class Interim:
    """An interim (1xx) answer sent before the final one."""

    status: int
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer.

    Attributes:
        status: Status code.
        headers: Sent in this order and spelling; nothing is added but framing.
        body: The content. HEAD, 204 and 304 answers are sent without it.
        framing: How its end is told.
        cuts: Offsets at which the body is cut into separate writes (chunks, where chunked).
        reason: Reason phrase; None: the standard one.
        waits_for: The head waits for this event; None: for none.
        before_head_s: Wait before the head.
        before_first_byte_s: Wait between head and body.
        between_chunks_s: Wait between writes of the body.
        interim: Interim answers sent first.
        trailers: Trailer fields of a chunked answer.
        fault: A failure in the middle.
        close: Close the connection after the answer.
        early: Answer once the request's head is in, without waiting for its body.
        verbatim: Bytes sent instead of head and body: answers that are no HTTP.
    """

    status: int = 200
    headers: Fields = ()
    body: bytes | Repeated = b""
    framing: Framing = Framing.AUTO
    cuts: tuple[int, ...] | RandomCuts = ()
    reason: str | None = None
    waits_for: asyncio.Event | None = None
    before_head_s: float = 0.0
    before_first_byte_s: float = 0.0
    between_chunks_s: float = 0.0
    interim: tuple[Interim, ...] = ()
    trailers: Fields = ()
    fault: Fault | None = None
    close: bool = False
    early: bool = False
    verbatim: bytes | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield the body in the pieces in which it is written; none is empty."""
        if isinstance(self.body, Repeated):
            yield from self.body.pieces()
            return
        cuts = self.cuts
        offsets = cuts.offsets(len(self.body)) if isinstance(cuts, RandomCuts) else cuts
        bounds = sorted({0, len(self.body), *(at for at in offsets if 0 < at < len(self.body))})
        for start, end in pairwise(bounds):
            yield self.body[start:end]

    @property
    def is_simple(self) -> bool:
        """Whether the answer is one write: no waiting, no cuts, no failure."""
        return (
            isinstance(self.body, bytes)
            and not (self.before_head_s or self.before_first_byte_s or self.between_chunks_s)
            and not (self.cuts or self.interim or self.fault)
        )


@dataclass(frozen=True, slots=True)
class EchoWebSocket:
    """Accept a WebSocket upgrade and send every message back.

    Attributes:
        headers: Further headers of the 101 answer.
        greeting: A text message sent first; empty: none.
    """

    headers: Fields = field(default=())
    greeting: str = ""


@dataclass(frozen=True, slots=True)
class TalkingWebSocket:
    """Accept a WebSocket upgrade and answer every text message as told.

    Attributes:
        reply: Gets a message and gives what to send back: text messages, bytes as they are
            on the wire, and how to end the connection, after which nothing is sent.
        headers: Further headers of the 101 answer.
        greeting: A text message sent first; empty: none.
        deflate: Compress, where the client offers permessage-deflate.
        fragments: In how many frames a message is sent.
        cuts: Where to cut what is sent at once.
    """

    reply: Callable[[str], Iterable[str | bytes | FaultKind]]
    headers: Fields = ()
    greeting: str = ""
    deflate: bool = False
    fragments: int = 1
    cuts: RandomCuts | None = None


def json_answer(body: bytes, *, status: int = 200, headers: Fields = ()) -> Answer:
    """Make a plain JSON answer."""
    return Answer(status, (("content-type", "application/json"), *headers), body)


def answer_of(
    transcript: Transcript,
    *,
    cuts: tuple[int, ...] | RandomCuts = (),
    framing: Framing | None = None,
) -> Answer:
    """Make the recorded answer playable.

    Args:
        transcript: The exchange.
        cuts: Where to cut the body.
        framing: Default: chunked for streams and for answers recorded as chunked.
    """
    kept = [(k, v) for k, v in transcript.response_headers if k.lower() != "transfer-encoding"]
    was_chunked = len(kept) < len(transcript.response_headers)
    chunked = framing is None and (was_chunked or transcript.stream)
    return Answer(
        transcript.status,
        tuple(kept),
        transcript.response_body,
        framing=Framing.CHUNKED if chunked else framing or Framing.AUTO,
        cuts=cuts,
    )


def encoded(answer: Answer, coding: str) -> Answer:
    """Compress the body of an answer, as providers do for clients that accept it.

    Args:
        answer: Its body must be bytes, not a repeated one.
        coding: ``gzip``, ``deflate``, ``br`` or ``zstd``; the last two need `remora[sidecar]`.

    Raises:
        TypeError: The body is a repeated one.
        KeyError: There is no such coding.
    """
    if not isinstance(answer.body, bytes):
        raise TypeError("only a body of bytes can be compressed")
    body = _ENCODERS[coding](answer.body)
    return replace(answer, headers=(*answer.headers, ("content-encoding", coding)), body=body)


def _brotli(body: bytes) -> bytes:
    import brotli  # type: ignore[import-untyped]  # it has no stubs

    compressed: bytes = brotli.compress(body)
    return compressed


def _zstd(body: bytes) -> bytes:
    import zstandard

    return zstandard.compress(body)


_ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
    "br": _brotli,
    "zstd": _zstd,
}
