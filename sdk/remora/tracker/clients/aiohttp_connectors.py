"""aiohttp, by its connectors, which every request of a session passes, redirects as well.

A connector keeps connections by host, proxy and TLS context, so that those by the sidecar are its
own, in its limits, and never mixed with others. A request is aiohttp's own object there, made for
one hop, with a copy of the caller's headers.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from remora.tracker.active import SESSION_FIELD, ActiveSession, session_for
from remora.tracker.clients.passage import (
    default_port,
    http_scheme,
    is_sidecar,
    warn_own_proxy,
    warn_own_way,
)
from remora.tracker.clients.patching import when_imported, wrap_in_sessions

_WAYS = ("_create_connection", "_wrap_create_connection")
"""What connectors that dial in another way, such as by SOCKS, have of their own."""


def install() -> None:
    """Patch the connectors."""
    when_imported("aiohttp.connector", _patch)


def _patch(connectors: ModuleType) -> None:
    usual = connectors.TCPConnector

    def connect(
        wrapped: Callable[..., Any], connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        request = args[0] if args else kwargs["req"]
        session = _session_of(request)
        if session is not None:
            if _dials_itself(connector, usual):
                _send_by_sidecar(request, session)
            else:
                warn_own_way("aiohttp", request.host, type(connector).__name__)
        return wrapped(*args, **kwargs)

    wrap_in_sessions(connectors, "BaseConnector.connect", connect)


def _session_of(request: Any) -> ActiveSession | None:
    url = request.url
    scheme, host = http_scheme(url.scheme), url.raw_host
    if not host:
        return None
    return session_for(request.method, scheme, host, url.port or default_port(scheme), url.path)


def _dials_itself(connector: Any, usual: type[Any]) -> bool:
    own = type(connector)
    return all(getattr(own, way, None) is getattr(usual, way, None) for way in _WAYS)


def _send_by_sidecar(request: Any, session: ActiveSession) -> None:
    proxy = request.proxy
    if proxy is None:
        from yarl import URL

        request.proxy = URL(session.sidecar.proxy_url)
        request.proxy_auth = request.proxy_headers = None
        request._ssl = session.sidecar.tls
        request.server_hostname = None
    elif not is_sidecar(session, proxy.raw_host or "", proxy.port):
        warn_own_proxy("aiohttp", request.host, f"{proxy.scheme}://{proxy.raw_host}:{proxy.port}")
        return
    request.headers.setdefault(SESSION_FIELD, session.session_id)
