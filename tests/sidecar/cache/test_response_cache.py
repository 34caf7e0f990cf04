"""The published tracker's calls, and what is better about them here."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from remora_sidecar.cache.response_cache import FILE_NAME, CacheEntry, ResponseCache

ENTRY = CacheEntry(b"\x00\xff bytes", {"content-type": "application/json", "x": "ü"}, 1.5)


@pytest.fixture
def open_cache(tmp_path):
    opened = []

    def open_one(cache_dir=tmp_path / "cache", flush_interval=0, **options):
        opened.append(ResponseCache(cache_dir, flush_interval, **options))
        return opened[-1]

    yield open_one
    for cache in opened:
        cache.close()


def test_what_was_put_is_got(open_cache):
    cache = open_cache(None)
    cache.put("a", ENTRY)

    assert cache.get("a") == ENTRY
    assert cache.get("b") is None
    assert len(cache) == 1
    cache.clear()
    assert cache.get("a") is None
    assert len(cache) == 0


@pytest.mark.parametrize("end", ["flush", "close"])
def test_it_is_there_for_the_next_program(open_cache, end):
    cache = open_cache()
    cache.put("a", ENTRY)
    cache.put("b", CacheEntry(b""))
    getattr(cache, end)()
    cache.close()

    other = open_cache()
    assert len(other) == 2
    assert other.get("a") == ENTRY
    assert other.get("b") == CacheEntry(b"")


def test_putting_writes_nothing_yet(open_cache, tmp_path):
    cache = open_cache()
    cache.put("a", ENTRY)

    assert not (tmp_path / "cache" / FILE_NAME).exists()
    assert len(cache) == 1
    assert cache.get("a") == ENTRY


def test_the_last_one_put_counts(open_cache):
    cache = open_cache()
    cache.put("a", ENTRY)
    cache.flush()
    cache.put("a", CacheEntry(b"new"))

    assert cache.get("a") == CacheEntry(b"new")
    assert len(cache) == 1
    cache.close()
    assert open_cache().get("a") == CacheEntry(b"new")


def test_clearing_clears_the_file(open_cache):
    cache = open_cache()
    cache.put("a", ENTRY)
    cache.flush()
    cache.put("b", ENTRY)
    cache.clear()
    assert len(cache) == 0
    cache.close()

    assert open_cache().get("a") is None


def test_it_writes_from_time_to_time(open_cache, tmp_path):
    written = threading.Event()

    class Watched(ResponseCache):
        def flush(self):
            super().flush()
            written.set()

    cache = Watched(tmp_path / "cache", 0.01)
    cache.put("a", ENTRY)
    written.clear()
    assert written.wait(10)
    assert (tmp_path / "cache" / FILE_NAME).exists()
    cache.close()


def test_what_is_unwritten_is_bounded(open_cache, tmp_path):
    cache = open_cache(memory_bytes=50_000)
    for number in range(20):
        cache.put(str(number), CacheEntry(bytes(10_000)))

    assert (tmp_path / "cache" / FILE_NAME).exists()
    assert all(cache.get(str(number)) is not None for number in range(20))


def test_answers_expire_where_that_is_asked_for(open_cache, clock):
    cache = open_cache(ttl_s=60, clock=clock)
    cache.put("a", ENTRY)
    clock.advance(60)

    assert cache.get("a") is None


def test_a_broken_file_is_set_aside(open_cache, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FILE_NAME).write_bytes(b"no database" * 500)
    cache = open_cache()
    cache.put("a", ENTRY)
    cache.close()

    assert open_cache().get("a") == ENTRY


def test_a_second_program_works_in_memory(open_cache):
    first, second = open_cache(), open_cache()
    first.put("a", ENTRY)
    first.flush()
    second.put("b", ENTRY)
    second.flush()

    assert second.get("b") == ENTRY
    assert second.get("a") is None


def test_many_threads_may_use_it(open_cache):
    cache = open_cache(memory_bytes=100_000)

    def use(worker):
        for number in range(50):
            key = f"{worker}-{number}"
            cache.put(key, CacheEntry(key.encode() * 100))
            assert cache.get(key).response_bytes == key.encode() * 100
            if number % 20 == 0:
                cache.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))

    assert len(cache) == 400
