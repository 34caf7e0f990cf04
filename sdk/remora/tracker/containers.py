"""Agents in containers of their own: what these are started with to have a session.

A container is given the variables of a session and the trust folder, read-only, and nothing else:
no key, no socket, no file of the sidecar's.
"""

import io
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from remora.providers.hosts import is_ip_address, is_loopback_host, normalized_host
from remora.tracker.active import ActiveSession
from remora.tracker.children.environment import session_environment
from remora.tracker.session import SessionInfo
from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE

type AnySession = SessionInfo | ActiveSession
"""What `LLMTracker.track` gives, or what is active in a context."""

TRUST_MOUNT = PurePosixPath("/run/remora/trust")
"""Where containers have the trust folder; in injected pods it is there as well."""

TRUST_VOLUME = "remora-trust"
"""The volume of a pod that has the trust folder, as the injector names it."""

_TRUST_FILES = (CA_FILE, BUNDLE_FILE, TRUSTSTORE_FILE)
_KEY_ENDINGS = (".key", ".p12", ".pfx", ".jks")
_KEY_MARK = b"PRIVATE KEY-----"
_DOCKER_HOST = "host.docker.internal"
_POD_NOTE = (
    f"The pod has the volume {TRUST_VOLUME} already if Remora was injected: leave `volumes` out\n"
    "then. Else the sidecar mounts it too, writable, at its REMORA_TRUST_DIR."
)


def docker_args(session: AnySession, *, network: Literal["host", "bridge"] = "host") -> list[str]:
    """List the arguments with which ``docker run`` or ``podman run`` starts an agent in a session.

    They go before the image's name.

    Args:
        session: Whose calls the container's are to be, as `LLMTracker.track` gives it.
        network: ``host`` shares the network of this machine. ``bridge`` keeps the container's
            own, for a sidecar that listens beyond loopback.

    Raises:
        ValueError: A bridged container could not reach the sidecar, or the trust folder can't be
            mounted; the message says what to do.
    """
    session = _active(session)
    folder = _trust_folder(session)
    if ":" in str(folder):
        raise ValueError(f"a container can't mount {folder}: its path has a colon")
    host = _host_from_bridge(session) if network == "bridge" else _host_on_machine(session)
    args = ["--network", network]
    if host == _DOCKER_HOST:
        args += ["--add-host", f"{_DOCKER_HOST}:host-gateway"]
    args += ["-v", f"{folder}:{TRUST_MOUNT}:ro"]
    for name, value in _environment(session, host).items():
        args += ["-e", f"{name}={value}"]
    return args


def compose_fragment(session: AnySession) -> str:
    """Write, as YAML, what a service of a compose file needs to be an agent in a session.

    It shares the network of this machine.

    Raises:
        ValueError: The trust folder can't be mounted; the message says what to do.
    """
    session = _active(session)
    mount = {
        "type": "bind",
        "source": _undollared(str(_trust_folder(session))),
        "target": str(TRUST_MOUNT),
        "read_only": True,
    }
    environment = _environment(session, _host_on_machine(session))
    return _yaml(
        {
            "network_mode": "host",
            "environment": {name: _undollared(value) for name, value in environment.items()},
            "volumes": [mount],
        }
    )


def pod_fragment(session: AnySession) -> str:
    """Write, as YAML, what a container needs that runs in a pod beside the sidecar.

    ``env`` and ``volumeMounts`` are the container's, ``volumes`` is the pod's.
    """
    environment = _environment(_active(session), "127.0.0.1")
    fragment = {
        "env": [{"name": name, "value": _undollared(value)} for name, value in environment.items()],
        "volumeMounts": [{"name": TRUST_VOLUME, "mountPath": str(TRUST_MOUNT), "readOnly": True}],
        "volumes": [{"name": TRUST_VOLUME, "emptyDir": {}}],
    }
    return "".join(f"# {line}\n" for line in _POD_NOTE.splitlines()) + _yaml(fragment)


def _active(session: AnySession) -> ActiveSession:
    return session.active if isinstance(session, SessionInfo) else session


def _environment(session: ActiveSession, host: str) -> dict[str, str]:
    """List a session's variables, with the sidecar and the trust folder as a container has them."""
    sidecar = session.sidecar
    inside = replace(
        sidecar,
        proxy_host=host,
        trust_dir=str(TRUST_MOUNT),
        control_url=_at_host(sidecar.control_url, host),
    )
    return session_environment(replace(session, sidecar=inside))


def _at_host(url: str, host: str) -> str:
    """Write a URL with another host."""
    if not url:
        return url
    parts = urlsplit(url)
    name = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=name + port))


def _host_on_machine(session: ActiveSession) -> str:
    host = session.sidecar.proxy_host
    return "127.0.0.1" if _is_every_address(host) else host


def _host_from_bridge(session: ActiveSession) -> str:
    host = session.sidecar.proxy_host
    if is_loopback_host(normalized_host(host)):
        raise ValueError(
            f"a container with a network of its own can't reach the sidecar at {host}: use "
            'network="host", or name the sidecar in REMORA_GATEWAY_URL by an address of its '
            "machine's on which it listens, as remora gateway --allow-remote does"
        )
    return _DOCKER_HOST if _is_every_address(host) else host


def _is_every_address(host: str) -> bool:
    name = normalized_host(host)
    return is_ip_address(name) and ip_address(name).is_unspecified


def _trust_folder(session: ActiveSession) -> Path:
    """Give the folder to mount, once it is known that it may be.

    Raises:
        ValueError: It lacks trust files, or there is a key in it.
    """
    folder = Path(session.sidecar.trust_dir).absolute()
    missing = [name for name in _TRUST_FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"the trust folder {folder} has no {' and no '.join(missing)}: where the sidecar is on "
            "another machine, copy its trust folder to that path"
        )
    for file in folder.rglob("*"):
        if file.is_file() and _may_have_key(file):
            raise ValueError(
                f"{file} may hold a key, and containers get to read all of {folder}: move it away"
            )
    return folder


def _may_have_key(file: Path) -> bool:
    is_ours = file.name in _TRUST_FILES
    return (file.suffix in _KEY_ENDINGS and not is_ours) or _KEY_MARK in file.read_bytes()


def _undollared(value: str) -> str:
    """Write a value so that compose and Kubernetes, which expand ``$``, leave it as it is."""
    return value.replace("$", "$$")


def _yaml(content: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 1_000_000
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()
