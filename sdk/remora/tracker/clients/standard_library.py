"""`http.client`, and `urllib.request` on top of it.

A connection of it carries request after request, so it is opened anew when the next one belongs
to the other side: from the server to the sidecar or back. Classes that connect in a way of their
own, as urllib3's do, are left alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from remora.tracker.active import SESSION_FIELD, ActiveSession, active_session, session_for
from remora.tracker.clients.passage import (
    SidecarKey,
    default_port,
    is_sidecar,
    origin_of,
    sidecar_key,
    warn_own_proxy,
)
from remora.tracker.clients.patching import when_imported, wrap

_ROUTE = "_remora_route"
_CONNECTING = "_remora_connecting"
_PUT_REQUEST = ("method", "url", "skip_host", "skip_accept_encoding")
_AIM = frozenset(
    {
        "host",
        "port",
        "source_address",
        "_tunnel_host",
        "_tunnel_port",
        "_tunnel_headers",
        "_context",
    }
)
"""What says where a connection leads, and whom it trusts."""


def install() -> None:
    """Patch the connections."""
    when_imported("http.client", _patch)


def _patch(client: ModuleType) -> None:
    wrap(client, "HTTPConnection.connect", _connect)
    wrap(client, "HTTPSConnection.connect", _connect)
    wrap(client, "HTTPConnection.putrequest", _put_request)


def _connects_as_usual(kind: type[Any]) -> bool:
    owner = next(one for one in kind.__mro__ if "connect" in vars(one))
    return owner in (HTTPConnection, HTTPSConnection)


def _scheme(connection: Any) -> str:
    return "https" if isinstance(connection, HTTPSConnection) else "http"


def _session_of(connection: Any, method: str, url: str) -> ActiveSession | None:
    if active_session.get() is None or not _connects_as_usual(type(connection)):
        return None
    if _goes_by_own_proxy(connection, url):
        return _by_own_proxy(connection, method, url)
    return session_for(method, _scheme(connection), connection.host, connection.port, url)


def _goes_by_own_proxy(connection: Any, url: str) -> bool:
    return bool(connection._tunnel_host) or "://" in url.partition("?")[0]


def _by_own_proxy(connection: Any, method: str, url: str) -> ActiveSession | None:
    """Give the session of a request by the program's own proxy, if that is the sidecar."""
    scheme, host, port = _scheme(connection), connection._tunnel_host, connection._tunnel_port
    if not host:
        asked = urlsplit(url)
        scheme, host = asked.scheme, asked.hostname or ""
        port = asked.port or default_port(scheme)
    session = session_for(method, scheme, host, port, url)
    if session is None or is_sidecar(session, connection.host, connection.port):
        return session
    warn_own_proxy("http.client", host, f"http://{connection.host}:{connection.port}")
    return None


def _put_request(
    wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    method, url = (
        str(args[at] if len(args) > at else kwargs.get(name) or "")
        for at, name in ((0, "method"), (1, "url"))
    )
    session = _session_of(connection, method, url or "/")
    own_proxy = _goes_by_own_proxy(connection, url)
    if not own_proxy:
        _change_sides(connection, session)
    if session is None:
        return wrapped(*args, **kwargs)
    if not own_proxy and _scheme(connection) == "http":
        url = origin_of("http", connection.host, connection.port) + (url or "/")
    kwargs = {**dict(zip(_PUT_REQUEST, args, strict=False)), **kwargs, "url": url}
    wrapped(**kwargs)
    connection.putheader(SESSION_FIELD, session.session_id)
    return None


def _change_sides(connection: Any, session: ActiveSession | None) -> None:
    """Close an idle connection that leads to the other side; it opens itself again."""
    if connection.sock is None or not connection.auto_open:
        return
    if _response_is_pending(connection):
        return  # http.client says what is wrong with that
    if connection.__dict__.get(_ROUTE) != _route(session):
        connection.close()


def _response_is_pending(connection: Any) -> bool:
    response = connection._HTTPConnection__response
    idle = connection._HTTPConnection__state == "Idle"
    return not idle or (response is not None and not response.isclosed())


def _route(session: ActiveSession | None) -> SidecarKey | None:
    return None if session is None else sidecar_key(session.sidecar)


def _connect(
    wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if connection.__dict__.get(_CONNECTING):  # HTTPS connects as HTTP first
        return wrapped(*args, **kwargs)
    session = None if connection._tunnel_host else _session_of(connection, "", "/")
    connection.__dict__[_ROUTE] = _route(session)
    if session is None:
        return wrapped(*args, **kwargs)
    with _aimed_at_sidecar(connection, session):
        return wrapped(*args, **kwargs)


@contextmanager
def _aimed_at_sidecar(connection: Any, session: ActiveSession) -> Iterator[None]:
    """Let a connection believe that the program chose the sidecar as its proxy."""
    before = {name: value for name, value in vars(connection).items() if name in _AIM}
    sidecar = session.sidecar
    if _scheme(connection) == "https":
        connection._tunnel_headers = {}
        connection.set_tunnel(connection.host, connection.port)
        connection._context = sidecar.tls
    connection.host, connection.port = sidecar.proxy_host, sidecar.proxy_port
    connection.source_address = None
    connection.__dict__[_CONNECTING] = True
    try:
        yield
    finally:
        connection.__dict__.update(before)
        del connection.__dict__[_CONNECTING]
