"""The answers' file when things go wrong."""

import os
import sqlite3
import stat
from dataclasses import replace

import pytest

from remora_sidecar.cache.file import AnswerFile
from remora_sidecar.cache.table import PAGE_BYTES, SMALLEST_LIMIT_BYTES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "cache.sqlite"


@pytest.fixture
def open_file(path):
    opened = []

    def open_one(limit_bytes=1 << 24):
        opened.append(AnswerFile(path, limit_bytes))
        return opened[-1]

    yield open_one
    for file in opened:
        file.close()


@pytest.fixture
def now(clock):
    return clock.now_unix_ns()


def test_what_was_kept_is_there_after_closing(open_file, make_kept, now):
    file = open_file()
    file.keep("a", make_kept(), now)
    file.close()

    assert open_file().find("a", now) == make_kept()


def test_a_file_is_for_its_owner_alone_and_made_on_first_use(open_file, path, make_kept, now):
    file = open_file()
    assert not path.exists()
    file.keep("a", make_kept(), now)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_opening_reads_no_answer(open_file, path, make_kept, now, monkeypatch):
    file = open_file()
    for number in range(50):
        file.keep(str(number), make_kept(size=20_000), now)
    file.close()
    monkeypatch.setattr("remora_sidecar.cache.file.decode", lambda *_: pytest.fail("was read"))

    assert open_file().count() == 50


def test_what_expired_is_removed_when_found_and_in_passing(open_file, make_kept, clock):
    file, start = open_file(), clock.now_unix_ns()
    for key in "abc":
        file.keep(key, make_kept(ttl_s=10), start)
    clock.advance(10)
    assert file.find("a", clock.now_unix_ns()) is None
    file.keep("d", make_kept(), clock.now_unix_ns())

    assert file.count() == 1
    assert file.stats().expirations == 3


def test_what_comes_from_the_future_is_not_served(open_file, make_answer, make_kept, now):
    file = open_file()
    kept = make_kept(ttl_s=1e6)
    ahead = replace(kept, answer=replace(make_answer(), stored_unix_ns=now + 120 * 10**9))
    file.keep("a", ahead, now)

    assert file.find("a", now) is None
    assert file.find("a", now + 61 * 10**9) == ahead


def test_an_entry_too_large_for_the_file_is_refused(open_file, make_kept, now):
    file = open_file(SMALLEST_LIMIT_BYTES)
    noise = os.urandom(SMALLEST_LIMIT_BYTES // 2).hex()
    file.keep("a", make_kept(noise), now)

    assert file.find("a", now) is None
    assert file.stats().refused == 1


def test_shrinking_the_bound_gives_room_back(open_file, path, make_kept, now):
    file = open_file()
    for number in range(300):
        file.keep(str(number), make_kept(f"{number} " + "x" * 1500), now)
    before = file.stats().held_bytes
    file.resize(SMALLEST_LIMIT_BYTES)
    file.flush()

    assert before > SMALLEST_LIMIT_BYTES >= path.stat().st_size
    assert file.find("299", now) is not None
    assert file.stats().evictions > 0


def test_clearing_gives_room_back(open_file, path, make_kept, now):
    file = open_file()
    for number in range(300):
        file.keep(str(number), make_kept(f"{number} " + "x" * 1500), now)
    file.clear()
    file.flush()

    assert file.count() == 0
    assert path.stat().st_size < 20 * PAGE_BYTES


@pytest.mark.parametrize(
    "content",
    [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000],
    ids=["text", "torn"],
)
def test_a_broken_file_is_set_aside_and_a_new_one_begun(
    open_file, path, make_kept, now, content, caplog
):
    path.parent.mkdir()
    path.write_bytes(content)
    file = open_file()
    file.keep("a", make_kept(), now)

    assert file.find("a", now) == make_kept()
    assert file.moved_aside.read_bytes() == content
    assert "moved to" in caplog.text


def test_a_file_of_another_version_is_set_aside(open_file, path, make_kept, now):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE cache (key, data_json)")
    other.close()
    file = open_file()
    file.keep("a", make_kept(), now)

    assert file.find("a", now) is not None
    assert file.moved_aside.exists()


def test_a_file_that_breaks_while_open_is_set_aside(open_file, path, make_kept, now):
    file = open_file()
    for number in range(200):
        file.keep(str(number), make_kept(f"{number} " + "x" * 1500), now)
    file.flush()
    file._table._connection.execute("PRAGMA cache_size = 0")
    file._table._connection.execute("PRAGMA shrink_memory")
    with path.open("r+b") as raw:
        raw.seek(PAGE_BYTES)
        raw.write(b"\xa5" * (path.stat().st_size - PAGE_BYTES))

    found = [file.find(str(number), now) for number in range(200)]

    assert None in found
    assert file.moved_aside.exists()
    assert file.stats().errors >= 1
    file.keep("a", make_kept(), now)
    assert file.find("a", now) == make_kept()
    assert file.problem == ""


def test_a_damaged_value_is_a_miss_and_is_removed(open_file, path, make_kept, now):
    file = open_file()
    file.keep("a", make_kept(), now)
    file.keep("b", make_kept("other"), now)
    file.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE answers SET value = zeroblob(100) WHERE key = 'a'")
        # The right value under the wrong key, as after a mistake of a person or a program.
        other.execute("INSERT INTO answers SELECT 9, 'c', expires_ns, used, value FROM answers "
                      "WHERE key = 'b'")  # fmt: skip
    other.close()
    file = open_file()

    assert [file.find(key, now) for key in "abc"] == [None, make_kept("other"), None]
    assert file.count() == 1
    assert file.stats().errors == 2


def test_a_file_that_somebody_else_has_is_left_alone_and_tried_again(
    open_file, make_kept, now, clock
):
    first, second, kept = open_file(), open_file(), make_kept()
    first.keep("a", kept, now)
    second.keep("a", make_kept("mine"), now)

    assert "locked" in second.problem
    assert second.find("a", now) is None
    assert first.find("a", now) == kept
    assert second.moved_aside is None

    first.close()
    assert second.find("a", now) is None, "not tried at every call"
    clock.advance(11)
    assert second.find("a", clock.now_unix_ns()) == kept
    assert second.problem == ""


def test_a_folder_that_can_not_be_made_is_a_problem_and_no_exception(tmp_path, make_kept, now):
    (tmp_path / "file").write_text("")
    file = AnswerFile(tmp_path / "file" / "cache.sqlite")
    file.keep("a", make_kept(), now)

    assert file.find("a", now) is None
    assert "can't use" in file.problem
    file.flush()
    file.clear()
    file.resize(1)
    file.close()


def test_a_closed_file_answers_nothing(open_file, make_kept, now):
    file = open_file()
    file.close()
    file.close()
    file.keep("a", make_kept(), now)

    assert file.find("a", now) is None
