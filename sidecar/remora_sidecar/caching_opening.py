"""The response cache, made of a sidecar's settings and its first policy."""

from remora.clock import Clock
from remora_sidecar.cache.file import LIMIT_BYTES
from remora_sidecar.cache.opening import CacheSettings, open_cache, tell_if_unshared
from remora_sidecar.data_directory import DataDirectory
from remora_sidecar.engine.caching import Caching
from remora_sidecar.policy import CachePolicy
from remora_sidecar.settings import SidecarSettings


def open_caching(
    settings: SidecarSettings, policy: CachePolicy | None, data: DataDirectory, clock: Clock
) -> Caching:
    """Make it; where policy has no cache it may come to have one."""
    wanted = CacheSettings(
        memory_bytes=settings.cache_memory_bytes,
        disk_bytes=policy.max_bytes if policy is not None else LIMIT_BYTES,
        url=settings.cache_url.get_secret_value() if settings.cache_url is not None else "",
        key_file=settings.cache_key_file,
        namespace=settings.namespace,
    )
    levels, secrets = open_cache(wanted, data.path, clock)
    tell_if_unshared(levels, policy.scope if policy is not None else "")
    return Caching(levels, namespace=settings.namespace, secret=secrets.fingerprints, clock=clock)
