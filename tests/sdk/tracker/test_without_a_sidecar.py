"""Where only the light library is installed."""

import subprocess
import sys

import pytest

PROGRAM = """
from importlib import metadata
found = metadata.distribution
def distribution(name):
    if name == "mitmproxy":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.distribution = distribution
from remora import LLMTracker
from remora.errors import ConfigError
try:
    LLMTracker().start()
except ConfigError as error:
    print(error)
"""


@pytest.mark.usefixtures("provider")
def test_a_tracker_says_what_to_install_and_leaves_no_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "pip install 'remora[sidecar]'" in done.stdout
    assert "mitmproxy" in done.stdout
    assert "REMORA_GATEWAY_URL" in done.stdout
    assert list(tmp_path.iterdir()) == []
