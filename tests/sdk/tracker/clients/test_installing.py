"""How the patches get in: once, from any thread, for clients imported before and after."""

import subprocess
import sys
from pathlib import Path

import pytest

BEFORE_AND_AFTER = """
import sys, threading
import httpcore
from remora.tracker.clients import install_clients

original = httpcore.ConnectionPool.handle_request
threads = [threading.Thread(target=install_clients) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
patched = vars(httpcore.ConnectionPool)["handle_request"]
assert patched.__wrapped__ is original, "patched twice, or not at all"

assert "urllib3" not in sys.modules and "aiohttp" not in sys.modules and "grpc" not in sys.modules
import urllib3, aiohttp
assert hasattr(vars(urllib3.HTTPConnectionPool)["urlopen"], "__wrapped__")
assert hasattr(vars(aiohttp.BaseConnector)["connect"], "__wrapped__")
"""

UNKNOWN_VERSION = """
import sys, warnings
sys.path.insert(0, {folder!r})
from remora.tracker.active import UntrackedCallWarning
from remora.tracker.clients import install_clients
install_clients()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import httpcore
assert httpcore.fine
assert [one.category for one in told] == [UntrackedCallWarning], told
assert "httpcore" in str(told[0].message)
"""

SIGNATURES = """
import inspect
import httpcore, urllib3, socket, http.client, websockets.sync.client
objects = lambda: [
    httpcore.ConnectionPool.handle_request, httpcore.AsyncConnectionPool.handle_async_request,
    urllib3.HTTPConnectionPool.urlopen, socket.getaddrinfo, http.client.HTTPConnection.putrequest,
    websockets.sync.client.connect,
]
before = [(inspect.signature(one), one.__qualname__, one.__doc__) for one in objects()]
from remora.tracker.clients import install_clients
install_clients()
assert before == [(inspect.signature(one), one.__qualname__, one.__doc__) for one in objects()]
assert inspect.iscoroutinefunction(httpcore.AsyncConnectionPool.handle_async_request)
"""


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", [BEFORE_AND_AFTER, SIGNATURES], ids=["once", "signatures"])
def test_patches_are_put_in_once_and_show_nothing_of_themselves(program: str) -> None:
    run(program)


def test_a_client_of_an_unknown_version_can_be_imported_and_is_told_about(tmp_path: Path) -> None:
    (tmp_path / "httpcore.py").write_text("fine = True\n")
    run(UNKNOWN_VERSION.format(folder=str(tmp_path)))
