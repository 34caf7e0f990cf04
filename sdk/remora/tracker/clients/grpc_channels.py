"""gRPC: a channel to a provider's host goes by the sidecar of the session that it is made in.

A channel has one proxy for all of its calls, so it keeps its session. A call of another session on
it, or on a channel made outside of every session, is told about as untracked. Its bytes
are HTTP/2 within TLS, which pass the sidecar unread.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

from remora.tracker.active import ActiveSession, active_session, session_for, warn_untracked
from remora.tracker.clients.passage import is_sidecar, warn_own_proxy, warn_own_way
from remora.tracker.clients.patching import when_imported, wrap_in_sessions

_PROXY = "grpc.http_proxy"
_PROXIES_ENABLED = "grpc.enable_http_proxy"
_CALLS = (
    "_UnaryUnaryMultiCallable.__call__",
    "_UnaryUnaryMultiCallable.with_call",
    "_UnaryUnaryMultiCallable.future",
    "_SingleThreadedUnaryStreamMultiCallable.__call__",
    "_UnaryStreamMultiCallable.__call__",
    "_StreamUnaryMultiCallable.__call__",
    "_StreamUnaryMultiCallable.with_call",
    "_StreamUnaryMultiCallable.future",
    "_StreamStreamMultiCallable.__call__",
)
_ASYNC_CALLS = (
    "UnaryUnaryMultiCallable.__call__",
    "UnaryStreamMultiCallable.__call__",
    "StreamUnaryMultiCallable.__call__",
    "StreamStreamMultiCallable.__call__",
)
_carried: dict[int, str] = {}
"""Sessions of the channels that go by a sidecar, by the id of the object of the C core."""
_TOLD = ""
"""Stands there for the session of a channel that goes a way of its own, which was told."""
_carrying = threading.Lock()


def install() -> None:
    """Patch channels, and the callables that make calls on them."""
    when_imported("grpc._channel", lambda module: _patch(module, _CALLS))
    when_imported("grpc.aio._channel", lambda module: _patch(module, _ASYNC_CALLS))


def _patch(channels: ModuleType, calls: Sequence[str]) -> None:
    wrap_in_sessions(channels, "Channel.__init__", _make)
    for call in calls:
        wrap_in_sessions(channels, call, _call)


def _make(
    wrapped: Callable[..., Any], channel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    given = {**dict(zip(("target", "options", "credentials"), args, strict=False)), **kwargs}
    target, options = given["target"], tuple(given["options"] or ())
    scheme = "http" if given["credentials"] is None else "https"
    session = _session_of(target, scheme)
    if session is None:
        return wrapped(*args, **kwargs)
    if _goes_own_way(target, options, session):
        wrapped(*args, **kwargs)
        _remember(channel, _TOLD)
        return None
    options = (*options, (_PROXY, session.proxy_url))
    wrapped(*(target, options, *args[2:])[: max(len(args), 2)], **_without(kwargs))
    _remember(channel, session.session_id)
    return None


def _without(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in ("target", "options")}


def _remember(channel: Any, session_id: str) -> None:
    core = id(channel._channel)
    with _carrying:
        _carried[core] = session_id
    weakref.finalize(channel, _carried.pop, core, None)


def _session_of(target: str, scheme: str) -> ActiveSession | None:
    """Give the session of a target such as ``host``, ``host:443`` or ``dns:///host:443``."""
    where = urlsplit(target if "://" in target else f"dns:///{target.removeprefix('dns:')}")
    if where.scheme != "dns":
        return None
    name = urlsplit("//" + unquote(where.path.lstrip("/")))
    try:
        port = name.port or 443
    except ValueError:  # a service's name, or no target at all, which is gRPC's to say
        return None
    return session_for("", scheme, name.hostname, port, "/") if name.hostname else None


def _goes_own_way(target: str, options: Sequence[tuple[str, Any]], session: ActiveSession) -> bool:
    named = dict(options)
    if named.get(_PROXIES_ENABLED) in (0, False):
        warn_own_way("grpc", target, f"the option {_PROXIES_ENABLED}")
        return True
    proxy = named.get(_PROXY) or _proxy_of_environment()
    if not proxy:
        return False
    url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if is_sidecar(session, url.hostname or "", url.port):
        return _PROXY in named  # the environment's may name another session
    warn_own_proxy("grpc", target, f"{url.scheme}://{url.hostname}:{url.port}")
    return True


def _proxy_of_environment() -> str:
    """Give the proxy that gRPC takes from its environment, if any."""
    found = getproxies_environment()
    return next((found[name] for name in ("grpc", "https", "http") if name in found), "")


def _call(
    wrapped: Callable[..., Any], callable_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    session = active_session.get()
    core = callable_._channel
    if session is not None and _carried.get(id(core)) not in (_TOLD, session.session_id):
        named = core.target() if callable(core.target) else core.target
        target = named.decode("utf-8", "replace")
        if _session_of(target, "https") is not None:
            warn_untracked(
                f"grpc {target}",
                f"a gRPC channel to {target} was made outside of the session that calls on it, so "
                "its calls are not that session's: make the channel within it",
            )
    return wrapped(*args, **kwargs)
