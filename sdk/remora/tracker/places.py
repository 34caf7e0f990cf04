"""Where a tracker's sidecar is: a gateway that is named, the pod's, or a local one of its own."""

import threading
from contextlib import suppress
from pathlib import Path

from remora.errors import ConfigError, Problem, RemoraError
from remora.local_sidecar.addresses import GATEWAY_VARIABLE
from remora.local_sidecar.control import ControlClient
from remora.local_sidecar.finding import current_environment, find_or_start, require_sidecar
from remora.tracker.active import within
from remora.tracker.trust_files import own_directory

GATEWAY_VARIABLES = (GATEWAY_VARIABLE, "AGENTOPT_GATEWAY_URL")
_POD_CONTROL = "127.0.0.1:15080"
_POD_TIMEOUT_S = 1.0
_PRESET = "tracker-cached"
"""The cache is there for every tracker; each session says whether its calls use it."""

_starting = threading.Lock()


def connected_control(cache_dir: Path | None) -> ControlClient:
    """Connect to the control listener of the sidecar that a tracker is to use.

    Args:
        cache_dir: Data directory of a local sidecar, which is started if none runs; None for one
            of this process that leaves nothing behind.

    Raises:
        ConfigError: The gateway's URL is none, or a local sidecar can't be started.
        Unavailable: The gateway that is named can't be reached.
    """
    environment = current_environment()
    for name in GATEWAY_VARIABLES:
        if url := environment.get(name):
            return _gateway(name, url)
    if (pods := _of_this_pod()) is not None:
        return pods
    require_sidecar()
    with _starting, within(None):  # one at a time; and a sidecar is nobody's child to track
        addresses, _ = find_or_start(environment, _data_dir(cache_dir), preset=_PRESET)
    return ControlClient(addresses.control)


def _gateway(name: str, url: str) -> ControlClient:
    try:
        control = ControlClient(url)
    except ValueError as error:
        raise ConfigError([Problem(name, str(error))]) from error
    control.status()  # to say now, not later, that nobody answers
    return control


def _of_this_pod() -> ControlClient | None:
    """Find a sidecar that takes this pod's traffic by redirect rules."""
    with ControlClient(_POD_CONTROL, timeout_s=_POD_TIMEOUT_S) as control, suppress(RemoraError):
        if control.status().get("mode") == "transparent":
            return ControlClient(_POD_CONTROL)
    return None


def _data_dir(cache_dir: Path | None) -> Path:
    if cache_dir is None:
        return own_directory() / "data"
    folder = cache_dir.expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (ignored := folder / ".gitignore").exists():
            ignored.write_text("*\n")  # a CA's key and prompts are in it
    except OSError as error:
        what = f"it can't be the tracker's data directory: {error.strerror or error}"
        raise ConfigError([Problem(str(folder), what)]) from error
    return folder
