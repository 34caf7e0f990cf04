"""httpx and httpx2, by the connection pools of httpcore and httpcore2.

A pool that connects to servers itself gets a companion: a pool of the same limits that goes by the
sidecar. It is kept on the pool, and closed with it. Its requests speak HTTP/1.1.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from types import ModuleType
from typing import Any

from remora.tracker.active import SESSION_FIELD, ActiveSession, session_for
from remora.tracker.clients.companions import (
    close_with_companions,
    companion_of,
    has_companions,
    taken_from,
)
from remora.tracker.clients.passage import (
    default_port,
    http_scheme,
    is_sidecar,
    names_session,
    warn_own_proxy,
    warn_own_way,
)
from remora.tracker.clients.patching import when_imported, wrap, wrap_in_sessions

_USUAL_BACKENDS = frozenset({"SyncBackend", "AutoBackend", "AnyIOBackend", "TrioBackend"})


def install() -> None:
    """Patch the pools of both libraries."""
    when_imported("httpcore", _patch)
    when_imported("httpcore2", _patch)


def _patch(httpcore: ModuleType) -> None:
    wrap_in_sessions(
        httpcore, "ConnectionPool.handle_request", partial(_handle, httpcore, "HTTPProxy")
    )
    wrap_in_sessions(
        httpcore,
        "AsyncConnectionPool.handle_async_request",
        partial(_handle, httpcore, "AsyncHTTPProxy"),
    )
    wrap(httpcore, "ConnectionPool.close", close_with_companions)
    wrap(httpcore, "AsyncConnectionPool.aclose", _aclose)


def _handle(
    httpcore: ModuleType,
    proxy_class: str,
    wrapped: Callable[..., Any],
    pool: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    request = args[0] if args else kwargs.get("request")
    session = None if request is None else _session_of(request)
    if session is None:
        return wrapped(*args, **kwargs)
    if _goes_by_sidecar(pool, session, request):
        return wrapped(_named(httpcore, request, session))
    if _goes_own_way(pool, request):
        return wrapped(*args, **kwargs)
    companion = _companion(pool, session, getattr(httpcore, proxy_class))
    # The function itself: the companion is a pool as well, whose method is wrapped as well.
    return wrapped.__func__(companion, _named(httpcore, request, session))  # type: ignore[attr-defined]


def _session_of(request: Any) -> ActiveSession | None:
    url = request.url
    scheme = http_scheme(url.scheme.decode("ascii"))
    port = url.port or default_port(scheme)
    method, host = request.method.decode("ascii"), url.host.decode("ascii")
    return session_for(method, scheme, host, port, url.target.decode("ascii"))


def _proxy_of(pool: Any) -> Any:
    """Give the URL of the proxy that a pool was made with, if any."""
    own = getattr(pool, "_proxy_url", None)
    if own is None and (proxy := getattr(pool, "_proxy", None)) is not None:
        own = proxy.url
    return own


def _goes_by_sidecar(pool: Any, session: ActiveSession, request: Any) -> bool:
    proxy = _proxy_of(pool)
    if proxy is None:
        return False
    host, scheme = proxy.host.decode("ascii"), proxy.scheme.decode("ascii")
    port = proxy.port or default_port(scheme)
    if is_sidecar(session, host, port):
        return True
    warn_own_proxy(_client(pool), request.url.host.decode("ascii"), f"{scheme}://{host}:{port}")
    return False


def _goes_own_way(pool: Any, request: Any) -> bool:
    if _proxy_of(pool) is not None:
        return True
    way = ""
    if pool._uds is not None:
        way = "a Unix socket"
    elif type(pool._network_backend).__name__ not in _USUAL_BACKENDS:
        way = "a network backend"
    if way:
        warn_own_way(_client(pool), request.url.host.decode("ascii"), way)
    return bool(way)


def _client(pool: Any) -> str:
    module = type(pool).__module__.partition(".")[0]
    return {"httpcore": "httpx", "httpcore2": "httpx2"}.get(module, module)


def _named(httpcore: ModuleType, request: Any, session: ActiveSession) -> Any:
    """Copy a request, with the field that names the session, for an HTTP proxy."""
    url = request.url
    url = httpcore.URL(
        scheme=http_scheme(url.scheme.decode("ascii")),
        host=url.host,
        port=url.port,
        target=url.target,
    )
    headers = list(request.headers)
    if not names_session((name for name, _ in headers), SESSION_FIELD):
        headers.append((SESSION_FIELD.encode(), session.session_id.encode()))
    return httpcore.Request(
        method=request.method,
        url=url,
        headers=headers,
        content=request.stream,
        extensions=request.extensions,
    )


def _companion(pool: Any, session: ActiveSession, proxy_class: Callable[..., Any]) -> Any:
    def make() -> Any:
        return proxy_class(
            proxy_url=session.sidecar.proxy_url,
            ssl_context=session.sidecar.tls,
            max_connections=pool._max_connections,
            max_keepalive_connections=pool._max_keepalive_connections,
            keepalive_expiry=pool._keepalive_expiry,
            network_backend=pool._network_backend,
        )

    return companion_of(pool, session, make)


def _aclose(
    wrapped: Callable[..., Coroutine[Any, Any, Any]],
    pool: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Coroutine[Any, Any, Any]:
    if not has_companions(pool):
        return wrapped(*args, **kwargs)
    return _aclose_all(wrapped(*args, **kwargs), pool)


async def _aclose_all(closing: Coroutine[Any, Any, Any], pool: Any) -> Any:
    try:
        return await closing
    finally:
        for companion in taken_from(pool):
            await companion.aclose()
