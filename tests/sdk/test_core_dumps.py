"""A process that switched core dumps off leaves none, whoever the kernel would give it to."""

import os
import platform
import signal
import subprocess
import sys

import pytest

_SCRIPT = """
import ctypes, resource, sys
from remora.core_dumps import switch_off_core_dumps

libc = ctypes.CDLL(None)
before = libc.prctl(3, 0, 0, 0, 0)
switch_off_core_dumps()
print(before, libc.prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
"""


def _run(script, folder):
    return subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_process_can_no_longer_be_dumped(tmp_path):
    done = _run(_SCRIPT, tmp_path)
    assert done.stdout.split() == ["1", "0", "0", "0"], done.stderr


def test_a_crash_leaves_no_core(tmp_path):
    done = _run(f"{_SCRIPT}\nimport os; os.abort()", tmp_path)
    assert done.returncode == -signal.SIGABRT
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the number of prctl differs by kernel and machine",
)
def test_a_kernel_that_refuses_is_not_passed_over(tmp_path):
    # 38 and 22 are PR_SET_NO_NEW_PRIVS and PR_SET_SECCOMP; the filter refuses prctl with EPERM.
    done = _run(_REFUSED, tmp_path)
    assert "PermissionError" in done.stderr
    assert "core dumps can't be switched off" in done.stderr


_REFUSED = """
import ctypes, platform, struct
from remora.core_dumps import switch_off_core_dumps

prctl = {"x86_64": 157, "aarch64": 167}[platform.machine()]
load, equal, give = 0x20, 0x15, 0x06
filters = b"".join(struct.pack("HBBI", *line) for line in [
    (load, 0, 0, 0), (equal, 0, 1, prctl), (give, 0, 0, 0x00050001), (give, 0, 0, 0x7FFF0000),
])
kept = ctypes.create_string_buffer(filters)
program = struct.pack("HxxxxxxP", 4, ctypes.addressof(kept))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) == 0
switch_off_core_dumps()
"""
