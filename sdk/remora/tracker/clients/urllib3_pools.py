"""urllib3, and what is built on it: requests, botocore and boto3.

A pool that connects to its server itself gets a companion: a copy of it, subclass and all, that
goes by the sidecar. It is kept on the pool, closed with it, and collected with it.
"""

import copy
import weakref
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from remora.tracker.active import SESSION_FIELD, ActiveSession, session_for
from remora.tracker.clients.companions import close_with_companions, companion_of, taken_from
from remora.tracker.clients.passage import (
    default_port,
    is_sidecar,
    names_session,
    origin_of,
    warn_own_proxy,
)
from remora.tracker.clients.patching import when_imported, wrap, wrap_in_sessions

_ORIGIN = "_remora_origin"
_TLS_ATTRIBUTES = (
    "key_file",
    "cert_file",
    "cert_reqs",
    "key_password",
    "ca_certs",
    "ca_cert_dir",
    "ssl_version",
    "ssl_minimum_version",
    "ssl_maximum_version",
    "assert_hostname",
    "assert_fingerprint",
)
_TLS_ARGUMENTS = (*_TLS_ATTRIBUTES, "ca_cert_data", "server_hostname")


def install() -> None:
    """Patch the pools."""
    when_imported("urllib3.connectionpool", _patch)


def _patch(connectionpool: ModuleType) -> None:
    wrap_in_sessions(connectionpool, "HTTPConnectionPool.urlopen", _urlopen)
    wrap(connectionpool, "HTTPConnectionPool.close", close_with_companions)


def _urlopen(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if _ORIGIN in pool.__dict__:  # a companion: urllib3 calls it again for retries and redirects
        args, kwargs = _absolute(pool, args, kwargs)
        return wrapped(*args, **kwargs)
    method, url, headers = (
        args[at] if len(args) > at else kwargs.get(name)
        for at, name in ((0, "method"), (1, "url"), (3, "headers"))
    )
    session = _session_of(pool, method, url)
    if session is None:
        return wrapped(*args, **kwargs)
    closed = pool.pool is None  # which urllib3 says in its own way
    if closed or (pool.proxy is not None and not _goes_by_sidecar(pool, session)):
        return wrapped(*args, **kwargs)
    args, kwargs = _with_headers(args, kwargs, _named(pool, headers, session))
    if pool.proxy is not None:
        return wrapped(*args, **kwargs)
    return companion_of(pool, session, partial(_made, pool, session)).urlopen(*args, **kwargs)


def _session_of(pool: Any, method: Any, url: Any) -> ActiveSession | None:
    if not isinstance(method, str) or not isinstance(url, str):
        return None
    scheme, host, port, path = pool.scheme, pool.host, pool.port, url
    if not url.startswith("/"):
        from urllib3.util import parse_url

        parsed = parse_url(url)
        if pool.proxy is not None:
            scheme, host, port = parsed.scheme, parsed.host, parsed.port
        elif not pool.is_same_host(url):
            return None
        path = parsed.path or "/"
    if not scheme or not host:
        return None
    return session_for(method, scheme, host, port or default_port(scheme), path)


def _goes_by_sidecar(pool: Any, session: ActiveSession) -> bool:
    proxy = pool.proxy
    if is_sidecar(session, proxy.host or "", proxy.port):
        return True
    warn_own_proxy("urllib3", pool.host, f"{proxy.scheme}://{proxy.host}:{proxy.port}")
    return False


def _named(pool: Any, headers: Any, session: ActiveSession) -> Any:
    """Copy a request's headers, of whatever kind, with the field that names the session."""
    given = pool.headers if headers is None else headers
    copied = given.copy() if hasattr(given, "copy") else dict(given)
    if not names_session(copied, SESSION_FIELD):
        copied[SESSION_FIELD] = session.session_id
    return copied


def _with_headers(
    args: tuple[Any, ...], kwargs: dict[str, Any], headers: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if len(args) > 3:
        return (*args[:3], headers, *args[4:]), kwargs
    return args, {**kwargs, "headers": headers}


def _absolute(
    pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Write the URL of a plain request as proxies want it."""
    url = args[1] if len(args) > 1 else kwargs["url"]
    if pool.scheme != "http" or not url.startswith("/"):
        return args, kwargs
    url = pool.__dict__[_ORIGIN] + url
    if len(args) > 1:
        return (args[0], url, *args[2:]), kwargs
    return args, {**kwargs, "url": url}


def _made(pool: Any, session: ActiveSession) -> Any:
    from urllib3.util import parse_url

    companion = copy.copy(pool)
    taken_from(companion)  # the copy's; they stay with the pool
    companion.__dict__[_ORIGIN] = origin_of(
        pool.scheme, pool.host, pool.port or default_port(pool.scheme)
    )
    queue = companion.pool = _empty_queue(pool)
    companion.num_connections = companion.num_requests = 0
    companion.proxy = parse_url(session.sidecar.proxy_url)
    companion.proxy_headers, companion.proxy_config = {}, None
    companion.conn_kw = _connection_arguments(companion, pool.conn_kw)
    if pool.scheme == "https":
        _trust_sidecar(companion, session)
    else:
        companion.ConnectionCls = _dialling(pool.ConnectionCls, companion.proxy)
    weakref.finalize(companion, _close_queue, queue)
    return companion


def _empty_queue(pool: Any) -> Any:
    """Make a queue of a pool's connections, of the same size; None stands for one to be made."""
    queue = pool.QueueCls(pool.pool.maxsize)
    for _ in range(queue.maxsize):
        queue.put(None)
    return queue


def _connection_arguments(companion: Any, given: dict[str, Any]) -> dict[str, Any]:
    dropped = {*_TLS_ARGUMENTS, "ssl_context", "source_address"}
    kept = {name: value for name, value in given.items() if name not in dropped}
    return {**kept, "proxy": companion.proxy, "proxy_config": None}


def _trust_sidecar(companion: Any, session: ActiveSession) -> None:
    for name in _TLS_ATTRIBUTES:
        if hasattr(companion, name):
            setattr(companion, name, None)
    companion.conn_kw["ssl_context"] = session.sidecar.tls


def _dialling(connection_class: Callable[..., Any], proxy: Any) -> Callable[..., Any]:
    """Make plain connections to the proxy: a pool connects to its own host."""

    def connect(**arguments: Any) -> Any:
        return connection_class(**{**arguments, "host": proxy.host, "port": proxy.port})

    return connect


def _close_queue(queue: Any) -> None:
    while not queue.empty():
        connection = queue.get(block=False)
        if connection is not None:
            connection.close()
