"""The first level: answers in memory, ready to be sent, bounded in bytes."""

from cachetools import LRUCache

from remora_sidecar.cache.level import CacheStats, Kept

LIMIT_BYTES = 32 * 1024 * 1024


class _Answers(LRUCache[str, Kept]):
    """Counts what it evicts."""

    evictions = 0

    def popitem(self) -> tuple[str, Kept]:
        self.evictions += 1
        return super().popitem()


def _size(kept: Kept) -> int:
    return kept.answer.held_bytes


class MemoryFront:
    """Forgets first what was not asked for the longest; nothing in it ever waits."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        """Keep up to so many bytes; 0 keeps nothing."""
        self._limit_bytes = limit_bytes
        self._answers = _Answers(limit_bytes, getsizeof=_size)
        self._hits = self._misses = self._expirations = self._refused = 0

    def look(self, key: str, now_unix_ns: int) -> Kept | None:
        """Return what is kept and has not expired."""
        kept: Kept | None = self._answers.get(key)
        if kept is not None and kept.is_fresh(now_unix_ns):
            self._hits += 1
            return kept
        self._misses += 1
        if kept is not None and now_unix_ns >= kept.expires_unix_ns:
            del self._answers[key]
            self._expirations += 1
        return None

    def hold(self, key: str, kept: Kept) -> None:
        """Keep an answer, unless it alone would take most of the room."""
        if kept.answer.held_bytes > self._limit_bytes // 2:
            self._refused += 1
            self._answers.pop(key, None)
            return
        self._answers[key] = kept

    async def find(self, key: str, now_unix_ns: int) -> Kept | None:
        """Return what is kept and has not expired."""
        return self.look(key, now_unix_ns)

    async def keep(self, key: str, kept: Kept, now_unix_ns: int) -> None:
        """Keep an answer."""
        self.hold(key, kept)

    async def clear(self) -> None:
        """Forget everything."""
        self.drop()

    async def flush(self) -> None:
        """Do nothing: memory is never durable."""

    def drop(self) -> None:
        """Forget everything."""
        evictions = self._answers.evictions
        self._answers.clear()
        self._answers.evictions = evictions  # some versions clear one by one

    def stats(self) -> CacheStats:
        """Say how it goes."""
        return CacheStats(
            entries=len(self._answers),
            held_bytes=int(self._answers.currsize),
            hits=self._hits,
            misses=self._misses,
            evictions=self._answers.evictions,
            expirations=self._expirations,
            refused=self._refused,
        )

    async def aclose(self) -> None:
        """Forget everything."""
        self.drop()
