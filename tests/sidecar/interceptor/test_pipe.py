"""A connection within the process: both ends, beside what a pair of sockets would do."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from remora_sidecar.interceptor.pipe import HIGH_WATER_BYTES, PipeEnd, pipe


@dataclass
class Reader(asyncio.Protocol):
    """Keeps what it is told."""

    stays_half_open: bool = False
    got: bytearray = field(default_factory=bytearray)
    told: list[str] = field(default_factory=list)
    waits: bool = False
    pieces: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        assert "end" not in self.told
        self.got += data
        self.pieces += 1

    def eof_received(self) -> bool:
        self.told.append("end")
        return self.stays_half_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost" if exc is None else type(exc).__name__)

    def pause_writing(self) -> None:
        assert not self.waits
        self.waits = True

    def resume_writing(self) -> None:
        assert self.waits
        self.waits = False


class _Joined:
    """A pipe and its two readers."""

    def __init__(self, *, half_open: bool = False) -> None:
        self.near, self.far = Reader(half_open), Reader(half_open)
        self.near_end, self.far_end = pipe(self.near, self.far)


async def _turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_written_is_there_in_the_next_turn_as_one():
    joined = _Joined()
    joined.near_end.write(b"ab")
    joined.near_end.write(bytearray(b"c"))
    joined.far_end.write(memoryview(b"d"))
    assert not joined.far.got  # not from within the call
    await _turn()

    assert joined.far.pieces == 1
    assert (joined.far.got, joined.near.got) == (b"abc", b"d")
    assert joined.near.told == joined.far.told == ["made"]


async def test_an_end_that_gets_bytes_at_once_gets_them_from_within_the_write():
    near, far = Reader(), Reader()
    near_end, far_end = pipe(near, far, far_at_once=True)
    near_end.write(b"ab")
    far_end.write(b"c")

    assert (far.got, near.got) == (b"ab", b"")
    await _turn()
    assert near.got == b"c"


async def test_an_end_that_gets_bytes_at_once_still_gets_them_in_order_and_only_while_it_reads():
    near, far = Reader(), Reader()
    near_end, far_end = pipe(near, far, far_at_once=True)
    far_end.pause_reading()
    near_end.write(b"ab")
    far_end.resume_reading()
    near_end.write(b"c")
    assert not far.got  # what waits goes first
    await _turn()

    assert far.got == b"abc"
    assert far.pieces == 1


async def test_a_reader_at_once_that_fails_loses_its_connection_and_its_writer_hears_of_it():
    class Failing(Reader):
        def data_received(self, data: bytes) -> None:
            raise ValueError("a bug")

    near, far = Reader(), Failing()
    near_end, far_end = pipe(near, far, far_at_once=True)
    with pytest.raises(ValueError, match="a bug"):
        near_end.write(b"ab")

    assert far_end.is_closing()
    await _turn()  # the end
    await _turn()  # the loss
    assert near.told[1:] == ["ConnectionResetError"]


async def test_an_end_that_does_not_read_makes_the_other_wait_and_misses_nothing():
    joined = _Joined()
    joined.far_end.pause_reading()
    joined.near_end.write(bytes(HIGH_WATER_BYTES))
    assert not joined.near.waits
    joined.near_end.write(b"x")
    assert joined.near.waits
    assert joined.near_end.get_write_buffer_size() == HIGH_WATER_BYTES + 1

    joined.far_end.resume_reading()
    assert not joined.far.got  # not from within the call
    joined.near_end.write(b"y")  # must not overtake
    await _turn()

    assert joined.far.got == bytes(HIGH_WATER_BYTES) + b"xy"
    assert not joined.near.waits


async def test_a_reader_that_pauses_again_gets_the_rest_later():
    class Sips(Reader):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            far_end.pause_reading()

    far = Sips()
    near_end, far_end = pipe(Reader(), far)
    for piece in (b"a", b"b", b"c"):
        far_end.resume_reading()
        near_end.write(piece)
        await _turn()
        assert far.got.endswith(piece)
        near_end.write(b"-")
        await _turn()
        assert far.got.endswith(piece)
    assert far.got == b"a-b-c"


async def test_a_close_is_an_end_behind_the_bytes():
    joined = _Joined()
    joined.far_end.pause_reading()
    joined.near_end.write(b"last words")
    joined.near_end.close()
    await _turn()
    assert joined.near.told == ["made", "lost"]
    assert joined.far.told == ["made"]

    joined.far_end.resume_reading()
    await _turn()
    await _turn()
    assert joined.far.got == b"last words"
    assert joined.far.told == ["made", "end", "lost"]


async def test_one_direction_may_end_alone():
    joined = _Joined(half_open=True)
    joined.near_end.write_eof()
    joined.near_end.write(b"too late")
    joined.far_end.write(b"answer")
    await _turn()
    assert (joined.near.got, joined.far.got) == (b"answer", b"")

    joined.far_end.close()
    await _turn()
    await _turn()
    assert joined.near.told == ["made", "end"]
    assert joined.far.told == ["made", "end", "lost"]


async def test_writing_to_a_closed_end_loses_ones_own():
    joined = _Joined(half_open=True)
    joined.far_end.close()
    assert not joined.near_end.is_closing()
    await _turn()
    joined.near_end.write(b"x")
    await _turn()

    assert joined.near_end.is_closing()
    assert joined.near.told == ["made", "end", "ConnectionResetError"]
    assert not joined.far.got


async def test_an_abort_is_a_reset_behind_the_bytes():
    joined = _Joined()
    joined.near_end.write(b"last words")
    joined.far_end.write(b"never read")
    joined.near_end.abort()
    await _turn()
    await _turn()

    assert joined.near.told == ["made", "lost"]
    assert joined.far.told == ["made", "ConnectionResetError"]
    assert (joined.near.got, joined.far.got) == (b"", b"last words")


async def test_a_reader_that_fails_ends_the_connection_and_is_told_of():
    class Fails(Reader):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    failures = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    near, far = Reader(), Fails()
    near_end, _ = pipe(near, far)
    near_end.write(b"x")
    await _turn()
    await _turn()
    await _turn()
    loop.set_exception_handler(None)

    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    assert (near.told, far.told) == (["made", "ConnectionResetError"], ["made", "lost"])


@pytest.mark.parametrize("ending", ["close", "abort"])
async def test_who_waits_for_room_is_let_go_when_the_other_end_is_gone(ending):
    joined = _Joined(half_open=True)
    joined.far_end.pause_reading()
    joined.near_end.write(bytes(HIGH_WATER_BYTES + 1))
    assert joined.near.waits
    getattr(joined.far_end, ending)()
    await _turn()

    assert not joined.near.waits or "ConnectionResetError" in joined.near.told


async def test_streams_run_over_it():
    reader, far_reader = asyncio.StreamReader(), asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    far_protocol = asyncio.StreamReaderProtocol(far_reader)
    near_end, far_end = pipe(protocol, far_protocol)
    loop = asyncio.get_running_loop()
    writer = asyncio.StreamWriter(near_end, protocol, reader, loop)
    far_writer = asyncio.StreamWriter(far_end, far_protocol, far_reader, loop)

    async def send() -> None:
        for number in range(100):
            writer.write(bytes([number]) * 50_000)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        got = await far_reader.read()
        far_writer.close()
    assert got == b"".join(bytes([number]) * 50_000 for number in range(100))


class _Direction:
    """One direction as a queue: what was written and not lost arrives whole and in order."""

    def __init__(self, source: PipeEnd, sink: PipeEnd, reader: Reader) -> None:
        self.source, self.sink, self.reader = source, sink, reader
        self.written = bytearray()


class _AnyOrder(RuleBasedStateMachine):
    """Writes, pauses and ends in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        joined = _Joined(half_open=True)
        self.ends = [joined.near_end, joined.far_end]
        self.directions = [
            _Direction(joined.near_end, joined.far_end, joined.far),
            _Direction(joined.far_end, joined.near_end, joined.near),
        ]

    @rule(which=st.integers(0, 1), size=st.sampled_from([1, 1000, HIGH_WATER_BYTES + 1]))
    def write(self, which: int, size: int) -> None:
        direction = self.directions[which]
        data = bytes([len(direction.written) % 256]) * size
        if not (direction.source.is_closing() or direction.source._eof_written):
            direction.written += data
        direction.source.write(data)

    @rule(which=st.integers(0, 1))
    def pause(self, which: int) -> None:
        self.ends[which].pause_reading()

    @rule(which=st.integers(0, 1))
    def resume(self, which: int) -> None:
        self.ends[which].resume_reading()

    @rule(which=st.integers(0, 1), how=st.sampled_from(["write_eof", "close", "abort"]))
    def end(self, which: int, how: str) -> None:
        getattr(self.ends[which], how)()

    @rule()
    def turn(self) -> None:
        self.loop.run_until_complete(_turn())

    @invariant()
    def in_order(self) -> None:
        for direction in self.directions:
            assert direction.written.startswith(direction.reader.got)

    def teardown(self) -> None:
        for end in self.ends:
            end.resume_reading()
        for _ in range(3):
            self.loop.run_until_complete(_turn())
        for direction in self.directions:
            closed = direction.sink.is_closing()
            assert closed or direction.reader.got == direction.written
            lost = [
                word for word in direction.reader.told if word.lower().endswith(("lost", "error"))
            ]
            assert len(lost) == closed
        self.loop.close()


TestAnyOrder = _AnyOrder.TestCase


@pytest.mark.parametrize("ends", [False, True], ids=["bytes", "the end"])
async def test_what_must_be_done_before_one_side_hears_of_anything_is_done(ends):
    near, far = Reader(stays_half_open=True), Reader(stays_half_open=True)
    seen = []
    near_end, far_end = pipe(near, far, lambda: seen.append((bytes(near.got), list(near.told))))

    near_end.write(b"asked")
    await _turn()
    assert seen == []  # the other side waits for nothing
    assert far.got == b"asked"
    if ends:
        far_end.write_eof()
    else:
        far_end.write(b"answered")
    assert seen == []
    await _turn()

    assert seen == [(b"", ["made"])]
    assert near.got == (b"" if ends else b"answered")
    assert ("end" in near.told) is ends
