"""How many bytes are read at once."""

import asyncio

import pytest

from remora.task_owner import TaskOwner
from remora_aggregator.service.flight import Flight
from remora_aggregator.service.rates import RateLimited


@pytest.fixture
async def tasks():
    owner = TaskOwner("test")
    yield owner
    await owner.aclose()


async def _turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_fits_goes_at_once_and_the_rest_waits_in_order(tasks):
    flight, gone = Flight(10), []

    async def fly(size):
        await flight.take_off(size)
        gone.append(size)

    for size in (6, 5, 1, 4):
        tasks.spawn(fly(size), name=str(size))
        await _turns()
    assert (gone, flight.held_bytes) == ([6], 16)  # 1 would fit, and does not overtake 5
    flight.land(6)
    await _turns()
    assert gone == [6, 5, 1, 4]
    for size in (5, 1, 4):
        flight.land(size)
    assert flight.held_bytes == 0


async def test_one_that_is_larger_than_all_the_room_goes_alone(tasks):
    flight = Flight(10)
    await flight.take_off(30)
    with pytest.raises(RateLimited, match="send it again"):
        await flight.take_off(1)
    flight.land(30)
    await flight.take_off(1)
    assert flight.held_bytes == 1


async def test_more_than_twice_the_room_is_turned_away(tasks):
    flight = Flight(10)
    await flight.take_off(10)
    waiting = tasks.spawn(flight.take_off(10), name="waiting")
    await _turns()
    with pytest.raises(RateLimited) as refused:
        await flight.take_off(1)
    assert refused.value.retry_after_s > 0
    assert not waiting.done()


@pytest.mark.parametrize("landed_first", [False, True])
async def test_who_gives_up_leaves_no_room_taken(tasks, landed_first):
    flight = Flight(10)
    await flight.take_off(8)
    lost = tasks.spawn(flight.take_off(9), name="lost")
    after = tasks.spawn(flight.take_off(2), name="after")
    await _turns()
    if landed_first:  # its turn comes, and it is gone before it knows
        flight.land(8)
        lost.cancel()
    else:
        lost.cancel()
        await _turns()
        assert after.done()
        flight.land(8)
    await _turns()
    assert after.done()
    flight.land(2)
    assert flight.held_bytes == 0


async def test_who_has_nothing_yet_waits_for_its_turn_and_is_never_turned_away(tasks):
    flight = Flight(10)
    await flight.take_off(30)
    reader = tasks.spawn(flight.take_off(0), name="reader")
    await _turns()
    assert not reader.done()
    flight.land(30)
    await _turns()
    assert (reader.done(), flight.held_bytes) == (True, 0)
