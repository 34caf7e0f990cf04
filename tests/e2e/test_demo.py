"""`remora demo`: shows each kind of call, and leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path

import pytest

MARK = "DEMO_OF_THIS_TEST"


@pytest.fixture
def demo(tmp_path):
    """A started demo whose every process and file can be told from others'."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark, "TMPDIR": str(tmp_path), "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, "-P", "-u", "-m", "remora", "demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        process.mark = mark
        yield process


def _still_running(mark):
    wanted = f"{MARK}={mark}".encode()
    running = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                running.append((folder / "cmdline").read_bytes())
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return running


def test_each_kind_of_call_is_shown_and_nothing_is_left(demo, tmp_path):
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, told
    lines = told.splitlines()
    shown = [line for line in lines if line.startswith(("plain ", "stream "))]
    assert len(shown) == 5
    for kind in ("200 stop", "first in", "calls get_weather", "503", "given up by the agent"):
        assert any(kind in line for line in shown), kind
    # What the agent gave up has an estimate, which depends on how far it had read.
    (given_up,) = [line for line in shown if "given up by the agent" in line]
    assert "~22→" in given_up
    assert "~$0.0000" in given_up
    exact = [line for line in shown if "$" in line and "~" not in line]
    assert sum(Decimal(line.split("$")[1].split()[0]) for line in exact) == Decimal("0.0000477")
    assert any(line.startswith("5 calls in") and "$0.0000" in line for line in lines)
    assert _still_running(demo.mark) == []
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing_either(demo, tmp_path):
    for line in demo.stdout:
        if line.startswith("agent: "):
            break
    os.killpg(demo.pid, signal.SIGINT)  # as Ctrl-C does
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "Traceback" not in told
    assert _still_running(demo.mark) == []
    assert list(tmp_path.iterdir()) == []
