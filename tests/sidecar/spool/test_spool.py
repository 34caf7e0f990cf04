import asyncio
import itertools
import resource
import sqlite3
import stat
import subprocess
import threading
from contextlib import contextmanager, suppress

import pytest

from remora.records import Body, CallRecord
from remora_sidecar.spool.row import BODIES_LIMIT_BYTES
from remora_sidecar.spool.spool import Spool


def ids(batch):
    return [int(entry.message.call_id, 16) for entry in batch]


async def recovered(spool, clock, record):
    """Appends until the spool's problem is over."""
    async with asyncio.timeout(10):
        while spool.problem:
            clock.advance(60)
            spool.append(record)
            await asyncio.sleep(0.001)


async def test_records_come_out_in_the_order_they_went_in(open_spool, make_record, drain):
    spool = open_spool()
    for number in range(250):
        spool.append(make_record(number))

    assert ids(await drain(spool)) == list(range(250))
    assert spool.depth == 250


async def test_a_batch_keeps_both_bounds_but_hands_out_at_least_one(open_spool, make_record):
    spool = open_spool()
    for number in range(6):
        spool.append(make_record(number, body_bytes=1000))

    assert ids(await spool.batch(2, 1 << 20)) == [0, 1]
    assert ids(await spool.batch(100, 2500)) == [2, 3]
    assert ids(await spool.batch(100, 1)) == [4]


async def test_what_was_forgotten_never_comes_again(open_spool, make_record, drain):
    spool = open_spool()
    for number in range(5):
        spool.append(make_record(number))
    batch = await drain(spool)

    await spool.forget([batch[1].sequence, batch[3].sequence])
    spool.rewind()

    assert ids(await drain(spool)) == [0, 2, 4]
    assert spool.depth == 3


async def test_a_clean_restart_keeps_what_was_not_forgotten(open_spool, make_record, drain):
    spool = open_spool()
    for number in range(3):
        spool.append(make_record(number))
    await spool.forget([(await spool.batch(1, 1 << 20))[0].sequence])
    spool.close()

    again = open_spool()

    assert again.depth == 2
    assert ids(await drain(again)) == [1, 2]


async def test_appending_wakes_whoever_waits(open_spool, make_record):
    spool = open_spool()
    assert not spool.arrived.is_set()

    spool.append(make_record(1))

    assert spool.arrived.is_set()


async def test_refused_records_are_kept_apart_without_bodies(
    open_spool, make_record, drain, tmp_path
):
    spool = open_spool()
    spool.append(make_record(1, body_bytes=5000))
    spool.append(make_record(2))
    first, _ = await drain(spool)

    await spool.refused({first.sequence: "clash"})
    spool.rewind()

    assert ids(await drain(spool)) == [2]
    assert (spool.refused_total, spool.depth) == (1, 1)
    spool.close()
    with sqlite3.connect(tmp_path / "data" / "spool.sqlite") as file:
        [(reason, record)] = file.execute("SELECT reason, record FROM dead_letters")
    file.close()
    assert reason == "clash"
    assert len(record) < 100


async def test_dead_letters_are_bounded(open_spool, make_record, drain, tmp_path):
    spool = open_spool()
    for number in range(1100):
        spool.append(make_record(number))

    await spool.refused({entry.sequence: "clash" for entry in await drain(spool)})

    spool.close()
    with sqlite3.connect(tmp_path / "data" / "spool.sqlite") as file:
        [(kept,)] = file.execute("SELECT count(*) FROM dead_letters")
    file.close()
    assert kept == 1000
    assert spool.refused_total == 1100


async def test_the_file_is_for_its_owner_only(open_spool, make_record, tmp_path):
    open_spool().append(make_record(1))

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == {0o600}


async def test_over_the_bound_oldest_bodies_go_first(open_spool, make_record, drain):
    spool = open_spool(limit_bytes=2_000_000)
    for number in range(300):
        spool.append(make_record(number, body_bytes=10_000))
        await asyncio.sleep(0)
    batch = await drain(spool)

    assert ids(batch) == list(range(300)), "no record is lost while there are bodies to shed"
    with_body = [entry.message.HasField("request_body") for entry in batch]
    assert with_body == sorted(with_body)
    assert 0 < spool.shed_bodies_total < 300
    assert with_body.count(False) == spool.shed_bodies_total
    assert spool.shed_records_total == 0


async def test_over_the_bound_without_bodies_oldest_records_go(open_spool, tmp_path, drain):
    spool = open_spool(limit_bytes=1_000_000)
    for number in range(3000):
        spool.append(CallRecord(f"{number:032x}", number, url="u" * 1000))
        await asyncio.sleep(0)
    batch = await drain(spool)

    assert spool.shed_records_total > 0
    assert ids(batch)[-1] == 2999
    assert len(batch) == 3000 - spool.shed_records_total == spool.depth
    assert (tmp_path / "data" / "spool.sqlite").stat().st_size <= 1_100_000


async def test_bodies_too_large_for_a_message_count_as_shed(open_spool):
    spool = open_spool()
    body = Body(bytes(BODIES_LIMIT_BYTES + 1), BODIES_LIMIT_BYTES + 1)

    spool.append(CallRecord("a" * 32, 1, response_body=body))

    assert spool.shed_bodies_total == 1


async def test_the_write_ahead_log_does_not_grow_with_what_passed(
    open_spool, make_record, tmp_path
):
    spool = open_spool()
    for number in range(200):
        for _ in range(30):
            spool.append(make_record(number, body_bytes=4000))
        await spool.forget([entry.sequence for entry in await spool.batch(100, 1 << 20)])

    assert spool.depth == 0
    assert (tmp_path / "data" / "spool.sqlite-wal").stat().st_size < 20_000_000


@pytest.mark.parametrize("obstacle", ["its folder is a file", "it is a folder"])
async def test_a_spool_that_cannot_be_opened_works_in_memory_and_recovers(
    obstacle, open_spool, make_record, drain, clock, tmp_path
):
    path = tmp_path / "data" / "spool.sqlite"
    blocker = path.parent if obstacle == "its folder is a file" else path
    blocker.parent.mkdir(exist_ok=True)
    blocker.touch() if blocker == path.parent else blocker.mkdir()
    spool = open_spool()
    for number in range(50):
        spool.append(make_record(number))

    assert "can't write" in spool.problem
    assert (spool.unwritten_total, spool.depth, spool.queued) == (50, 50, 50)
    assert ids(await drain(spool)) == list(range(50))

    blocker.unlink() if blocker == path.parent else blocker.rmdir()
    await recovered(spool, clock, make_record(50))
    assert set(ids(await drain(spool))) >= set(range(51))
    spool.close()
    assert set(ids(await drain(open_spool()))) == set(range(51))


async def test_records_of_before_a_failed_start_are_delivered_too(
    open_spool, make_record, drain, clock, tmp_path
):
    path = tmp_path / "data" / "spool.sqlite"
    spool = open_spool()
    spool.append(make_record(1))
    spool.close()
    path.rename(tmp_path / "elsewhere")
    path.mkdir()
    later = open_spool()
    later.append(make_record(2))
    assert ids(await drain(later)) == [2]

    path.rmdir()
    (tmp_path / "elsewhere").rename(path)
    await recovered(later, clock, make_record(3))

    later.rewind()
    assert set(ids(await drain(later))) == {1, 2, 3}


async def test_an_older_clock_never_makes_two_records_one(
    open_spool, make_record, drain, clock, tmp_path
):
    path = tmp_path / "data" / "spool.sqlite"
    path.mkdir(parents=True)
    spool = open_spool()
    spool.append(make_record(1))
    path.rmdir()
    await recovered(spool, clock, make_record(1))
    spool.close()
    path.rename(tmp_path / "elsewhere")
    path.mkdir()
    clock.step_wall(-1e6)  # the numbers of the file are higher than those now given
    later = open_spool()
    later.append(make_record(2))
    [out] = await drain(later)
    path.rmdir()
    (tmp_path / "elsewhere").rename(path)
    for _ in range(50):
        clock.advance(60)
        later.append(make_record(3))
        await asyncio.sleep(0.001)
    assert "clock went back" in later.problem

    await later.forget([out.sequence])
    later.rewind()
    await recovered(later, clock, make_record(3))

    later.rewind()
    assert set(ids(await drain(later))) == {1, 3}


@pytest.fixture
def full_disk():
    """Lets files of this process grow to 300 kB only, until it is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))

    def make_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield make_room
    make_room()


async def test_a_full_disk_loses_nothing_and_heals(
    open_spool, make_record, drain, clock, full_disk, caplog
):
    spool = open_spool()
    for number in range(300):
        spool.append(make_record(number))
    assert "can't write" in spool.problem
    assert 0 < spool.queued < 300
    assert spool.depth == 300
    assert len(caplog.records) == 1, "said once, not for each call"

    full_disk()
    await recovered(spool, clock, make_record(300))

    spool.rewind()
    assert sorted(set(ids(await drain(spool)))) == list(range(301))
    spool.close()
    assert sorted(set(ids(await drain(open_spool())))) == list(range(301))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte; needs root."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("full_from", ["the start", "in the middle"])
async def test_a_disk_that_others_filled_loses_nothing_and_heals(
    full_from, open_spool, make_record, drain, clock, small_disk
):
    ballast = small_disk / "ballast"
    if full_from == "the start":
        fill_up(ballast)
    spool = open_spool(small_disk / "spool.sqlite")
    for number in range(20):
        spool.append(make_record(number, body_bytes=3000))
    fill_up(ballast)
    for number in range(20, 300):
        spool.append(make_record(number, body_bytes=3000))
        await spool.batch(1, 1)
    assert "can't write" in spool.problem
    assert spool.depth == 300

    ballast.unlink()
    await recovered(spool, clock, make_record(300))

    spool.rewind()
    assert sorted(set(ids(await drain(spool)))) == list(range(301))
    spool.close()


def fill_up(path):
    with suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


async def test_a_file_that_breaks_while_in_use_is_replaced(
    open_spool, make_record, drain, clock, tmp_path, caplog
):
    spool = open_spool()
    for number in range(2000):
        spool.append(make_record(number, body_bytes=100))
    await spool.batch(1, 1)
    for file in (tmp_path / "data").iterdir():
        with file.open("r+b") as stream:
            stream.write(b"nonsense" * 512)
    for number in range(2000, 2010):
        clock.advance(60)
        spool.append(make_record(number))
        await spool.batch(500, 1 << 20)
    await recovered(spool, clock, make_record(2010))

    spool.rewind()
    assert set(ids(await drain(spool))) >= set(range(2000, 2010))


async def test_what_was_acknowledged_on_a_full_disk_does_not_come_again(
    open_spool, make_record, drain, full_disk
):
    spool = open_spool()
    for number in range(300):
        spool.append(make_record(number))

    await spool.forget([entry.sequence for entry in await drain(spool)])

    spool.rewind()
    assert await drain(spool) == []


async def test_a_failing_disk_is_not_tried_for_every_call(open_spool, make_record, clock, tmp_path):
    spool = open_spool()
    with holding(tmp_path):
        for number in range(10):
            spool.append(make_record(number))
    assert spool.queued == 10

    spool.append(make_record(10))
    assert spool.queued == 11, "the time for a retry has not come"

    clock.advance(60)
    spool.append(make_record(11))
    assert (spool.queued, spool.problem) == (0, "")


@contextmanager
def holding(tmp_path):
    """Another program holds the file's write lock."""
    other = sqlite3.connect(tmp_path / "data" / "spool.sqlite", autocommit=True)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"this is no database, whatever its name says" * 100,
        lambda data: data[:100] + bytes(len(data) - 100),
        lambda data: data[: len(data) // 2],
    ],
    ids=["another format", "zeros", "cut in half"],
)
async def test_a_broken_file_is_moved_aside_and_a_new_one_made(
    spoil, open_spool, make_record, drain, tmp_path, caplog
):
    spool = open_spool()
    for number in range(500):
        spool.append(make_record(number, body_bytes=100))
    spool.close()
    path = tmp_path / "data" / "spool.sqlite"
    path.write_bytes(spoil(path.read_bytes()))

    again = open_spool()
    again.append(make_record(7))

    assert again.moved_aside is not None
    assert again.moved_aside.exists()
    assert "moved to" in caplog.text
    assert ids(await drain(again)) == [7]
    assert again.problem == ""


async def test_a_file_of_another_version_is_moved_aside(open_spool, make_record, tmp_path):
    spool = open_spool()
    spool.close()
    with sqlite3.connect(tmp_path / "data" / "spool.sqlite") as file:
        file.execute("PRAGMA user_version = 99")
    file.close()

    assert open_spool().moved_aside is not None


async def test_a_row_that_is_no_record_is_buried_and_passed_over(
    open_spool, make_record, drain, tmp_path
):
    spool = open_spool()
    for number in range(3):
        spool.append(make_record(number))
    with sqlite3.connect(tmp_path / "data" / "spool.sqlite") as file:
        file.execute("UPDATE records SET record = x'ffff' WHERE sequence = 2")
    file.close()
    spool.rewind()

    assert ids(await drain(spool)) == [0, 2]
    assert (spool.refused_total, spool.depth) == (1, 2)


async def test_fields_of_a_newer_sidecar_are_handed_on(open_spool, make_record, tmp_path):
    spool = open_spool()
    spool.append(make_record(1))
    unknown = bytes([0xFA, 0x3E, 2]) + b"hi"
    with sqlite3.connect(tmp_path / "data" / "spool.sqlite") as file:
        [(record,)] = file.execute("SELECT record FROM records")
        file.execute("UPDATE records SET record = ?", (record + unknown,))
    file.close()
    spool.rewind()

    [entry] = await spool.batch(1, 1 << 20)

    assert unknown in entry.message.SerializeToString()


async def test_records_that_come_together_are_written_together(open_spool, make_record, drain):
    spool = open_spool()
    spool.append(*map(make_record, range(3)))
    spool.append(make_record(3, body_bytes=10), make_record(4))
    spool.close()

    again = open_spool()
    assert ids(await drain(again)) == [0, 1, 2, 3, 4]
    assert (again.depth, spool.unwritten_total) == (5, 0)


async def test_those_that_come_with_one_that_cannot_be_written_are_kept(
    open_spool, make_record, drain
):
    spool = open_spool()

    spool.append(make_record(1), CallRecord(None, 1), make_record(2))

    assert (spool.lost_total, spool.depth, spool.queued) == (1, 2, 0)
    assert ids(await drain(spool)) == [1, 2]


async def test_of_records_that_come_together_the_file_takes_all_or_none(
    open_spool, make_record, drain, clock, tmp_path
):
    spool = open_spool(limit_bytes=64 * 1024)
    numbers = itertools.count()
    while not spool.problem:
        spool.append(*(make_record(next(numbers), body_bytes=2000) for _ in range(3)))

    assert spool.queued == 3
    with sqlite3.connect(tmp_path / "data" / "spool.sqlite") as file:
        [(written,)] = file.execute("SELECT count(*) FROM records")
    file.close()
    assert written % 3 == 0
    assert spool.depth == written + 3
    taken = ids(await drain(spool))
    assert taken == sorted(taken)
    assert taken[-3:] == list(range(next(numbers)))[-3:]


async def test_a_record_that_cannot_be_written_is_counted_and_harms_nobody(open_spool, caplog):
    spool = open_spool()

    spool.append(CallRecord(None, 1))

    assert (spool.lost_total, spool.depth) == (1, 0)
    assert "could not be written" in caplog.text


async def test_appends_from_the_loop_and_deletes_of_the_drain_do_not_disturb_each_other(
    open_spool, make_record
):
    spool = open_spool()
    delivered = []

    async def deliver():
        while len(delivered) < 3000:
            batch = await spool.batch(50, 1 << 20)
            delivered.extend(ids(batch))
            await spool.forget([entry.sequence for entry in batch])

    async with asyncio.TaskGroup() as group:
        group.create_task(deliver())
        for number in range(3000):
            spool.append(make_record(number, body_bytes=number % 3 * 1000))
            if number % 10 == 0:
                await asyncio.sleep(0)

    assert delivered == list(range(3000))
    assert (spool.unwritten_total, spool.depth, spool.problem) == (0, 0, "")


async def test_close_writes_down_what_is_queued(open_spool, make_record, drain, tmp_path):
    spool = open_spool()
    with holding(tmp_path):
        for number in range(100):
            spool.append(make_record(number))
    spool.close()

    assert ids(await drain(open_spool())) == list(range(100))


async def test_a_record_after_close_is_counted_as_lost(open_spool, make_record, caplog):
    spool = open_spool()
    spool.close()

    spool.append(make_record(1))

    assert spool.lost_total == 1
    assert "after the spool was closed" in caplog.text


async def test_what_the_file_never_took_is_said_at_the_end(
    open_spool, make_record, tmp_path, caplog
):
    (tmp_path / "data").touch()
    spool = open_spool()
    spool.append(make_record(1))

    spool.close()
    spool.close()

    assert spool.lost_total == 1
    assert "1 records were never written" in caplog.text


async def test_close_leaves_no_thread(open_spool, make_record):
    before = set(threading.enumerate())
    spool = open_spool()
    spool.append(make_record(1))
    await spool.batch(1, 1 << 20)

    spool.close()

    assert set(threading.enumerate()) == before


async def test_an_empty_file_gives_back_the_space_of_an_outage(
    open_spool, make_record, drain, tmp_path
):
    spool = open_spool()
    for number in range(300):
        spool.append(make_record(number, body_bytes=10_000))
    await spool.forget([entry.sequence for entry in await drain(spool)])
    spool.close()
    path = tmp_path / "data" / "spool.sqlite"
    grown = path.stat().st_size

    Spool.close(open_spool())

    assert path.stat().st_size < grown / 10
