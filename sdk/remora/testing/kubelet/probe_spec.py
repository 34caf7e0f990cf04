"""Probes and hooks as a pod's spec has them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HttpGet:
    """Passed by an answer from 200 to 399."""

    port: int
    path: str
    host: str
    is_tls: bool
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TcpConnect:
    """Passed by a connection."""

    port: int
    host: str


@dataclass(frozen=True, slots=True)
class Exec:
    """Passed by a command in the container that exits with 0."""

    command: tuple[str, ...]


type Handler = HttpGet | TcpConnect | Exec


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked of a container, how often, and how many answers count."""

    handler: Handler
    initial_delay_s: float
    period_s: float
    timeout_s: float
    failures: int
    successes: int


def read_probe(json: Json | None, container: Json) -> Probe | None:
    """Read a probe of a container; None if it has none."""
    handler = read_handler(json, container)
    if json is None or handler is None:
        return None
    return Probe(
        handler=handler,
        initial_delay_s=float(json.get("initialDelaySeconds") or 0),
        period_s=float(json.get("periodSeconds") or 10),
        timeout_s=float(json.get("timeoutSeconds") or 1),
        failures=int(json.get("failureThreshold") or 3),
        successes=int(json.get("successThreshold") or 1),
    )


def read_handler(json: Json | None, container: Json) -> Handler | None:
    """Read what a probe or hook does; None if there is none of a kind that is known here."""
    if json is None:
        return None
    if command := (json.get("exec") or {}).get("command"):
        return Exec(tuple(command))
    if tcp := json.get("tcpSocket"):
        return TcpConnect(_port(tcp["port"], container), tcp.get("host") or "")
    if http := json.get("httpGet"):
        return _http(http, container)
    return None


def _http(json: Json, container: Json) -> HttpGet:
    return HttpGet(
        port=_port(json["port"], container),
        path=json.get("path") or "/",
        host=json.get("host") or "",
        is_tls=json.get("scheme") == "HTTPS",
        headers=tuple((h["name"], h["value"]) for h in json.get("httpHeaders") or ()),
    )


def _port(port: int | str, container: Json) -> int:
    """Return a port that may be given by its name."""
    named = {p.get("name"): int(p["containerPort"]) for p in container.get("ports") or ()}
    return named[port] if port in named else int(port)
