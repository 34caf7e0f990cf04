"""A body on its way: whatever comes when, all of it is passed on in order, and its end once."""

import asyncio
from dataclasses import dataclass, field

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.records import EndReason
from remora.testing.clock import ManualClock
from remora_sidecar.engine.body_passage import BodyPassage
from remora_sidecar.engine.observation import Waiting

PIECE = b"abcdefghij"


class Provider:
    """What comes; reading brings more from within the call, as a resumed transport does."""

    def __init__(self, clock: ManualClock) -> None:  # noqa: D107
        self.clock = clock
        self.there = b""
        self.ended = False
        self.error: Exception | None = None
        self.brought_by_reading: list[bytes] = []
        self._follower = None

    def at_eof(self) -> bool:
        return self.ended and not self.there

    def read_nowait(self) -> bytes:
        if self.error is not None:
            raise self.error
        got, self.there = self.there, b""
        self.clock.advance(1)  # reading takes a second
        if got and self.brought_by_reading:
            self.comes(self.brought_by_reading.pop(0))
        return got

    async def readany(self) -> bytes:
        raise NotImplementedError

    def follow(self, follower) -> None:
        self._follower = follower

    def comes(self, data: bytes = b"", *, end: bool = False, error=None) -> None:
        self.there += data
        self.ended = self.ended or (end and not self.brought_by_reading)
        self.error = error
        if self._follower is not None:
            self._follower()


@dataclass
class Agent:
    """Takes what is passed on; full when told so, until it is drained."""

    calls: list[str]
    got: bytes = b""
    congested: bool = False
    full_after: set[int] = field(default_factory=set)
    gone: bool = False
    ends: int = 0
    drained: int = 0

    def begin(self, start) -> bool:
        return True

    def write(self, chunk: bytes, *, last: bool = False) -> None:
        if self.gone:
            raise ConnectionResetError("gone")
        assert not self.ends
        assert not self.congested
        self.got += chunk
        self.ends += last
        self.calls.append("last" if last else "piece")
        self.congested = len(self.calls) in self.full_after and not last

    def flush(self) -> None:
        self.calls.append("flush")

    async def drain(self) -> None:
        await asyncio.sleep(0)
        self.congested = False
        self.drained += 1

    def cut(self) -> None:
        raise NotImplementedError


class Seen:
    """Stands for the call's recording."""

    def __init__(self, calls: list[str], clock: ManualClock) -> None:  # noqa: D107
        self.waiting = Waiting(clock)
        self.watched = b""
        self._calls = calls

    @property
    def seen(self):
        return self

    def watch(self, chunk: bytes) -> bool:
        self.watched += chunk
        return False

    def finish(self, reason: EndReason) -> None:
        self._calls.append(reason.name)


class Stage:
    """One passage, run in a task."""

    def __init__(self, length: int | None = None) -> None:  # noqa: D107
        self.calls: list[str] = []
        self.clock = ManualClock()
        self.provider = Provider(self.clock)
        self.agent = Agent(self.calls)
        self.recording = Seen(self.calls, self.clock)
        passage = BodyPassage(self.provider, length, self.recording, self.agent, None)
        self.task = asyncio.ensure_future(passage.run())


async def _turn() -> None:
    await asyncio.sleep(0)


async def test_a_piece_goes_on_in_the_call_that_brings_it_and_the_head_before_any_waiting():
    stage = Stage()
    await _turn()
    assert stage.calls == ["flush"]
    stage.provider.comes(b"a")
    assert stage.agent.got == b"a"
    stage.provider.comes(b"b", end=True)
    assert stage.calls == ["flush", "piece", "COMPLETED", "last"]
    await stage.task


async def test_a_known_length_is_the_end_and_is_recorded_before_it_goes():
    stage = Stage(length=2)
    await _turn()
    stage.provider.comes(b"a")
    stage.provider.comes(b"b")
    assert stage.calls == ["flush", "piece", "COMPLETED", "last"]
    await stage.task


async def test_time_in_which_nothing_comes_is_waiting_and_passing_on_is_not():
    stage = Stage()
    await _turn()
    before = stage.clock.monotonic_s()
    stage.clock.advance(10)
    stage.provider.comes(b"a")
    stage.clock.advance(5)
    stage.provider.comes(b"b", end=True)
    await stage.task

    assert stage.clock.monotonic_s() - before == 17
    assert stage.recording.waiting.total_s == 15


@pytest.mark.parametrize("asleep", [True, False])
async def test_a_cut_is_raised_in_the_task(asleep):
    stage = Stage()
    if asleep:
        await _turn()
    stage.provider.comes(error=aiohttp.ClientPayloadError("cut"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await stage.task
    assert "COMPLETED" not in stage.calls


async def test_an_agent_that_left_is_raised_in_the_task_and_not_where_the_bytes_came_from():
    stage = Stage()
    await _turn()
    stage.agent.gone = True
    stage.provider.comes(b"a")
    stage.provider.comes(b"b")
    with pytest.raises(ConnectionResetError):
        await stage.task


async def test_a_cancelled_call_hears_of_nothing_more():
    stage = Stage()
    await _turn()
    stage.task.cancel()
    stage.provider.comes(b"a")
    with pytest.raises(asyncio.CancelledError):
        await stage.task
    stage.provider.comes(b"b")
    assert b"b" not in stage.agent.got


PIECES = st.builds(lambda count: PIECE[:count], st.integers(1, len(PIECE)))


@settings(deadline=None)
@given(
    steps=st.lists(st.one_of(PIECES, st.just("turn")), max_size=20),
    nested=st.lists(PIECES, max_size=5),
    full_after=st.sets(st.integers(1, 25)),
    knows_length=st.booleans(),
    ends_with_bytes=st.booleans(),
)
def test_all_that_comes_is_passed_on_in_order(
    steps, nested, full_after, knows_length, ends_with_bytes
):
    # Each byte tells its place, so that none can move unseen.
    numbers = iter(range(10_000))

    def numbered(piece: bytes) -> bytes:
        return bytes(next(numbers) % 251 for _ in piece)

    sizes = [len(step) for step in steps if step != "turn"] + [len(piece) for piece in nested]
    total = sum(sizes) + ends_with_bytes

    async def run() -> tuple[Stage, int]:
        stage = Stage(length=total if knows_length and total else None)
        stage.agent.full_after = full_after
        stage.provider.brought_by_reading = [b"\0" * len(piece) for piece in nested]
        came = stage.provider.comes

        def comes(data: bytes = b"", **how) -> None:
            came(numbered(data), **how)

        stage.provider.comes = comes
        for step in steps:
            if step == "turn":
                await _turn()
            else:
                comes(step)
        while stage.provider.brought_by_reading:
            comes(stage.provider.brought_by_reading.pop(0))
            await _turn()
        comes(b"x" * ends_with_bytes, end=True)
        async with asyncio.timeout(5):
            await stage.task
        return stage, next(numbers)

    stage, count = asyncio.run(run())
    assert stage.agent.got == bytes(n % 251 for n in range(count))
    assert stage.recording.watched == stage.agent.got
    assert stage.agent.ends == 1
    assert stage.calls[-2:] == ["COMPLETED", "last"]
    assert stage.calls.count("COMPLETED") == 1
