import asyncio
import heapq
import itertools

import pytest

from remora.records import Body, CallRecord
from remora.testing.clock import ManualClock
from remora_sidecar.spool.spool import Spool


class VirtualTime(ManualClock):
    """A clock that one can also sleep by."""

    def __init__(self) -> None:  # noqa: D107
        super().__init__()
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        done = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.monotonic_s() + seconds, next(self._order), done))
        await done

    def pending_s(self) -> list[float]:
        """How long each sleeper still sleeps."""
        now_s = self.monotonic_s()
        return sorted(due_s - now_s for due_s, _, done in self._sleepers if not done.cancelled())

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        while self._sleepers and self._sleepers[0][0] <= self.monotonic_s() + 1e-6:
            *_, done = heapq.heappop(self._sleepers)
            if not done.cancelled():
                done.set_result(None)


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
def open_spool(tmp_path, clock):
    """Opens spools on one file and closes them all at the end."""
    opened = []

    def open_one(path=tmp_path / "data" / "spool.sqlite", **options):
        spool = Spool.open(path, clock=clock, **options)
        opened.append(spool)
        return spool

    yield open_one
    for spool in opened:
        spool.close()


@pytest.fixture
def make_record():
    def make(number: int, body_bytes: int = 0) -> CallRecord:
        body = Body(bytes(body_bytes), body_bytes) if body_bytes else None
        return CallRecord(f"{number:032x}", number, request_body=body)

    return make


@pytest.fixture
def drain():
    """Takes everything not yet handed out."""

    async def take_all(spool: Spool) -> list:
        taken = []
        while batch := await spool.batch(100, 1 << 20):
            taken += batch
        return taken

    return take_all
