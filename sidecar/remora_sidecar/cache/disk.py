"""The second level: answers in a file, read and written in a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from remora_sidecar.cache.file import LIMIT_BYTES, AnswerFile
from remora_sidecar.cache.level import CacheStats, Kept

_WAITING_BYTES = 32 * 1024 * 1024
"""Answers that may wait to be written; what comes beyond is not kept."""


class DiskCache:
    """An `AnswerFile` that never keeps the event loop waiting.

    All methods are called on one event loop's thread.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        """Name the file; it is opened on first use, in the thread."""
        self._file = AnswerFile(path, limit_bytes)
        self._worker = ThreadPoolExecutor(1, "remora-cache")
        self._waiting_bytes = 0
        self._refused = 0
        self._last = CacheStats(entries=None, held_bytes=None)
        self._closed = False

    @property
    def moved_aside(self) -> Path | None:
        """Where a broken file was moved, None if none was."""
        return self._file.moved_aside

    async def find(self, key: str, now_unix_ns: int) -> Kept | None:
        """Return what is kept under the key and has not expired."""
        return await self._in_worker(lambda: self._file.find(key, now_unix_ns))

    async def keep(self, key: str, kept: Kept, now_unix_ns: int) -> None:
        """Keep an answer; returns when it would survive the end of the process."""
        size = kept.answer.held_bytes
        if self._waiting_bytes + size > _WAITING_BYTES:
            self._refused += 1
            return
        self._waiting_bytes += size
        try:
            await self._in_worker(lambda: self._file.keep(key, kept, now_unix_ns))
        finally:
            self._waiting_bytes -= size

    async def flush(self) -> None:
        """Return when all that was kept before would survive a loss of power."""
        await self._in_worker(self._file.flush)

    async def clear(self) -> None:
        """Forget everything."""
        await self._in_worker(self._file.clear)

    async def resize(self, limit_bytes: int) -> None:
        """Change the bound of the file."""
        await self._in_worker(lambda: self._file.resize(limit_bytes))

    def stats(self) -> CacheStats:
        """Say how it went up to the last operation."""
        return replace(self._last, refused=self._last.refused + self._refused)

    async def aclose(self) -> None:
        """Let go of the file for good, after what was begun."""
        if self._closed:
            return
        await self._in_worker(self._file.close)
        self._closed = True
        self._worker.shutdown(wait=False)

    async def _in_worker[T](self, work: Callable[[], T]) -> T | None:
        if self._closed:
            return None

        def worked() -> tuple[T, CacheStats]:
            return work(), self._file.stats()

        result, self._last = await asyncio.get_running_loop().run_in_executor(self._worker, worked)
        return result
