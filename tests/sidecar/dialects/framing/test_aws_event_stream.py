"""AWS event streams, against botocore's own parser and byte by byte."""

import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.aws_events import aws_event, aws_exception, aws_message
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.framing.aws_event_stream import AwsEventStream, Headers, Kind, Message

HELLO = aws_event("contentBlockDelta", {"delta": {"text": "héllo"}})
LAST = aws_event("metadata", {"usage": {"inputTokens": 1}})


def _read(stream: AwsEventStream, chunks: Iterable[bytes]) -> list[Message]:
    return [message for chunk in chunks for message in stream.feed(chunk)]


def _names(messages: Sequence[Message]) -> list[str]:
    return [message.headers.name for message in messages]


def _state(body: bytes, chunks: Iterable[bytes]) -> tuple[object, ...]:
    stream = AwsEventStream(limit=200)
    messages = _read(stream, chunks)
    return messages, stream.is_whole, stream.problem, stream.skipped, stream.damaged, stream.lost


def _raw(headers: bytes, payload: bytes = b"", headers_size: int | None = None) -> bytes:
    size = len(headers) if headers_size is None else headers_size
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), size)
    front = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return front + struct.pack(">I", crc32(front))


def test_messages_are_read_with_what_they_are() -> None:
    stream = AwsEventStream()
    failed = aws_message({":message-type": "error", ":error-code": "E", ":error-message": "why"})
    body = HELLO + aws_exception("throttlingException", "slow down") + failed
    hello, thrown, error = stream.feed(body)
    assert hello == (
        Headers(Kind.EVENT, "contentBlockDelta"),
        b'{"delta": {"text": "h\\u00e9llo"}}',
    )
    assert thrown.headers == (Kind.EXCEPTION, "throttlingException", "")
    assert thrown.payload == b'{"message": "slow down"}'
    assert error == (Headers(Kind.ERROR, "E", "why"), b"")
    assert stream.is_whole
    assert stream.problem == ""


def test_recorded_streams_are_read_as_botocore_reads_them(
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    for dialect in ("bedrock-converse", "bedrock-invoke"):
        streams = [t for t in recorded(dialect) if t.stream]
        assert streams
        for transcript in streams:
            buffer = EventStreamBuffer()
            buffer.add_data(transcript.response_body)
            theirs = [(m.headers[":event-type"], m.payload) for m in buffer]
            stream = AwsEventStream()
            ours = stream.feed(transcript.response_body)
            assert [(m.headers.name, m.payload) for m in ours] == theirs, transcript.id
            assert stream.is_whole


def test_every_type_of_header_is_passed_over() -> None:
    pair, eight, short = b"\0\1", bytes(8), b"\0\1x"
    values = [b"", b"", b"\1", pair, pair * 2, eight, short, short, eight, eight * 2]
    typed = b"".join(
        struct.pack(">B", 2) + f"h{kind}".encode() + struct.pack(">B", kind) + value
        for kind, value in enumerate(values)
    )
    named = aws_message({":event-type": "chunk"})[12:-4]
    assert _names(AwsEventStream().feed(_raw(typed + named))) == ["chunk"]


def test_a_message_too_large_is_passed_by_and_noted() -> None:
    large = aws_event("chunk", {"bytes": "x" * 5000})
    stream = AwsEventStream(limit=1000)
    assert _names(_read(stream, [HELLO + large[:700], large[700:4000], large[4000:] + LAST])) == [
        "contentBlockDelta",
        "metadata",
    ]
    assert stream.problem == "1 events were too large to be read"
    assert stream.is_whole


def test_a_message_of_64_megabytes_is_not_held() -> None:
    prelude = struct.pack(">II", 64 * 1024 * 1024 + 16, 0)
    stream = AwsEventStream()
    piece = bytes(64 * 1024)
    tracemalloc.start()
    try:
        stream.feed(prelude + struct.pack(">I", crc32(prelude)))
        for _ in range(1024):
            assert stream.feed(piece) == []
        assert not stream.is_whole
        assert _names(stream.feed(bytes(4) + HELLO)) == ["contentBlockDelta"]
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    assert stream.skipped == 1


def test_a_message_at_the_limit_comes_in_small_pieces_in_linear_time() -> None:
    large = aws_event("chunk", {"bytes": "x" * (4 * 1024 * 1024 - 200)})
    pieces = (large[at : at + 512] for at in range(0, len(large), 512))
    started = time.process_time()
    assert _names(_read(AwsEventStream(), pieces)) == ["chunk"]
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "damaged",
    [
        HELLO[:-6] + b"\xff" + HELLO[-5:],
        HELLO[:-1] + bytes([HELLO[-1] ^ 1]),
        _raw(b"\xff\xff"),
        _raw(b"\x01x\x63"),
        _raw(b"\x01\xff\x07\x00\x01x"),
        _raw(b"\x01x\x00\x01x\x01"),
        _raw(b"\x01x\x04\x00"),
        _raw(b"".join(struct.pack(">BHB", 2, number, 0) for number in range(3000))),
    ],
    ids=[
        "payload", "checksum", "name cut short", "type unknown", "name no text", "twice the same",
        "value cut short", "too many headers",
    ],
)  # fmt: skip
def test_a_damaged_message_is_a_problem_and_the_next_is_read(damaged: bytes) -> None:
    stream = AwsEventStream()
    assert _names(stream.feed(HELLO + damaged + LAST)) == ["contentBlockDelta", "metadata"]
    assert stream.problem == "1 events were damaged: a checksum or header is wrong"
    assert not stream.is_whole


@pytest.mark.parametrize(
    "damaged",
    [
        b"\1" + HELLO[1:],
        HELLO[:8] + b"\1" + HELLO[9:],
        _raw(b"", headers_size=9),
        b"data: {}\n\n  ",
    ],
    ids=["length", "checksum", "headers longer than the message", "another format"],
)
def test_after_a_damaged_prelude_nothing_is_read_or_held(damaged: bytes) -> None:
    stream = AwsEventStream()
    assert _names(stream.feed(HELLO + damaged + LAST)) == ["contentBlockDelta"]
    assert stream.feed(LAST) == []
    assert stream.lost
    assert not stream.is_whole
    assert "damaged" in stream.problem


def test_a_stream_is_torn_wherever_it_is_cut_inside_a_message() -> None:
    for end in range(1, len(HELLO)):
        stream = AwsEventStream()
        assert _names(stream.feed(HELLO + LAST[:end] if end < len(LAST) else HELLO[:end])) in (
            ["contentBlockDelta"],
            [],
        )
        assert not stream.is_whole
        assert stream.problem == ""


def test_botocore_is_loaded_by_the_first_message_and_not_before() -> None:
    code = (
        "import sys; from remora_sidecar.dialects.registry import DIALECTS;"
        "print('botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


bodies = st.lists(
    st.sampled_from([HELLO, LAST, HELLO[:-1] + b"x", aws_event("e", {"x": "y" * 300})])
    | st.binary(max_size=40),
    max_size=5,
).map(b"".join)


@given(body=bodies, cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_any_bytes_are_read_the_same_wherever_they_are_cut(body: bytes, cuts: list[int]) -> None:
    whole = _state(body, [body])
    assert _state(body, (body[i : i + 1] for i in range(len(body)))) == whole
    at = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    assert _state(body, (body[a:b] for a, b in pairwise(at))) == whole


@given(st.binary(max_size=600))
def test_any_headers_are_read_or_refused(block: bytes) -> None:
    stream = AwsEventStream()
    assert len(stream.feed(_raw(block))) + stream.damaged == 1
