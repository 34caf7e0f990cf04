"""The third level: answers that the pods of a namespace share, in Redis or Valkey.

Everything is sealed before it leaves (`seal`). A server that is slow or gone costs one call a
tenth of a second; then the breaker is open and the others go on without it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from remora.clock import Clock
from remora.task_owner import TaskOwner
from remora_sidecar.cache.breaker import Breaker
from remora_sidecar.cache.level import CacheStats, Kept
from remora_sidecar.cache.seal import seal, unseal

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

MAX_VALUE_BYTES = 1024 * 1024
"""Of a sealed value; larger answers stay in the pod."""

_CONNECTIONS = 16
_CLEAR_S = 10.0
_AT_ONCE = 500
_LARGE_BYTES = 32 * 1024
"""From here on sealing is done in a thread: it takes longer than handing it over."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call waits for the server.

    Attributes:
        connect_s: For a new connection.
        operation_s: For an answer, the connection included, and beforehand for its turn.
    """

    connect_s: float = 0.05
    operation_s: float = 0.1


class SharedCache:
    """Keeps answers on a server; never raises for what is wrong with it, but counts it.

    All methods are called on one event loop's thread.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str,
        secret: bytes,
        clock: Clock,
        max_value_bytes: int = MAX_VALUE_BYTES,
        patience: Patience = Patience(),
    ) -> None:
        """Name the server; it is connected to when it is needed.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``, with user and password if need be.
            namespace: Whose answers these are; part of every name on the server.
            secret: `CacheSecrets.values`, the same for all sidecars that share.
            clock: Tells when to try a server again that failed.
            max_value_bytes: Larger values are not kept.
            patience: How long a call waits.
        """
        self._redis = _client(url, patience)
        self._patience = patience
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._prefix = f"remora:1:{quote(namespace, safe='')}:"
        self._secret = secret
        self._clock = clock
        self._max_value_bytes = max_value_bytes
        self._breaker = Breaker()
        self._tasks = TaskOwner("shared-cache")
        self._closed = False
        self._problem = ""
        self._hits = self._misses = self._errors = self._refused = 0

    async def find(self, key: str, now_unix_ns: int) -> Kept | None:
        """Return what is kept under the key and has not expired."""
        place = self._place(key)
        sealed = await self._ask(lambda: self._redis.get(place))
        kept = await self._unsealed(sealed, key, place) if isinstance(sealed, bytes) else None
        if kept is None or not kept.is_fresh(now_unix_ns):
            self._misses += 1
            return None
        self._hits += 1
        return kept

    async def _unsealed(self, sealed: bytes, key: str, place: bytes) -> Kept | None:
        def work() -> Kept | None:
            return unseal(sealed, key, place=place, secret=self._secret)

        kept = await asyncio.to_thread(work) if len(sealed) > _LARGE_BYTES else work()
        self._errors += kept is None
        return kept

    async def keep(self, key: str, kept: Kept, now_unix_ns: int) -> None:
        """Keep an answer for as long as it may be served."""
        lifetime_ms = (kept.expires_unix_ns - now_unix_ns) // 1_000_000
        if lifetime_ms <= 0 or not self._is_open():
            return
        place = self._place(key)
        sealed = await self._sealed(kept, key, place)
        if sealed is None or len(sealed) > self._max_value_bytes:
            self._refused += 1
            return
        await self._ask(lambda: self._redis.set(place, sealed, px=lifetime_ms))

    async def _sealed(self, kept: Kept, key: str, place: bytes) -> bytes | None:
        def work() -> bytes | None:
            return seal(kept, key, place=place, secret=self._secret)

        size = kept.answer.body_bytes
        return await asyncio.to_thread(work) if size > _LARGE_BYTES else work()

    async def flush(self) -> None:
        """Do nothing: how durable the server is, it decides."""

    async def clear(self) -> None:
        """Forget all answers of the namespace."""
        await self._ask(self._remove_all, timeout_s=_CLEAR_S)

    async def _remove_all(self) -> None:
        batch: list[bytes] = []
        async for name in self._redis.scan_iter(match=f"{self._prefix}*", count=_AT_ONCE):
            batch.append(name)
            if len(batch) >= _AT_ONCE:
                await self._redis.unlink(*batch)
                batch.clear()
        if batch:
            await self._redis.unlink(*batch)

    def stats(self) -> CacheStats:
        """Say how it goes; what others keep on the server is not counted."""
        return CacheStats(
            entries=None,
            held_bytes=None,
            hits=self._hits,
            misses=self._misses,
            errors=self._errors,
            refused=self._refused,
            problem=self._problem,
        )

    async def aclose(self) -> None:
        """Let go of the connections."""
        self._closed = True
        await self._tasks.aclose()
        await self._redis.aclose()

    def _place(self, key: str) -> bytes:
        return f"{self._prefix}{key}".encode()

    # What may fail.

    async def _ask[T](
        self, ask: Callable[[], Awaitable[T]], timeout_s: float | None = None
    ) -> T | None:
        """Ask the server something; None where it does not answer.

        Waiting for its turn is no fault of the server: a call that waits too long goes on.
        """
        if not self._is_open():
            return None
        try:
            async with asyncio.timeout(self._patience.operation_s):
                await self._turns.acquire()
        except TimeoutError:
            self._refused += 1
            return None
        try:
            return await self._asked(ask, timeout_s or self._patience.operation_s)
        finally:
            self._turns.release()

    async def _asked[T](self, ask: Callable[[], Awaitable[T]], timeout_s: float) -> T | None:
        if not self._breaker.is_closed:  # opened while it waited
            return None
        try:
            async with asyncio.timeout(timeout_s):
                answer = await ask()
        except Exception as error:  # noqa: BLE001 - the library raises what its sockets raise
            self._failed(error)
            return None
        self._problem = ""
        return answer

    def _is_open(self) -> bool:
        """Whether the server may be asked; begins a probe where it is time for one."""
        if self._closed:
            return False
        if self._breaker.probe(self._clock.monotonic_s()):
            self._tasks.spawn(self._probe(), name="probe")
        return self._breaker.is_closed

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(self._patience.operation_s):
                await self._redis.ping()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
        else:
            self._breaker.succeed()
            self._problem = ""
            logger.info("the shared cache answers again")

    def _failed(self, error: Exception) -> None:
        from redis.exceptions import ResponseError

        self._errors += 1
        what = "refuses" if isinstance(error, ResponseError) else "does not answer"
        problem = f"the shared cache {what}: {_said(error)}"
        if not self._problem:
            logger.warning("%s", problem)
        self._problem = problem
        if not isinstance(error, ResponseError):  # such as a server that is full: it still reads
            self._breaker.fail(self._clock.monotonic_s())


def _said(error: Exception) -> str:
    """The error in words; it names the server's address, never its password."""
    return f"{error}" or type(error).__name__


def _client(url: str, patience: Patience) -> "Redis":
    """Make the client: no retries, one protocol that all servers speak."""
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = ConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS + 1,  # one for probes
        socket_connect_timeout=patience.connect_s,
        socket_timeout=patience.operation_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return Redis.from_pool(pool)
