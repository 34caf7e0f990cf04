"""Programs that keep a sidecar alive."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from remora_sidecar.control.state import Holds

SOON_S, LINGER_S = 30.0, 2.0


class _VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def jump(self) -> None:
        timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]  # asyncio shows its timers nowhere else
        if timers and not self._ready:  # type: ignore[attr-defined]  # as above
            self.now = max(self.now, min(timers))

    def _run_once(self) -> None:
        self.jump()
        super()._run_once()  # type: ignore[misc]  # as above


@pytest.fixture
def in_virtual_time() -> Callable[..., Any]:
    def run(main: Callable[[], Any]) -> float:
        loop = _VirtualLoop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())
            return loop.now

    return run


def test_nobody_in_time_ends_the_wait(in_virtual_time) -> None:
    async def main() -> None:
        await Holds().all_gone(first_within_s=SOON_S, linger_s=LINGER_S)

    assert in_virtual_time(main) == pytest.approx(SOON_S)


def test_the_last_to_leave_ends_the_wait_a_little_later(in_virtual_time) -> None:
    async def main() -> None:
        holds = Holds()

        async def hold(start_s: float, end_s: float) -> None:
            await asyncio.sleep(start_s)
            with holds:
                await asyncio.sleep(end_s - start_s)

        async with asyncio.TaskGroup() as group:
            group.create_task(hold(10, 100))
            group.create_task(hold(50, 200))
            group.create_task(hold(201, 300))  # within the linger after the second
            group.create_task(holds.all_gone(first_within_s=SOON_S, linger_s=LINGER_S))

    assert in_virtual_time(main) == pytest.approx(302)
