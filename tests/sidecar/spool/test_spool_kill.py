"""What a kill -9 in the middle of appending leaves behind."""

import asyncio
import signal
import subprocess
import sys

import pytest

CHILD = """
import sys
from pathlib import Path
from remora.clock import SystemClock
from remora.records import Body, CallRecord
from remora_sidecar.spool.spool import Spool

spool = Spool.open(Path(sys.argv[1]), clock=SystemClock())
number = int(sys.argv[2])
while True:
    body = Body(bytes(number % 20 * 300), 0)
    spool.append(CallRecord(f"{number:032x}", number, request_body=body))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def appended_until_killed(path, first, lines):
    """Runs a child that says each append after it returned; kills it after so many."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(first)],
        stdout=subprocess.PIPE,
        text=True,
    )
    said = [int(child.stdout.readline()) for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    # Not communicate(), which reads past what readline() has buffered.
    with child.stdout:
        rest = child.stdout.read()
    child.wait(timeout=30)
    return said + [int(line) for line in rest.split("\n")[:-1]]


@pytest.mark.parametrize("lines", [1, 50, 3000], ids=["at once", "early", "after checkpoints"])
async def test_every_append_that_returned_is_there_once_after_kill_9(
    lines, open_spool, drain, tmp_path
):
    path = tmp_path / "data" / "spool.sqlite"
    said = await asyncio.to_thread(appended_until_killed, path, 0, lines)

    spool = open_spool()
    kept = [int(entry.message.call_id, 16) for entry in await drain(spool)]

    assert len(kept) == len(set(kept)) == spool.depth
    assert set(said) <= set(kept)
    assert set(kept) - set(said) <= {len(said)}, "at most the append under way is there unsaid"
    assert spool.moved_aside is None


async def test_killing_again_and_again_loses_nothing(open_spool, drain, tmp_path):
    path = tmp_path / "data" / "spool.sqlite"
    said = []
    for life in range(4):
        said += await asyncio.to_thread(appended_until_killed, path, life * 1_000_000, 100)

    kept = [int(entry.message.call_id, 16) for entry in await drain(open_spool())]

    assert set(said) <= set(kept)
    assert len(kept) == len(set(kept))
