"""Watches which names are resolved: what resolves a provider's goes past the sidecar.

Clients that are covered never do, so one that does is none of them, and is told about once, by the
name of the package that asked. What resolves names in C is not seen.
"""

import sys
from collections.abc import Callable, Coroutine, Iterator
from types import ModuleType
from typing import Any

from remora.tracker.active import active_session, warn_untracked, within
from remora.tracker.clients.patching import when_imported, wrap_in_sessions

_PLUMBING = frozenset(
    {
        "aiohappyeyeballs",
        "aiohttp",
        "anyio",
        "eventlet",
        "gevent",
        "httpcore",
        "httpcore2",
        "remora",
    }
    | {"trio", "uvloop", "wrapt"}
)
"""Packages that resolve names for others; who asked them is the one to name."""
_NOT_CLIENTS = sys.stdlib_module_names | _PLUMBING
_PORTS = {None: 443, "https": 443, "http": 80}


def install() -> None:
    """Patch the resolvers of the standard library, and of uvloop."""
    when_imported("socket", lambda socket: wrap_in_sessions(socket, "getaddrinfo", _resolve))
    when_imported("asyncio.base_events", _patch_asyncio)
    when_imported("uvloop", _patch_uvloop)


def _patch_asyncio(base_events: ModuleType) -> None:
    wrap_in_sessions(base_events, "BaseEventLoop.getaddrinfo", _resolve_async)


def _patch_uvloop(uvloop: ModuleType) -> None:
    """Watch what uvloop is asked for: it resolves in C."""
    wrap_in_sessions(uvloop, "Loop.getaddrinfo", _resolve_async)
    wrap_in_sessions(uvloop, "Loop.create_connection", _connect_async)


def _resolve(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    _watch(*_asked(args, kwargs))
    return wrapped(*args, **kwargs)


def _resolve_async(
    wrapped: Callable[..., Any], loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Coroutine[Any, Any, Any]:
    _watch(*_asked(args, kwargs))
    return _resolved(wrapped(*args, **kwargs))


async def _resolved(resolving: Coroutine[Any, Any, Any]) -> Any:
    """Resolve in a thread, which keeps the session and is not to tell the same of its own."""
    with within(None):
        return await resolving


def _connect_async(
    wrapped: Callable[..., Any], loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if kwargs.get("sock") is None:
        _watch(*_asked(args[1:], kwargs))
    return wrapped(*args, **kwargs)


def _asked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    host = args[0] if args else kwargs.get("host")
    return host, args[1] if len(args) > 1 else kwargs.get("port")


def _watch(host: Any, port: Any) -> None:
    """Tell of a provider's name that is resolved in the context of a session."""
    session = active_session.get()
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if session is None or not isinstance(name, str):
        return
    number = _number(port)
    if not any(session.sidecar.takes(scheme, name, number) for scheme in ("https", "http")):
        return
    client = next(_packages(), "a client of this program")
    warn_untracked(
        f"{client} past the sidecar",
        f"{client} connects to {name} past the sidecar, so its calls are not tracked: "
        "docs/tracker-clients.md lists the clients that are; run others as a child process",
    )


def _number(port: Any) -> int:
    if isinstance(port, bytes):
        port = port.decode("ascii", "replace")
    if isinstance(port, str) and port.isdecimal():
        return int(port)
    return port if isinstance(port, int) and port else _PORTS.get(port, 443)


def _packages() -> Iterator[str]:
    """Name the packages that called, the nearest first, without the plumbing."""
    frame = sys._getframe(1)
    while (outer := frame.f_back) is not None:
        frame = outer
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package and package not in _NOT_CLIENTS:
            yield package
