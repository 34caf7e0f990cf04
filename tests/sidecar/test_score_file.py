"""Scores over a restart: whole, bounded, and never taken from a file that was changed."""

import asyncio
import hashlib
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning import Arm, ArmScore, Beta, GoalScores, LearningSettings
from remora_sidecar.policy.score_book import ScoreBook, ScoreSnapshot
from remora_sidecar.score_file import SCORE_FILE, ScoreFile, read, written


def snapshot(goal, good=2.0, made=1):
    arm = ArmScore(Arm("openai", "m", {"temperature": 0}), Beta(good, 1.0), 3.0, 0.01, 250.0)
    settings = LearningSettings(half_life_ms=5, band=0.1)
    return ScoreSnapshot(GoalScores(goal, (arm,), settings), f"digest of {goal}", made, 4)


def shown(snapshots):
    return [(one.scores, one.digest, one.made_unix_ns, one.version) for one in snapshots]


@pytest.fixture
def book():
    return ScoreBook()


async def test_what_was_known_is_known_after_a_restart(tmp_path, book):
    file = ScoreFile(tmp_path, book)
    book.take_all([snapshot("a"), snapshot("b", made=2)])
    await file.write()
    again = ScoreBook()
    after = ScoreFile(tmp_path, again)
    after.load()
    assert shown(again.snapshots()) == shown([snapshot("b", made=2), snapshot("a")])
    assert after.problem == ""
    assert stat.S_IMODE((tmp_path / SCORE_FILE).stat().st_mode) == 0o600


async def test_what_did_not_change_is_not_written(tmp_path, book):
    file = ScoreFile(tmp_path, book)
    await file.write()
    assert not (tmp_path / SCORE_FILE).exists()
    book.take(snapshot("a"))
    await file.write()
    (tmp_path / SCORE_FILE).unlink()
    await file.write()
    assert not (tmp_path / SCORE_FILE).exists()


async def test_changes_are_written_while_it_runs(tmp_path, book):
    file = ScoreFile(tmp_path, book)

    async def soon(_):
        await asyncio.sleep(0.001)

    task = asyncio.get_running_loop().create_task(file.run(soon))
    book.take(snapshot("a"))
    async with asyncio.timeout(20):
        while not (tmp_path / SCORE_FILE).exists():  # noqa: ASYNC110  # a thread writes it
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_no_file_is_nothing_known(tmp_path, book):
    file = ScoreFile(tmp_path, book)
    file.load()
    assert (len(book), file.problem) == (0, "")


BROKEN = {
    "nothing": b"",
    "another's": b"remora-scores 9 \n",
    "cut": written([snapshot("a")])[:-1],
    "longer": written([snapshot("a")]) + b"\0",
    "no pieces": b"remora-scores 1 " + hashlib.sha256(b"\0\0\1").hexdigest().encode() + b"\n\0\0\1",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_can_not_be_used_is_said_and_nothing_is_known(tmp_path, book, content):
    (tmp_path / SCORE_FILE).write_bytes(content)
    file = ScoreFile(tmp_path, book)
    file.load()
    assert len(book) == 0
    assert "learned routing begins anew" in file.problem


async def test_a_disk_that_takes_nothing_is_said_until_it_does(tmp_path, book):
    folder = tmp_path / "gone"
    file = ScoreFile(folder, book)
    book.take(snapshot("a"))
    await file.write()
    assert "a restart forgets scores" in file.problem
    folder.mkdir()
    await file.write()
    assert file.problem == ""
    assert (folder / SCORE_FILE).exists()


@given(st.lists(st.integers(0, 99), max_size=8, unique=True), st.integers(0, 2_000))
def test_there_is_room_for_the_newest(times, room):
    snapshots = [snapshot(f"g{made}", made=made) for made in times]
    content = written(snapshots, room)
    found = read(content)
    newest = sorted(snapshots, key=lambda one: -one.made_unix_ns)[: len(found)]
    assert shown(found) == shown(newest)
    assert len(content.partition(b"\n")[2]) <= room
    assert written(snapshots).startswith(b"remora-scores 1 ")
    assert len(read(written(snapshots))) == len(times)
