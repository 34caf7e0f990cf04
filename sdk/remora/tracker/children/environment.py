"""The environment that carries a session into a program, and how it meets what is there. Pure.

`remora.tracker.children.programs` asks for every program that is started. Two rules: what the
shell happened to set gives way to the session; what the caller of this very program set does not.
"""

import ipaddress
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from remora.local_sidecar.addresses import GATEWAY_VARIABLE
from remora.providers.hosts import normalized_host
from remora.tracker.active import ActiveSession, ProviderHosts, SidecarAccess
from remora.trust import agent_environment

_BYPASSES = ("NO_PROXY", "no_proxy")
_JAVA = "JAVA_TOOL_OPTIONS"
_NOTHING: Mapping[str, str] = MappingProxyType({})


def session_environment(
    session: ActiveSession, existing: Mapping[str, str] = _NOTHING
) -> dict[str, str]:
    """List the variables that lead a program through a session's sidecar.

    Args:
        session: Whose calls the program's are to be.
        existing: What the program would have else. Only its hosts to reach without a proxy and
            its options for Java are heeded: they are extended. No host of a provider stays among
            those reached without a proxy.
    """
    sidecar = session.sidecar
    theirs = {name: _tracked(existing.get(name, ""), sidecar) for name in _BYPASSES}
    added = agent_environment(PurePath(sidecar.trust_dir), session.proxy_url, theirs).added
    ours = {**theirs, **added}
    bypasses = {name: _tracked(ours[name], sidecar) for name in _BYPASSES}
    gateway = {GATEWAY_VARIABLE: sidecar.control_url} if sidecar.control_url else {}
    java = _appended(existing.get(_JAVA, ""), ours[_JAVA])
    return {**ours, **gateway, **bypasses, _JAVA: java}


def inherited_environment(session: ActiveSession, inherited: Mapping[str, str]) -> dict[str, str]:
    """Merge a session into an environment that nobody chose: the session wins."""
    return {**inherited, **session_environment(session, inherited)}


def explicit_environment(session: ActiveSession, env: Mapping[Any, Any]) -> dict[Any, Any]:
    """Merge a session into an environment that the caller chose: each of its values stays.

    Args:
        session: Whose calls the program's are to be.
        env: As `subprocess.Popen` takes it; names may be bytes.

    Raises:
        TypeError: It is no mapping, or a name in it is neither text, bytes nor a path.
    """
    theirs = {os.fsencode(name) for name in env}
    ours = session_environment(session)
    return {**{name: ours[name] for name in ours if os.fsencode(name) not in theirs}, **env}


def leading_elsewhere(session: ActiveSession, env: Mapping[Any, Any]) -> list[str]:
    """List what in an environment that the caller chose keeps calls from the session's sidecar.

    That are proxies of its own, CAs of its own, and providers' hosts to reach without a proxy;
    another session of the same sidecar is as good.
    """
    ours = session_environment(session)
    theirs = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
    changed = [name for name in ours if _place(theirs.get(name, ours[name])) != _place(ours[name])]
    return [
        name
        for name in changed
        if name != _JAVA and not (name in _BYPASSES and _is_tracked(theirs[name], session.sidecar))
    ]


def _place(value: str) -> str:
    """Give a proxy's host and port; what is no URL with a user stays as it is."""
    return value.rpartition("@")[2]


def _is_tracked(bypass: str, sidecar: SidecarAccess) -> bool:
    return _tracked(bypass, sidecar) == ",".join(_entries(bypass))


def _tracked(bypass: str, sidecar: SidecarAccess) -> str:
    """Take out what would lead calls of providers around the sidecar."""
    kept = [entry for entry in _entries(bypass) if not _has_provider(entry, sidecar.providers)]
    return ",".join(kept)


def _entries(bypass: str) -> list[str]:
    return [entry for part in bypass.split(",") for entry in part.split()]


@lru_cache(maxsize=1024)
def _has_provider(entry: str, providers: tuple[ProviderHosts, ...]) -> bool:
    name = _host(entry)
    return not name or any(_covers(name, provider) for provider in providers)


def _host(entry: str) -> str:
    """Give the name of an entry of ``NO_PROXY``; none if it stands for every host."""
    bare = entry.removeprefix("*").removeprefix(".")
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    return normalized_host(bare.partition("]")[0])


def _covers(name: str, provider: ProviderHosts) -> bool:
    """Tell whether an entry for a name, those below it, or a network has a provider's host."""
    patterns = [normalized_host(text) for text in provider.patterns]
    if "/" in name:
        return any(_has_address(name, pattern) for pattern in patterns)
    port = provider.ports[0] if provider.ports else 443
    is_one = provider.serve("https" if provider.tls else "http", name, port)
    return is_one or any(f".{pattern}".endswith(f".{name}") for pattern in patterns)


def _has_address(network: str, pattern: str) -> bool:
    try:
        return ipaddress.ip_address(pattern) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _appended(theirs: str, ours: str) -> str:
    """Add options for Java, which heeds the last of a kind."""
    return theirs if theirs.endswith(ours) else f"{theirs} {ours}".strip()
