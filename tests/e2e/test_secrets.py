"""Secrets stay put: no part may be dumped, and what it writes is its owner's alone."""

import os
from pathlib import Path

import pytest

from remora.testing.server_process import ServerProcess, part_command

SETTINGS = {
    "sidecar": {
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_AGGREGATOR": "none",
    },
    "aggregator": {"REMORA_AGGREGATOR_LISTEN": "127.0.0.1:0"},
}


@pytest.fixture(params=SETTINGS)
def server(request, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        **SETTINGS[request.param],
    }
    command = part_command(request.param, "--ready-json")
    with ServerProcess(request.param, command, environment, tmp_path / "log") as running:
        yield running


def test_no_core_is_ever_dumped(server):
    limits = Path(f"/proc/{server.pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


def test_the_data_directory_is_its_owners_alone(server):
    folder = Path(server.ready["data_dir"])
    assert folder.stat().st_mode & 0o077 == 0
