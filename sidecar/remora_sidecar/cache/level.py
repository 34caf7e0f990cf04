"""What every level of the cache is to the one above it."""

from dataclasses import dataclass
from typing import Protocol

from remora_sidecar.cache.entry import CachedAnswer

CLOCKS_APART_S = 60.0
"""How far in the future an answer may have been stored: clocks of machines differ a little."""

LONGEST_S = 100 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer and when it expires."""

    answer: CachedAnswer
    expires_unix_ns: int

    @classmethod
    def for_(cls, answer: CachedAnswer, ttl_s: float) -> "Kept":
        """Keep an answer for so long after it was stored, a century at most."""
        return cls(answer, answer.stored_unix_ns + round(min(ttl_s, LONGEST_S) * 1e9))

    def is_fresh(self, now_unix_ns: int, max_age_s: float | None = None) -> bool:
        """Tell whether it may be served now, to who takes it up to this age."""
        age_s = self.answer.age_s(now_unix_ns)
        if now_unix_ns >= self.expires_unix_ns or age_s < -CLOCKS_APART_S:
            return False
        return max_age_s is None or max(age_s, 0.0) < max_age_s


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Figures of one level since it was opened; None where it can't know.

    Attributes:
        entries: Answers held now, expired ones that were not yet removed included.
        held_bytes: What they take.
        evictions: Answers given up for the bound.
        expirations: Answers found or removed after their time.
        errors: Values that could not be read, and operations that failed.
        refused: Answers not taken: too large, or too many waiting to be written.
        problem: Why the level does not work as it should; empty if it does.
    """

    entries: int | None = 0
    held_bytes: int | None = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0
    errors: int = 0
    refused: int = 0
    problem: str = ""


class Level(Protocol):
    """Keeps answers; never raises for what is wrong with its storage, but counts it."""

    async def find(self, key: str, now_unix_ns: int) -> Kept | None:
        """Return what is kept under the key and has not expired."""
        ...

    async def keep(self, key: str, kept: Kept, now_unix_ns: int) -> None:
        """Keep an answer, in place of what was kept under the key."""
        ...

    async def flush(self) -> None:
        """Return when all that was kept before is as durable as it will be."""
        ...

    async def clear(self) -> None:
        """Forget everything."""
        ...

    def stats(self) -> CacheStats:
        """Say how it goes."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections."""
        ...
