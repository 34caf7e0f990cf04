"""The cache as the engine sees it: memory over disk over what is shared."""

import asyncio
from collections.abc import Sequence
from enum import Enum

from remora_sidecar.cache.disk import DiskCache
from remora_sidecar.cache.entry import CachedAnswer
from remora_sidecar.cache.key import may_be_shared
from remora_sidecar.cache.level import CacheStats, Kept, Level
from remora_sidecar.cache.memory import MemoryFront


class Scope(Enum):
    """How far an answer goes; policy's ``cache.scope``."""

    POD = "pod"
    NAMESPACE = "namespace"


class CacheLevels:
    """Looks in the nearest level first; what is found farther off comes nearer.

    All methods are called on one event loop's thread, and none raises for what is wrong with
    a level: the call goes to the provider then.
    """

    def __init__(
        self, memory: MemoryFront, disk: Level | None = None, shared: Level | None = None
    ) -> None:
        """Put the levels together; none but memory has to be there."""
        self._memory = memory
        self._levels = {
            name: level
            for name, level in (("memory", memory), ("disk", disk), ("shared", shared))
            if level is not None
        }

    @property
    def are_shared(self) -> bool:
        """Whether there is a level that other pods look in."""
        return "shared" in self._levels

    async def get(
        self,
        key: str,
        now_unix_ns: int,
        max_age_s: float | None = None,
        scope: Scope = Scope.POD,
    ) -> CachedAnswer | None:
        """Return the answer kept under a key.

        Args:
            key: From `cache_key`.
            now_unix_ns: The time.
            max_age_s: Only one younger than this.
            scope: Whether to ask what is shared, too.
        """
        near = self.near(key, now_unix_ns, max_age_s)
        return near or await self.far(key, now_unix_ns, max_age_s, scope)

    def near(
        self, key: str, now_unix_ns: int, max_age_s: float | None = None
    ) -> CachedAnswer | None:
        """Return the answer that memory keeps under a key; see `get`."""
        kept = self._memory.look(key, now_unix_ns)
        if kept is None or (max_age_s is not None and not kept.is_fresh(now_unix_ns, max_age_s)):
            return None
        return kept.answer

    async def far(
        self,
        key: str,
        now_unix_ns: int,
        max_age_s: float | None = None,
        scope: Scope = Scope.POD,
    ) -> CachedAnswer | None:
        """Return the answer that another level keeps under a key; see `get`."""
        nearer: list[Level] = [self._memory]
        for level in self._of(scope, key)[1:]:
            kept = await level.find(key, now_unix_ns)
            if kept is not None and kept.is_fresh(now_unix_ns, max_age_s):
                await self._promote(nearer, key, kept, now_unix_ns)
                return kept.answer
            nearer.append(level)
        return None

    async def _promote(
        self, nearer: Sequence[Level], key: str, kept: Kept, now_unix_ns: int
    ) -> None:
        for level in nearer:
            await level.keep(key, kept, now_unix_ns)

    async def put(
        self,
        key: str,
        answer: CachedAnswer,
        now_unix_ns: int,
        ttl_s: float,
        scope: Scope = Scope.POD,
    ) -> None:
        """Keep an answer; in memory it is found at once.

        Args:
            key: From `cache_key`.
            answer: A whole, successful one: `after` says which.
            now_unix_ns: The time.
            ttl_s: How long after it was stored it may be served; not more than nothing keeps
                nothing.
            scope: Whether to share it.
        """
        kept = Kept.for_(answer, ttl_s)
        if kept.is_fresh(now_unix_ns):
            levels = self._of(scope, key)
            await asyncio.gather(*(level.keep(key, kept, now_unix_ns) for level in levels))

    async def flush(self) -> None:
        """Return when all that was put before is as durable as it will be."""
        await self._each("flush")

    async def clear(self) -> None:
        """Forget everything on every level."""
        await self._each("clear")

    async def resize(self, disk_bytes: int) -> None:
        """Change the bound on disk."""
        disk = self._levels.get("disk")
        if isinstance(disk, DiskCache):
            await disk.resize(disk_bytes)

    def stats(self) -> dict[str, CacheStats]:
        """Say how it goes, by level: ``memory``, ``disk``, ``shared``."""
        return {name: level.stats() for name, level in self._levels.items()}

    async def aclose(self) -> None:
        """Let go of files and connections."""
        await self._each("aclose")

    async def _each(self, what: str) -> None:
        await asyncio.gather(*(getattr(level, what)() for level in self._levels.values()))

    def _of(self, scope: Scope, key: str) -> list[Level]:
        far = scope is Scope.NAMESPACE and may_be_shared(key)
        return [level for name, level in self._levels.items() if far or name != "shared"]
