"""The reader of WebSocket frames, fed by an implementation that is not ours."""

import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close as SentClose
from websockets.frames import Frame, Opcode

from remora_sidecar.dialects.framing.websocket import INFLATED_LIMIT_BYTES, Close, MessageReader

LONG = "é€😀 remora " * 9_000


def _frames(message: str | bytes, pieces: int = 1) -> list[Frame]:
    """A message as so many fragments, cut inside its characters."""
    data = message.encode() if isinstance(message, str) else message
    size = max(1, -(-len(data) // pieces))
    parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    kinds = [Opcode.BINARY if isinstance(message, bytes) else Opcode.TEXT]
    kinds += [Opcode.CONT] * (len(parts) - 1)
    return [
        Frame(kind, part, fin=number == len(parts) - 1)
        for number, (kind, part) in enumerate(zip(kinds, parts, strict=True))
    ]


class _Sender:
    """One end that sends frames."""

    def __init__(self, *, is_client: bool = False, extensions: str = "") -> None:
        self.is_client = is_client
        self.extensions = extensions
        own = "client" if is_client else "server"
        self._deflate = (
            [PerMessageDeflate(False, f"{own}_no_context_takeover" in extensions, 15, 12)]
            if extensions
            else []
        )

    def bytes(self, frames: Iterable[Frame]) -> bytes:
        return b"".join(
            frame.serialize(mask=self.is_client, extensions=self._deflate) for frame in frames
        )

    def reader(self, **options: int) -> MessageReader:
        return MessageReader(from_client=self.is_client, extensions=self.extensions, **options)


SENDERS = {
    "server": {},
    "client": {"is_client": True},
    "server, deflate": {"extensions": "permessage-deflate"},
    "client, deflate": {"is_client": True, "extensions": "permessage-deflate"},
    "server, deflate without context": {
        "extensions": "permessage-deflate; server_no_context_takeover; server_max_window_bits=12"
    },
    "client, deflate without context": {
        "is_client": True,
        "extensions": "permessage-deflate; Client_No_Context_Takeover",
    },
}


@pytest.fixture(params=SENDERS.values(), ids=SENDERS.keys())
def sender(request):
    extensions = request.param.get("extensions", "").lower()
    return _Sender(is_client=request.param.get("is_client", False), extensions=extensions)


def _cut(data: bytes, randomness: random.Random) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        size = randomness.choice((1, 2, 3, 7, 50, 1000, 5000))
        pieces.append(data[at : at + size])
        at += size
    return pieces


SAID = ["hello", "", LONG, '{"type":"response.done"}', "x" * 125, "x" * 126, "y" * 70_000, "hello"]


@pytest.mark.parametrize("pieces", [1, 2, 5], ids=lambda n: f"{n} fragments")
@pytest.mark.parametrize("cut", ["whole", "random", "bytes"])
def test_messages_are_read_however_they_are_framed_and_cut(sender, pieces, cut):
    sent = sender.bytes(frame for message in SAID for frame in _frames(message, pieces))
    cuts = {"whole": [sent], "random": _cut(sent, random.Random(7))}  # noqa: S311
    reader = sender.reader()
    chunks = cuts.get(cut) or [sent[at : at + 1] for at in range(len(sent))]
    messages = [message for chunk in chunks for message in reader.feed(chunk)]
    assert [message.decode() for message in messages] == SAID
    assert (reader.problem, reader.skipped, reader.closing) == ("", 0, None)


def test_pings_between_the_fragments_of_a_message_change_nothing(sender):
    first, *rest = _frames(LONG, 3)
    ping, pong = Frame(Opcode.PING, b"are you there"), Frame(Opcode.PONG, b"")
    reader = sender.reader()
    sent = sender.bytes([ping, first, ping, rest[0], pong, rest[1], *_frames("after")])
    assert [message.decode() for message in reader.feed(sent)] == [LONG, "after"]


def test_binary_messages_are_left_out(sender):
    sent = sender.bytes([*_frames(b"\x00\xff" * 90_000, 2), *_frames("text")])
    assert sender.reader().feed(sent) == [b"text"]


def test_a_message_past_the_limit_is_skipped_and_the_next_is_read(sender):
    frames = [f for message in ("before", "z" * 5000, LONG, "after") for f in _frames(message, 4)]
    reader = sender.reader(limit=4000)
    assert reader.feed(sender.bytes(frames)) == [b"before", b"after"]
    assert (reader.skipped, reader.problem) == (2, "")


def test_a_large_message_is_read_without_its_bulk(sender):
    event = '{"type":"done","picture":"%s","id":"resp_1"}' % ("aGVsbG8=" * 100_000)
    reader = sender.reader(limit=10_000)
    sent = sender.bytes([*_frames(event, 7), *_frames("after"), *_frames(event), *_frames("on")])
    skimmed = b'{"type":"done","picture":"","id":"resp_1"}'
    assert reader.feed(sent) == [skimmed, b"after", skimmed, b"on"]
    assert reader.skipped == 0


def test_a_message_of_64_mb_is_not_held(sender):
    frames = [Frame(Opcode.TEXT, b"", fin=False)]
    frames += [Frame(Opcode.CONT, random.Random(1).randbytes(64_000), fin=False)] * 40  # noqa: S311
    reader = sender.reader(limit=100_000)
    for frame in frames:
        assert reader.feed(sender.bytes([frame])) == []
        assert len(reader._held) <= 100_000
    assert reader.feed(sender.bytes([Frame(Opcode.CONT, b""), *_frames("on")])) == [b"on"]


def test_a_message_that_inflates_without_end_ends_the_watching_only():
    sender = _Sender(extensions="permessage-deflate")
    frame = sender.bytes([Frame(Opcode.TEXT, bytes(INFLATED_LIMIT_BYTES + 1))])
    assert len(frame) < 100_000
    reader = MessageReader(from_client=False, extensions="permessage-deflate")
    assert reader.feed(frame) == []
    assert "beyond all bounds" in reader.problem
    assert reader.feed(_Sender().bytes(_frames("more"))) == []


def test_a_deflate_block_marked_as_the_last_ends_its_message_alone():
    # The example of RFC 7692 §7.2.3.4, twice: the next message begins with a new stream.
    frame = b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
    reader = MessageReader(from_client=False, extensions="permessage-deflate")
    assert reader.feed(frame * 2) == [b"Hello", b"Hello"]


@pytest.mark.parametrize(
    ("sent", "closing"),
    [
        (SentClose(1000, "bye").serialize(), Close(1000, "bye")),
        (SentClose(1011, "é").serialize(), Close(1011, "é")),
        (b"", Close(1005, "")),
        (b"\x03\xe8\xff", Close(1000, "�")),
    ],
    ids=["with a reason", "with an accent", "without a word", "broken UTF-8"],
)
def test_a_close_frame_is_noted_and_nothing_is_read_after_it(sender, sent, closing):
    reader = sender.reader()
    frames = [*_frames("last"), Frame(Opcode.CLOSE, sent), *_frames("too late")]
    assert reader.feed(sender.bytes(frames)) == [b"last"]
    assert reader.closing == closing
    assert reader.feed(sender.bytes(_frames("later still"))) == []
    assert reader.problem == ""


@pytest.mark.parametrize(
    ("data", "extensions"),
    [
        (b"\x83\x00", ""),
        (b"\x81\x85\x00\x00\x00\x00hello", ""),
        (b"\xc1\x05hello", ""),
        (b"\x09\x00", ""),
        (b"\x80\x00", ""),
        (b"\x01\x01a\x81\x01b", ""),
        (b"\xc1\x05hello", "permessage-deflate"),
        (b"\x81\x7e\x00\x05hello", ""),
        (b"HTTP/1.1 500", ""),
    ],
    ids=[
        "unknown opcode", "masked by the server", "reserved bit", "fragmented ping",
        "goes on with nothing", "begins inside another", "not deflated", "length too long",
        "no WebSocket",
    ],
)  # fmt: skip
def test_what_is_no_websocket_ends_the_watching_with_a_reason(data, extensions):
    reader = MessageReader(from_client=False, extensions=extensions)
    assert reader.feed(data) == []
    assert reader.problem
    assert reader.feed(b"\x81\x05hello") == []


@pytest.mark.parametrize("extensions", ["x-webkit-deflate-frame", "permessage-deflate, other"])
def test_an_extension_that_is_not_known_is_not_watched(extensions):
    reader = MessageReader(from_client=False, extensions=extensions)
    assert "extension" in reader.problem
    assert reader.feed(b"\x81\x05hello") == []


@given(st.binary(max_size=300), st.booleans(), st.sampled_from(["", "permessage-deflate"]))
def test_no_bytes_raise_and_cutting_them_changes_nothing(data, from_client, extensions):
    def read(chunks: Iterable[bytes]) -> tuple[list[bytes], bool, object]:
        reader = MessageReader(from_client=from_client, extensions=extensions)
        messages = [message for chunk in chunks for message in reader.feed(chunk)]
        return messages, bool(reader.problem), reader.closing

    assert read([data]) == read(data[at : at + 1] for at in range(len(data)))


@given(
    st.lists(st.tuples(st.text(max_size=400), st.integers(1, 4)), max_size=8),
    st.booleans(),
    st.sampled_from(["", "permessage-deflate", "permessage-deflate; server_no_context_takeover"]),
    st.randoms(use_true_random=False),
)
def test_any_messages_come_out_as_they_went_in(said, from_client, extensions, randomness):
    sender = _Sender(is_client=from_client, extensions=extensions)
    sent = sender.bytes(frame for message, pieces in said for frame in _frames(message, pieces))
    reader = sender.reader()
    messages = [m for chunk in _cut(sent, randomness) for m in reader.feed(chunk)]
    assert [message.decode() for message in messages] == [message for message, _ in said]


def test_a_small_frame_costs_little():
    sent = _Sender().bytes(_frames("x" * 150))
    reader = MessageReader(from_client=False)
    best = min(_seconds_for(reader, sent) for _ in range(5))
    assert best / 1000 < 20e-6 * 5  # the bound is 20 µs on a quiet machine; this one is shared


def _seconds_for(reader: MessageReader, sent: bytes) -> float:
    began = time.perf_counter()
    for _ in range(1000):
        reader.feed(sent)
    return time.perf_counter() - began
