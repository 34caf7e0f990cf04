"""Finds the sidecar that runs on this machine, or starts one that ends with its last user."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from remora.errors import ConfigError, Problem
from remora_sidecar.addresses_file import Addresses, read_addresses
from remora_sidecar.commands.control_client import ControlClient
from remora_sidecar.settings import read_settings

if TYPE_CHECKING:
    from remora_sidecar.settings import SidecarSettings

LINGER_S = "2"
_RIVAL_WAIT_S = 3.0
_PORTS = {
    "REMORA_LISTEN": "127.0.0.1:15001",
    "REMORA_CONTROL_LISTEN": "127.0.0.1:15080",
    "REMORA_STATUS_LISTEN": "127.0.0.1:15021",
}


def find_or_start(
    environment: Mapping[str, str], *, preset: str = "tracker"
) -> tuple[Addresses, bool]:
    """Give the addresses of a running sidecar, and whether it had to be started.

    Args:
        environment: Of the sidecar, if it is started.
        preset: What applies where no policy is given.

    Raises:
        ConfigError: It can't be started; with every problem it named.
    """
    settings = read_settings()
    if (found := _running(settings)) is not None:
        return found, False
    try:
        return _start(settings, environment, preset), True
    except ConfigError as error:
        if "REMORA_DATA_DIR" not in str(error):
            raise
        # Another `run` may have been faster, and its sidecar holds the data directory.
        deadline = time.monotonic() + _RIVAL_WAIT_S
        while time.monotonic() < deadline:
            if (found := _running(settings)) is not None:
                return found, False
            time.sleep(0.1)
        raise


def _running(settings: "SidecarSettings") -> Addresses | None:
    found = read_addresses(settings.data_dir)
    return found if found is not None and ControlClient(found.control).is_alive() else None


def _start(settings: "SidecarSettings", environment: Mapping[str, str], preset: str) -> Addresses:
    child_environment = {**_free_ports(environment), **environment, "REMORA_MODE": "explicit"}
    child_environment.setdefault("REMORA_LINGER_S", LINGER_S)
    child_environment.setdefault("REMORA_LOG_LEVEL", "warning")
    if settings.policy is None:
        child_environment.setdefault("REMORA_PRESET", preset)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
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
    found = read_addresses(settings.data_dir)
    assert found is not None  # noqa: S101 - written before the ready line
    return found


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
