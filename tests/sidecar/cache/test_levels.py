import asyncio

import pytest

from remora_sidecar.cache.disk import DiskCache
from remora_sidecar.cache.key import POD_ONLY
from remora_sidecar.cache.level import CacheStats
from remora_sidecar.cache.levels import CacheLevels, Scope
from remora_sidecar.cache.memory import MemoryFront


class Dictionary:
    """A level that stands for what is shared."""

    def __init__(self) -> None:  # noqa: D107
        self.kept = {}
        self.asked = []

    async def find(self, key, now_unix_ns):
        self.asked.append(key)
        return self.kept.get(key)

    async def keep(self, key, kept, now_unix_ns):
        self.kept[key] = kept

    async def flush(self):
        pass

    async def clear(self):
        self.kept.clear()

    def stats(self):
        return CacheStats(entries=len(self.kept))

    async def aclose(self):
        pass


@pytest.fixture
async def open_levels(tmp_path):
    opened = []

    def open_one(name="cache.sqlite", shared=None):
        opened.append(CacheLevels(MemoryFront(), DiskCache(tmp_path / name), shared))
        return opened[-1]

    yield open_one
    for levels in opened:
        await levels.aclose()


async def test_an_answer_is_found_near_and_after_a_restart(open_levels, make_answer, clock):
    levels, now = open_levels(), clock.now_unix_ns()
    await levels.put("a", make_answer(), now, 60)
    assert await levels.get("a", now) == make_answer()
    assert levels.stats()["disk"].hits == 0
    await levels.aclose()

    levels = open_levels()
    assert await levels.get("a", now) == make_answer()
    assert await levels.get("a", now) == make_answer()
    assert levels.stats()["disk"].hits == 1, "the second time it was in memory"
    assert levels.stats()["memory"].hits == 1


async def test_an_answer_expires_on_every_level(open_levels, make_answer, clock):
    levels = open_levels()
    await levels.put("a", make_answer(), clock.now_unix_ns(), 60)
    clock.advance(59.9)
    assert await levels.get("a", clock.now_unix_ns()) is not None
    clock.advance(0.1)

    assert await levels.get("a", clock.now_unix_ns()) is None


async def test_who_asks_for_a_younger_one_gets_none(open_levels, make_answer, clock):
    levels = open_levels()
    await levels.put("a", make_answer(), clock.now_unix_ns(), 60)
    clock.advance(10)
    now = clock.now_unix_ns()

    assert await levels.get("a", now, 10) is None
    assert await levels.get("a", now, 10.5) == (await levels.get("a", now))


async def test_no_age_at_all_is_young_enough_for_who_takes_none(open_levels, make_answer, clock):
    levels, now = open_levels(), clock.now_unix_ns()
    await levels.put("a", make_answer(), now, 60)

    assert await levels.get("a", now, 0) is None


@pytest.mark.parametrize("ttl_s", [0, -1])
async def test_what_is_good_for_no_time_is_not_kept(open_levels, make_answer, clock, ttl_s):
    levels, now = open_levels(), clock.now_unix_ns()
    await levels.put("a", make_answer(), now, ttl_s)

    assert levels.stats()["memory"].entries == 0


async def test_any_time_to_live_is_taken(open_levels, make_answer, clock):
    levels, now = open_levels(), clock.now_unix_ns()
    await levels.put("a", make_answer(), now, 1e300)

    assert await levels.get("a", now) is not None


async def test_what_is_shared_comes_nearer(open_levels, make_answer, clock):
    shared, now = Dictionary(), clock.now_unix_ns()
    one, other = open_levels("one", shared), open_levels("other", shared)
    await one.put("a", make_answer(), now, 60, Scope.NAMESPACE)

    assert await other.get("a", now, scope=Scope.NAMESPACE) == make_answer()
    shared.kept.clear()
    assert await other.get("a", now, scope=Scope.NAMESPACE) == make_answer()
    await other.flush()
    assert other.stats()["disk"].entries == 1


async def test_what_is_of_the_pod_stays_in_the_pod(open_levels, make_answer, clock):
    shared, now = Dictionary(), clock.now_unix_ns()
    levels = open_levels(shared=shared)
    await levels.put("a", make_answer(), now, 60)
    await levels.put(f"{POD_ONLY}b", make_answer(), now, 60, Scope.NAMESPACE)
    await levels.get("c", now)
    await levels.get(f"{POD_ONLY}c", now, scope=Scope.NAMESPACE)

    assert (shared.kept, shared.asked) == ({}, [])
    assert await levels.get(f"{POD_ONLY}b", now, scope=Scope.NAMESPACE) is not None


async def test_clearing_clears_every_level(open_levels, make_answer, clock):
    shared, now = Dictionary(), clock.now_unix_ns()
    levels = open_levels(shared=shared)
    await levels.put("a", make_answer(), now, 60, Scope.NAMESPACE)
    await levels.clear()

    assert await levels.get("a", now, scope=Scope.NAMESPACE) is None
    assert {name: stats.entries for name, stats in levels.stats().items()} == {
        "memory": 0, "disk": 0, "shared": 0,
    }  # fmt: skip


async def test_memory_alone_is_a_cache(make_answer, clock):
    levels, now = CacheLevels(MemoryFront()), clock.now_unix_ns()
    await levels.put("a", make_answer(), now, 60)

    assert await levels.get("a", now) == make_answer()
    await levels.aclose()


async def test_answers_that_wait_to_be_written_are_bounded(open_levels, make_kept, clock, tmp_path):
    disk, now = DiskCache(tmp_path / "c.sqlite"), clock.now_unix_ns()
    kept = make_kept(size=7_000_000)
    await asyncio.gather(*(disk.keep(str(number), kept, now) for number in range(8)))

    assert disk.stats().refused == 4
    assert disk.stats().entries == 4
    await disk.aclose()
