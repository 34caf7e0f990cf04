"""Who asks about a task waits for its calls of just now, and for no others."""

from dataclasses import dataclass, field

import pytest
from tests.sidecar.tasks.recorded import call

from remora_sidecar.tasks.under_way import FRESH_S, MAX_TASKS, WAIT_S, UnderWay


class Standing:
    """A clock that goes on when a test says."""

    now_s = 1_000.0

    def now_unix_ns(self):
        return round(self.now_s * 1e9)

    def monotonic_s(self):
        return self.now_s


@dataclass
class Waits:
    """Says how often somebody waited for delivery."""

    within_s: list[float] = field(default_factory=list)

    async def caught_up(self, timeout_s):
        self.within_s.append(timeout_s)
        return True


@pytest.fixture
def waits():
    return Waits()


@pytest.fixture
def clock():
    return Standing()


@pytest.fixture
def under_way(waits, clock):
    return UnderWay(waits, clock)


@pytest.mark.parametrize(
    ("asked", "times"),
    [("t-1", 1), ("t-2", 0), ("", 1)],
    ids=["its own", "another", "all"],
)
async def test_only_fresh_calls_of_what_is_asked_about_are_waited_for(
    under_way, waits, asked, times
):
    under_way.take(call(1, "t-1"))
    under_way.take(call(2, ""))
    await under_way.arrived(asked)

    assert waits.within_s == [WAIT_S] * times


async def test_nobody_waits_for_calls_of_long_ago(under_way, waits, clock):
    under_way.take(call(1, "t-1"))
    clock.now_s += FRESH_S
    await under_way.arrived("t-1")
    await under_way.arrived()

    assert waits.within_s == []


async def test_a_bounded_number_of_tasks_is_remembered_the_newest(under_way, waits):
    for number in range(MAX_TASKS + 1):
        under_way.take(call(number, f"t-{number}"))
    await under_way.arrived("t-0")
    assert waits.within_s == []

    await under_way.arrived("t-1")
    assert len(waits.within_s) == 1
