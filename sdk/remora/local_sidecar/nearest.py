"""Which sidecar a program speaks to that was told of none, and whose session it belongs to."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from remora.errors import ConfigError, Problem, RemoraError, Unavailable
from remora.ids import is_session_id
from remora.local_sidecar.addresses import GATEWAY_VARIABLE, read_addresses
from remora.local_sidecar.control import ControlClient

GATEWAY_VARIABLES: Final = (GATEWAY_VARIABLE, "AGENTOPT_GATEWAY_URL")
USUAL_CONTROL: Final = "127.0.0.1:15080"
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_LOOK_S: Final = 5.0
"""Where nobody listens is known at once; a busy sidecar takes its time."""

_NONE: Final = (
    "no sidecar answers here: start the program with `remora run -- …`, or name the control "
    f"listener of a sidecar in {GATEWAY_VARIABLE}"
)


@dataclass(frozen=True, slots=True)
class NearestSidecar:
    """A sidecar's control listener.

    Attributes:
        url: Without a path at its end, but for one that the variable has.
        session_id: That the program was started in; empty: none.
    """

    url: str
    session_id: str = field(default="", repr=False)


def nearest_sidecar(environment: Mapping[str, str]) -> NearestSidecar:
    """Find it: the one that the environment names, else one that runs in this pod or machine.

    Args:
        environment: Of this process.

    Raises:
        ConfigError: What the environment names is no URL.
        Unavailable: There is none.
    """
    for name in GATEWAY_VARIABLES:
        if url := environment.get(name):
            return _named(name, url, environment)
    for address in dict.fromkeys((USUAL_CONTROL, *_told_addresses(environment))):
        with suppress(ValueError), ControlClient(address, timeout_s=_LOOK_S) as control:
            if control.is_alive():
                return NearestSidecar(control.url)
    raise Unavailable(_NONE)


def _named(variable: str, url: str, environment: Mapping[str, str]) -> NearestSidecar:
    try:
        control = ControlClient(url, timeout_s=_LOOK_S)
    except ValueError as error:
        raise ConfigError([Problem(variable, str(error))]) from None
    with control:
        return NearestSidecar(control.url, _session_of(control, environment))


def _session_of(control: ControlClient, environment: Mapping[str, str]) -> str:
    """Find the session by which this program's calls go through a proxy, if it is open there."""
    users = (urlsplit(environment.get(name, "")).username or "" for name in _PROXIES)
    session_id = next(filter(is_session_id, users), "")
    if not session_id:
        return ""
    try:
        control.read_session(session_id)
    except RemoraError:  # another sidecar's, or nobody answers, which the next call says
        return ""
    return session_id


def _told_addresses(environment: Mapping[str, str]) -> Iterator[str]:
    """List where sidecars of this user may be, as they told when they started."""
    folders = [Path(".remora_cache")]
    if data_dir := environment.get("REMORA_DATA_DIR"):
        folders.insert(0, Path(data_dir))
    with suppress(RuntimeError):  # there may be no home
        folders.append(Path.home() / ".local" / "share" / "remora" / "sidecar")
    for folder in folders:
        if (addresses := read_addresses(folder)) is not None:
            yield addresses.control
