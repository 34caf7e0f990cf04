"""Finds the sidecar that runs on this machine, or starts one that ends with its last user."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from remora.errors import ConfigError, Problem
from remora.extras import missing_packages
from remora.local_sidecar.addresses import Addresses, read_addresses
from remora.local_sidecar.control import ControlClient

LINGER_S = "2"
_RIVAL_WAIT_S = 10.0
_RIVAL_LOOK_S = 0.1
_ASK_TIMEOUT_S = 5.0
_PORTS = {
    "REMORA_LISTEN": "127.0.0.1:15001",
    "REMORA_CONTROL_LISTEN": "127.0.0.1:15080",
    "REMORA_STATUS_LISTEN": "127.0.0.1:15021",
}


def find_or_start(
    environment: Mapping[str, str], data_dir: Path, *, preset: str = "tracker"
) -> tuple[Addresses, bool]:
    """Give the addresses of a running sidecar, and whether it had to be started.

    Args:
        environment: Of the sidecar, if it is started.
        data_dir: Whose sidecar.
        preset: What applies where no policy is given.

    Raises:
        ConfigError: It can't be started; with every problem it named.
    """
    if (found := _running(data_dir)) is not None:
        return found, False
    try:
        return _start(environment, data_dir, preset), True
    except ConfigError as error:
        if str(data_dir) not in str(error):
            raise
        # Another program may have been faster, and its sidecar holds the data directory.
        deadline_s = time.monotonic() + _RIVAL_WAIT_S
        while time.monotonic() < deadline_s:
            if (found := _running(data_dir)) is not None:
                return found, False
            time.sleep(_RIVAL_LOOK_S)
        raise


def require_sidecar() -> None:
    """See that a sidecar could be started.

    Raises:
        ConfigError: Packages that it needs are not installed.
    """
    if missing := missing_packages("sidecar"):
        what = (
            f"packages of a local sidecar are not installed ({missing[0]}, {len(missing)} in all): "
            "pip install 'remora[sidecar]', or name a gateway in REMORA_GATEWAY_URL"
        )
        raise ConfigError([Problem("sidecar", what)])


def _running(data_dir: Path) -> Addresses | None:
    found = read_addresses(data_dir)
    if found is None:
        return None
    with ControlClient(found.control, timeout_s=_ASK_TIMEOUT_S) as control:
        return found if control.is_alive() else None


def _start(environment: Mapping[str, str], data_dir: Path, preset: str) -> Addresses:
    require_sidecar()
    child_environment = {**_free_ports(environment), **environment, "REMORA_MODE": "explicit"}
    child_environment["REMORA_DATA_DIR"] = str(data_dir)
    child_environment.setdefault("REMORA_LINGER_S", LINGER_S)
    child_environment.setdefault("REMORA_LOG_LEVEL", "warning")
    if not environment.get("REMORA_POLICY"):
        child_environment.setdefault("REMORA_PRESET", preset)
    with tempfile.TemporaryFile() as errors:
        process = _LeftRunning(
            [sys.executable, "-P", "-m", "remora_sidecar", "--ready-json"],
            env=child_environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = process.stdout.readline()
        process.stdout.close()
        if not line:
            process.wait()
            errors.seek(0)
            raise ConfigError(
                [Problem("sidecar", errors.read().decode("utf-8", "replace").strip())]
            )
    _started[:] = [*(one for one in _started if one.poll() is None), process]
    found = read_addresses(data_dir)
    assert found is not None  # noqa: S101 - written before the ready line
    return found


class _LeftRunning(subprocess.Popen[bytes]):
    """A process that may outlive who started it: others use it by then."""

    def __del__(self) -> None:
        """Say nothing of it."""


_started: list[_LeftRunning] = []
"""Sidecars that this process started; those that have ended are waited for, sooner or later."""


def _free_ports(environment: Mapping[str, str]) -> dict[str, str]:
    """Take the usual ports where they are free, else any."""
    return {
        name: address if _is_free(address) else "127.0.0.1:0"
        for name, address in _PORTS.items()
        if name not in environment
    }


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def current_environment() -> dict[str, str]:
    """Give this process's environment, which its children start from."""
    return dict(os.environ)  # noqa: TID251 - passed on to children, not read for settings
