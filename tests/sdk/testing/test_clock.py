import pytest

from remora.testing.clock import NANOSECONDS, ManualClock


def test_time_stands_still_until_told():
    clock = ManualClock()
    assert (clock.now_unix_ns(), clock.monotonic_s()) == (
        clock.now_unix_ns(),
        clock.monotonic_s(),
    )


def test_time_passes_on_both_clocks():
    clock = ManualClock(unix_ns=5 * NANOSECONDS, monotonic_s=10.0)
    clock.advance(1.5)
    assert (clock.now_unix_ns(), clock.monotonic_s()) == (6_500_000_000, 11.5)


def test_a_stepped_wall_clock_leaves_the_monotonic_one():
    clock = ManualClock(unix_ns=5 * NANOSECONDS, monotonic_s=10.0)
    clock.step_wall(-3)
    assert (clock.now_unix_ns(), clock.monotonic_s()) == (2 * NANOSECONDS, 10.0)


def test_time_never_goes_back():
    with pytest.raises(ValueError, match="time passes forward"):
        ManualClock().advance(-0.1)


def test_many_small_steps_add_up_exactly():
    clock = ManualClock(unix_ns=0, monotonic_s=0)
    for _ in range(1000):
        clock.advance(0.1)
    assert (clock.now_unix_ns(), clock.monotonic_s()) == (100 * NANOSECONDS, 100.0)
