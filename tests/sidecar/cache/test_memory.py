from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.cache.entry import CachedAnswer, Chunk
from remora_sidecar.cache.level import Kept
from remora_sidecar.cache.memory import MemoryFront


def kept(number, size, expires_ns=1000):
    return Kept(CachedAnswer(number, "", (), (Chunk(0, bytes(size)),)), expires_ns)


def test_what_was_not_asked_for_the_longest_goes_first():
    front = MemoryFront(4 * kept(0, 1000).answer.held_bytes)
    for number in range(4):
        front.hold(str(number), kept(number, 1000))
    assert front.look("0", 1) is not None

    front.hold("4", kept(4, 1000))

    assert [key for key in "01234" if front.look(key, 1)] == ["0", "2", "3", "4"]
    assert front.stats().evictions == 1


def test_what_expired_is_gone():
    front = MemoryFront()
    front.hold("a", kept(1, 10, expires_ns=100))

    assert front.look("a", 99) is not None
    assert front.look("a", 100) is None
    assert front.look("a", 99) is None
    stats = front.stats()
    assert (stats.hits, stats.misses, stats.expirations, stats.entries) == (1, 2, 1, 0)


def test_what_would_take_most_of_the_room_is_not_held_and_neither_is_what_it_replaces():
    front = MemoryFront(10_000)
    front.hold("a", kept(1, 10))
    front.hold("a", kept(2, 9_000))

    assert front.look("a", 1) is None
    assert front.stats().refused == 1


def test_a_bound_of_nothing_holds_nothing():
    front = MemoryFront(0)
    front.hold("a", kept(1, 0))

    assert front.look("a", 1) is None


async def test_forgetting_everything_keeps_the_figures():
    front = MemoryFront()
    await front.keep("a", kept(1, 10), 0)
    assert await front.find("a", 1) == kept(1, 10)
    await front.flush()
    await front.clear()

    assert await front.find("a", 1) is None
    stats = front.stats()
    assert (stats.entries, stats.held_bytes, stats.evictions, stats.hits) == (0, 0, 0, 1)
    await front.aclose()


steps = st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 3000)))


@given(st.integers(0, 9000), steps)
def test_its_bound_always_holds(limit, steps):
    front, last = MemoryFront(limit), {}
    for number, size in steps:
        if size is None:
            found = front.look(str(number), 1)
            assert found is None or found == last[number]
        else:
            last[number] = kept(number, size)
            front.hold(str(number), last[number])
        assert front.stats().held_bytes <= limit
