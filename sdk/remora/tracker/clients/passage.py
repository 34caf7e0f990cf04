"""What all clients share: which sidecar a request goes to, whose proxy is in the way."""

from collections.abc import Iterable
from typing import NamedTuple

from remora.providers.hosts import normalized_host
from remora.tracker.active import ActiveSession, SidecarAccess, warn_untracked

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}


class SidecarKey(NamedTuple):
    """Tells sidecars apart: connections are shared by all sessions of one."""

    host: str
    port: int
    ca_pem: str


def sidecar_key(sidecar: SidecarAccess) -> SidecarKey:
    """Give what tells a sidecar from others."""
    return SidecarKey(sidecar.proxy_host, sidecar.proxy_port, sidecar.ca_pem)


def http_scheme(scheme: str) -> str:
    """Give the HTTP scheme that a WebSocket's begins with; others as they are."""
    return _HTTP_SCHEMES.get(scheme, scheme)


def default_port(scheme: str) -> int:
    """Give the port of a URL that names none."""
    return 443 if http_scheme(scheme) == "https" else 80


def bracketed(host: str) -> str:
    """Write a host as URLs have it."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def origin_of(scheme: str, host: str, port: int) -> str:
    """Write the part of a URL that names the server, with the port where it is not the usual."""
    name = bracketed(host)
    return f"{scheme}://{name}" if port == default_port(scheme) else f"{scheme}://{name}:{port}"


def names_session(fields: Iterable[str | bytes], field: str) -> bool:
    """Tell whether a request has the field already: what its maker said is left alone."""
    names = {field, field.encode()}
    return any(name.lower() in names for name in fields)


def is_sidecar(session: ActiveSession, host: str, port: int | None) -> bool:
    """Tell whether a proxy that the program chose is the session's own sidecar."""
    sidecar = session.sidecar
    return port == sidecar.proxy_port and _where(host) == _where(sidecar.proxy_host)


def _where(host: str) -> str:
    name = normalized_host(host)
    return "127.0.0.1" if name in _LOOPBACK else name


def warn_own_proxy(client: str, host: str, proxy: str) -> None:
    """Tell that a client has a proxy of its own, which stays in force."""
    warn_untracked(
        f"{client} by {proxy}",
        f"calls of {client} to {host} go by a proxy of their own ({proxy}), so they are not "
        f"tracked: use the client without it, or exempt {host} from it (NO_PROXY)",
    )


def warn_own_way(client: str, host: str, way: str) -> None:
    """Tell that a client goes a way of its own, which is left alone."""
    warn_untracked(
        f"{client} by {way}",
        f"calls of {client} to {host} go by {way} that the program gave it, so they are not "
        "tracked: use the client without it",
    )
