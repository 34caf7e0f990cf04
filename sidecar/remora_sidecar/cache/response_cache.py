"""`ResponseCache`: the published tracker's low-level cache, for programs that keep answers.

The same calls (get, put, flush, clear, close, `len`) over Remora's own file. Other than there,
nothing is loaded at the start, both levels are bounded, and a broken file is set aside. Keys are
the caller's own: `cache_key` makes safe ones.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remora.clock import Clock, SystemClock
from remora_sidecar.cache.entry import CachedAnswer, CachedFacts, Chunk
from remora_sidecar.cache.file import LIMIT_BYTES, AnswerFile
from remora_sidecar.cache.level import LONGEST_S, Kept
from remora_sidecar.cache.memory import LIMIT_BYTES as MEMORY_LIMIT_BYTES
from remora_sidecar.cache.memory import MemoryFront

logger = logging.getLogger(__name__)

FILE_NAME = "remora-cache.sqlite"
FLUSH_INTERVAL_S = 10.0


@dataclass(frozen=True)
class CacheEntry:
    """One answer.

    Attributes:
        response_bytes: The body.
        response_headers: Names and values.
        latency_seconds: Of the original call.
    """

    response_bytes: bytes
    response_headers: Mapping[str, str] = field(default_factory=dict)
    latency_seconds: float = 0.0


class ResponseCache:
    """Answers in memory and, where a folder is named, in a file; may be used by many threads.

    What was put is found at once and written by `flush`, by `close` and from time to time.
    """

    def __init__(
        self,
        cache_dir: str | Path | None = None,
        flush_interval: float = FLUSH_INTERVAL_S,
        *,
        ttl_s: float = LONGEST_S,
        limit_bytes: int = LIMIT_BYTES,
        memory_bytes: int = MEMORY_LIMIT_BYTES,
        clock: Clock | None = None,
    ) -> None:
        """Open the cache.

        Args:
            cache_dir: Folder of the file; None keeps answers in memory alone.
            flush_interval: Seconds from one writing to the next; 0 writes only when told.
            ttl_s: How long an answer is good for.
            limit_bytes: Bound of the file.
            memory_bytes: Bound of what is in memory.
            clock: Tells the time; the machine's own if None.
        """
        self._clock = clock or SystemClock()
        self._ttl_s = ttl_s
        self._lock = threading.RLock()
        self._memory = MemoryFront(memory_bytes)
        self._file = AnswerFile(Path(cache_dir) / FILE_NAME, limit_bytes) if cache_dir else None
        self._unwritten: dict[str, Kept] = {}
        self._unwritten_bytes = 0
        self._memory_bytes = memory_bytes
        self._stop = threading.Event()
        self._writer: threading.Thread | None = None
        if self._file is not None and flush_interval > 0:
            self._writer = threading.Thread(
                target=self._write_now_and_then,
                args=(flush_interval,),
                name="remora-response-cache",
                daemon=True,
            )
            self._writer.start()

    def get(self, key: str) -> CacheEntry | None:
        """Return what is kept under a key; None if nothing is."""
        now_ns = self._clock.now_unix_ns()
        with self._lock:
            kept = self._unwritten.get(key) or self._memory.look(key, now_ns)
            if kept is None and self._file is not None:
                kept = self._file.find(key, now_ns)
                if kept is not None:
                    self._memory.hold(key, kept)
        return _entry(kept.answer) if kept is not None and kept.is_fresh(now_ns) else None

    def put(self, key: str, entry: CacheEntry) -> None:
        """Keep an answer."""
        now_ns = self._clock.now_unix_ns()
        kept = Kept.for_(_answer(entry, now_ns), self._ttl_s)
        with self._lock:
            self._memory.hold(key, kept)
            if self._file is None:
                return
            if (before := self._unwritten.pop(key, None)) is not None:
                self._unwritten_bytes -= before.answer.held_bytes
            self._unwritten[key] = kept
            self._unwritten_bytes += kept.answer.held_bytes
            if self._unwritten_bytes > self._memory_bytes:
                self.flush()

    def flush(self) -> None:
        """Write what was put since the last time; it then outlives a loss of power."""
        with self._lock:
            if self._file is None or not self._unwritten:
                return
            now_ns = self._clock.now_unix_ns()
            for key, kept in self._unwritten.items():
                self._file.keep(key, kept, now_ns)
            self._file.flush()
            self._forget_unwritten()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._memory.drop()
            self._forget_unwritten()
            if self._file is not None:
                self._file.clear()

    def close(self) -> None:
        """Write what is unwritten and let go of the file; a second call does nothing."""
        self._stop.set()
        if self._writer is not None:
            self._writer.join(timeout=5.0)
            self._writer = None
        with self._lock:
            self.flush()
            if self._file is not None:
                self._file.close()

    def __len__(self) -> int:
        """How many answers are kept; expired ones count until they are looked for."""
        with self._lock:
            if self._file is None:
                return self._memory.stats().entries or 0
            return self._file.count() + sum(key not in self._file for key in self._unwritten)

    def _forget_unwritten(self) -> None:
        self._unwritten.clear()
        self._unwritten_bytes = 0

    def _write_now_and_then(self, interval_s: float) -> None:
        while not self._stop.wait(interval_s):
            self.flush()


def _answer(entry: CacheEntry, now_ns: int) -> CachedAnswer:
    headers = tuple(
        (name.encode("utf-8", "replace"), value.encode("utf-8", "replace"))
        for name, value in entry.response_headers.items()
    )
    return CachedAnswer(
        status=200,
        reason="OK",
        headers=headers,
        chunks=(Chunk(0.0, bytes(entry.response_bytes)),),
        facts=CachedFacts(latency_s=entry.latency_seconds),
        stored_unix_ns=now_ns,
    )


def _entry(answer: CachedAnswer) -> CacheEntry:
    return CacheEntry(
        response_bytes=answer.body,
        response_headers={
            name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for name, value in answer.headers
        },
        latency_seconds=answer.facts.latency_s,
    )
