"""Companions: pools that go by the sidecar, kept on the pools that they stand in for."""

from collections.abc import Callable, Iterable
from typing import Any

from remora.tracker.active import ActiveSession
from remora.tracker.clients.passage import SidecarKey, sidecar_key

_KEPT = "_remora_companions"


def companion_of(pool: Any, session: ActiveSession, make: Callable[[], Any]) -> Any:
    """Give a pool's companion for a session's sidecar; it is made on first use."""
    kept: dict[SidecarKey, Any] = pool.__dict__.setdefault(_KEPT, {})
    key = sidecar_key(session.sidecar)
    # Of two threads that make one the first wins; what holds no connection needs no closing.
    return kept.get(key) or kept.setdefault(key, make())


def has_companions(pool: Any) -> bool:
    """Tell whether a pool has any."""
    return _KEPT in pool.__dict__


def taken_from(pool: Any) -> Iterable[Any]:
    """Take a pool's companions away from it, to be closed."""
    taken: dict[SidecarKey, Any] = pool.__dict__.pop(_KEPT, {})
    return taken.values()


def close_with_companions(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Close a pool, and its companions whatever becomes of that."""
    try:
        return wrapped(*args, **kwargs)
    finally:
        for companion in taken_from(pool):
            companion.close()
