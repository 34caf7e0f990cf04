"""Opens the cache that settings and policy ask for."""

import logging
from dataclasses import dataclass
from pathlib import Path

from remora.clock import Clock
from remora.errors import ConfigError, Problem
from remora_sidecar.cache.disk import DiskCache
from remora_sidecar.cache.harmless import harmless
from remora_sidecar.cache.levels import CacheLevels
from remora_sidecar.cache.memory import MemoryFront
from remora_sidecar.cache.secret import CacheSecrets, local_secrets, read_key_file
from remora_sidecar.cache.shared import SharedCache

logger = logging.getLogger(__name__)

CACHE_FILE = "cache.db"


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Where answers may be kept.

    Attributes:
        memory_bytes: Bound in memory.
        disk_bytes: Bound on disk.
        url: Of the shared cache; empty if there is none.
        key_file: Seals what is shared.
        namespace: Whose answers these are.
    """

    memory_bytes: int
    disk_bytes: int
    url: str
    key_file: Path | None
    namespace: str


def open_cache(
    settings: CacheSettings, data_dir: Path, clock: Clock
) -> tuple[CacheLevels, CacheSecrets]:
    """Open the levels; files and connections are opened when they are first needed.

    Raises:
        ConfigError: A secret can't be read or made.
    """
    secrets = _secrets(settings.key_file, data_dir)
    harmless("", "")  # reads its file now, not while the first call waits
    shared = None
    if settings.url:
        shared = SharedCache(
            settings.url, namespace=settings.namespace, secret=secrets.values, clock=clock
        )
    disk = DiskCache(data_dir / CACHE_FILE, settings.disk_bytes)
    return CacheLevels(MemoryFront(settings.memory_bytes), disk, shared), secrets


def tell_if_unshared(levels: CacheLevels, scope: str) -> None:
    """Log that answers are not shared though policy wants them to be."""
    if scope == "namespace" and not levels.are_shared:
        logger.warning(
            "policy says cache.scope: namespace, which needs REMORA_CACHE_URL: "
            "answers stay in this pod"
        )


def _secrets(key_file: Path | None, data_dir: Path) -> CacheSecrets:
    if key_file is not None:
        return read_key_file(key_file)
    try:
        return local_secrets(data_dir)
    except OSError as error:
        where = str(error.filename or data_dir)
        raise ConfigError([Problem(where, f"can't be used: {error.strerror or error}")]) from error
