"""A real Redis server for tests, on a Unix socket, that keeps nothing on disk."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHY_NOT = "" if shutil.which("redis-server") else "redis-server is not installed"
"""Why there is none; empty where there is one."""

_START_S = 20.0


@contextmanager
def redis_server(path: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server.

    Args:
        path: Its socket, which may not be longer than a Unix socket's name.
        options: Further words of its command line.

    Raises:
        TimeoutError: It did not start.
    """
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", *options]
    server = subprocess.Popen(  # noqa: S603 - the words are the test's own
        command, stdout=subprocess.DEVNULL, cwd=path.parent
    )
    try:
        _await_socket(path)
        yield server
    finally:
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.wait(timeout=30)
        path.unlink(missing_ok=True)


def _await_socket(path: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
                probe.sendall(b"PING\r\n")
                if probe.recv(16):
                    return
            except OSError:
                time.sleep(0.01)
    raise TimeoutError("redis-server did not start")
