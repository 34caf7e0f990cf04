"""What a kill -9 in the middle of writing leaves behind."""

import asyncio
import signal
import subprocess
import sys

import pytest

from remora_sidecar.cache.file import AnswerFile

CHILD = """
import sys
from pathlib import Path
from remora_sidecar.cache.entry import CachedAnswer, Chunk
from remora_sidecar.cache.file import AnswerFile
from remora_sidecar.cache.level import Kept

file = AnswerFile(Path(sys.argv[1]), 1 << 22)
number = 0
while True:
    said = b"%d " % number + bytes(range(256)) * (number % 40)
    answer = CachedAnswer(200, "", (), (Chunk(0.0, said),), stored_unix_ns=1)
    file.keep(str(number), Kept(answer, 10**18), 1)
    file.find(str(number // 2), 1)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def kept_until_killed(path, lines):
    """Runs a child that says each answer after it was kept; kills it after so many."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    said = [int(child.stdout.readline()) for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    with child.stdout:
        rest = child.stdout.read()
    child.wait(timeout=30)
    return said + [int(line) for line in rest.split("\n")[:-1]]


@pytest.mark.parametrize("lines", [1, 50, 1000, 3000], ids=["at once", "early", "later", "full"])
async def test_what_was_kept_is_whole_or_gone_and_the_newest_is_there(lines, tmp_path):
    path = tmp_path / "cache.sqlite"
    said = await asyncio.to_thread(kept_until_killed, path, lines)

    file = AnswerFile(path, 1 << 22)
    found = {number: file.find(str(number), 1) for number in range(said[-1] + 2)}
    whole = {n: kept for n, kept in found.items() if kept is not None}

    assert all(kept.answer.body.startswith(b"%d " % n) for n, kept in whole.items())
    assert all(len(k.answer.body) == len(b"%d " % n) + 256 * (n % 40) for n, k in whole.items())
    assert set(said[-50:]) <= set(whole)
    assert file.moved_aside is None
    assert file.stats().errors == 0
    assert path.stat().st_size <= 1 << 22
    file.close()
