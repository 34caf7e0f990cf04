"""Copies of a store: made while it serves, looked over, put back."""

import asyncio
import stat

import pytest
from click.testing import CliRunner
from tests.aggregator.store.calls import STAMP, calls

from remora_aggregator.command import command
from remora_aggregator.server import locked
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sqlite.backend import opened
from remora_aggregator.store.sqlite.copies import back_up, damage, put_back
from remora_proto.v1 import records_pb2 as pb

EVERYTHING = selection(pb.RecordFilter(), ("local",))


def _silent(_left, _whole):
    pass


async def _count(path):
    async with opened(path) as store:
        pages = store.pages(EVERYTHING, after=None)
        return sum([len(page.records) async for page in pages])


def _run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


async def test_a_copy_made_while_records_come_is_whole_and_holds_all_acknowledged_before(tmp_path):
    path, copy = tmp_path / "records.db", tmp_path / "copy.db"
    async with opened(path) as store:
        records = calls(1, 3_000)
        await store.write(records[:1_000], STAMP)
        copying = asyncio.to_thread(back_up, path, copy, _silent)
        writing = [store.write(records[at : at + 100], STAMP) for at in range(1_000, 3_000, 100)]
        await asyncio.gather(copying, *writing)
    assert damage(copy) == ""
    assert 1_000 <= await _count(copy) <= 3_000
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


async def test_a_store_is_restored_from_its_copy(tmp_path):
    path, copy = tmp_path / "records.db", tmp_path / "copy.db"
    async with opened(path) as store:
        await store.write(calls(1, 10), STAMP)
    assert _run("backup", copy, "--data-dir", tmp_path).exit_code == 0
    async with opened(path) as store:
        await store.write(calls(2, 20), STAMP)
    ended = _run("restore", copy, "--data-dir", tmp_path)
    assert ended.exit_code == 0, ended.output
    assert await _count(path) == 10
    assert await _count(tmp_path / "records.db.before-restore") == 20


async def test_a_damaged_page_is_found_by_check_and_never_restored(tmp_path):
    path = tmp_path / "records.db"
    async with opened(path) as store:
        await store.write(calls(1, 2_000), STAMP)
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 20_000):
        content[at] = 0x5A
    copy = tmp_path / "damaged.db"
    copy.write_bytes(content)
    ended = _run("check", copy)
    assert ended.exit_code == 1
    assert "damaged" in ended.output
    assert _run("check", "--data-dir", tmp_path).exit_code == 0
    ended = _run("restore", copy, "--data-dir", tmp_path)
    assert ended.exit_code == 2
    assert await _count(path) == 2_000


async def test_a_running_aggregators_store_is_not_replaced(tmp_path):
    path, copy = tmp_path / "records.db", tmp_path / "copy.db"
    async with opened(path) as store:
        await store.write(calls(1, 10), STAMP)
    back_up(path, copy, _silent)
    with locked(tmp_path):
        ended = _run("restore", copy, "--data-dir", tmp_path)
    assert ended.exit_code == 2
    assert "in use" in ended.output


async def test_a_copy_replaces_a_file_only_if_told_to(tmp_path):
    async with opened(tmp_path / "records.db") as store:
        await store.write(calls(1, 1), STAMP)
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    assert _run("backup", copy, "--data-dir", tmp_path).exit_code == 2
    assert copy.read_text() == "precious"
    assert _run("backup", copy, "--force", "--data-dir", tmp_path).exit_code == 0
    assert damage(copy) == ""


@pytest.mark.parametrize(
    "arguments",
    [("backup", "{tmp}/copy.db"), ("check",), ("restore", "{tmp}/none.db")],
    ids=["backup", "check", "restore"],
)
def test_where_there_is_no_store_that_is_said(tmp_path, arguments):
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    ended = _run(*given, "--data-dir", tmp_path / "nothing")
    assert ended.exit_code == 2
    assert "there is no store" in ended.output


def test_a_copy_that_can_not_be_written_leaves_nothing(tmp_path):
    (tmp_path / "records.db").write_bytes(b"")
    ended = _run("backup", tmp_path / "no" / "folder.db", "--data-dir", tmp_path)
    assert ended.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.db"]


def test_what_is_no_store_is_damaged(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is not SQLite" * 100)
    assert _run("check", tmp_path / "x.db").exit_code == 1
    with pytest.raises(Exception, match="damaged"):
        put_back(tmp_path / "x.db", tmp_path / "records.db")
