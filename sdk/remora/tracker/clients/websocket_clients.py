"""websockets 15 and later, its clients for asyncio and for threads.

Older ones, and its legacy client, know no proxies: their calls are told about as untracked, by
the names that they resolve.
"""

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from remora.tracker.active import SESSION_FIELD, ActiveSession, session_for
from remora.tracker.clients.passage import (
    default_port,
    http_scheme,
    is_sidecar,
    warn_own_proxy,
    warn_own_way,
)
from remora.tracker.clients.patching import (
    Wrapper,
    when_imported,
    wrap_everywhere_in_sessions,
    wrap_in_sessions,
)


def install() -> None:
    """Patch both clients."""
    when_imported("websockets.asyncio.client", _patch_asyncio)
    when_imported("websockets.sync.client", _patch_sync)


def _patch_asyncio(client: ModuleType) -> None:
    if hasattr(client, "get_proxy"):
        wrap_in_sessions(client, "connect.create_connection", _connecting_asyncio(client))


def _patch_sync(client: ModuleType) -> None:
    if hasattr(client, "get_proxy"):
        wrap_everywhere_in_sessions(client, "connect", _connecting_sync(client))


def _connecting_asyncio(client: ModuleType) -> Wrapper:
    def create_connection(
        wrapped: Callable[..., Any], connecting: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        given = connecting.connection_kwargs
        session = _session_of(client, connecting.uri, connecting.proxy, given)
        if session is None:
            return wrapped(*args, **kwargs)
        # The caller's object connects again after a redirect or a failure: it stays as it is.
        ours = copy.copy(connecting)
        ours.proxy = session.sidecar.proxy_url
        ours.connection_kwargs = _by_sidecar(connecting.uri, given, session)
        return _named(wrapped.__func__(ours), session)  # type: ignore[attr-defined]

    return create_connection


async def _named(connecting: Any, session: ActiveSession) -> Any:
    """Let a connection, once it is made, name the session in its handshake."""
    connection = await connecting
    handshake = connection.handshake

    def shake_hands(additional_headers: Any = None, *args: Any, **kwargs: Any) -> Any:
        return handshake(_fields(additional_headers, session), *args, **kwargs)

    connection.handshake = shake_hands
    return connection


def _connecting_sync(client: ModuleType) -> Wrapper:
    def connect(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        uri = args[0] if args else kwargs["uri"]
        session = _session_of(client, uri, kwargs.get("proxy", True), kwargs)
        if session is None:
            return wrapped(*args, **kwargs)
        given = _by_sidecar(uri, kwargs, session)
        given["proxy"] = session.sidecar.proxy_url
        given["additional_headers"] = _fields(kwargs.get("additional_headers"), session)
        return wrapped(*args, **given)

    return connect


def _session_of(
    client: ModuleType, uri: str, proxy: Any, given: dict[str, Any]
) -> ActiveSession | None:
    """Give the session that a connection is to go by, if it is not to stay as it is."""
    if given.get("unix"):
        return None
    url = urlsplit(uri)
    scheme, host = http_scheme(url.scheme), url.hostname or ""
    session = session_for("GET", scheme, host, url.port or default_port(scheme), url.path)
    if session is None:
        return None
    if given.get("sock") is not None:
        warn_own_way("websockets", host, "a socket")
        return None
    own = client.get_proxy(client.parse_uri(uri)) if proxy is True else proxy
    if own is None or _is_sidecar(own, session):
        return session
    warn_own_proxy("websockets", host, _without_user(own))
    return None


def _is_sidecar(proxy: str, session: ActiveSession) -> bool:
    url = urlsplit(proxy)
    return is_sidecar(session, url.hostname or "", url.port)


def _without_user(proxy: str) -> str:
    url = urlsplit(proxy)
    return f"{url.scheme}://{url.hostname}:{url.port}"


def _by_sidecar(uri: str, given: dict[str, Any], session: ActiveSession) -> dict[str, Any]:
    """Copy the arguments of a connection, without what says how to reach and trust the server."""
    dropped = ("host", "port", "local_addr", "source_address", "ssl_context", "server_hostname")
    kept = {
        name: value
        for name, value in given.items()
        if name not in dropped and not name.startswith("proxy_")
    }
    if urlsplit(uri).scheme == "wss":
        kept["ssl"] = session.sidecar.tls
    return kept


def _fields(given: Any, session: ActiveSession) -> Any:
    from websockets.datastructures import Headers

    fields = Headers({} if given is None else given)
    if SESSION_FIELD not in fields:
        fields[SESSION_FIELD] = session.session_id
    return fields
