"""What keeps sessions is installed once, by whichever thread, and forks do not stumble over it."""

import os
import subprocess
import sys
import threading
import time

import pytest
import wrapt.importer

from remora.tracker import active, locks
from remora.tracker.children import install_children

REPLACED = """
import _thread, concurrent.futures, multiprocessing, os, subprocess, threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import Pool
from multiprocessing.process import BaseProcess
def now():
    return [threading.Thread.start, _thread.start_new_thread, ThreadPoolExecutor.submit,
            ThreadPoolExecutor.__init__, ProcessPoolExecutor.submit, Future.add_done_callback,
            Pool.__init__, Pool.imap, BaseProcess.start, subprocess.Popen.__init__,
            os.posix_spawn, os.posix_spawnp, os.execv, os.execve, os.system]
"""


def _run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, check=True, timeout=100, capture_output=True, text=True
    ).stdout.strip()


def test_many_threads_at_once_install_it_once() -> None:
    code = f"""{REPLACED}
import sys
sys.setswitchinterval(1e-6)
before = now()
from remora.tracker.children import install_children
together = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (together.wait(), install_children()))
           for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
once = now()
install_children()
assert now() == once
print(all(new.__wrapped__ is old for new, old in zip(once, before)))
"""
    assert _run(code) == "True"


def test_nothing_is_replaced_until_it_is_installed() -> None:
    code = f"""{REPLACED}
before = now()
import remora.tracker.children
assert now() == before
import sys
print("wrapt" in sys.modules)
"""
    assert _run(code) == "False"


def test_functions_keep_their_names_and_signatures() -> None:
    import inspect

    install_children()

    assert subprocess.Popen.__init__.__qualname__ == "Popen.__init__"
    assert list(inspect.signature(subprocess.Popen).parameters)[:2] == ["args", "bufsize"]
    assert threading.Thread.start.__doc__.startswith("Start the thread's activity.")


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize(
    "lock",
    [locks.installing, active.telling, wrapt.importer._post_import_hooks_lock],
    ids=["installing", "telling", "importing"],
)
def test_a_fork_beside_whoever_holds_a_lock_leaves_it_free(lock) -> None:
    enough = threading.Event()

    def hold() -> None:
        while not enough.is_set():
            with lock:
                time.sleep(0.0001)  # so that forks find it held

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        for _ in range(20):
            pid = os.fork()
            if not pid:
                os._exit(0 if lock.acquire(timeout=5) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        enough.set()
        holder.join()
