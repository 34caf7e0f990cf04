"""A disk that is full, a file that may not be written, pages that are damaged.

Each is detected and said; records wait in a sidecar's own spool, and arrive once it is mended.
"""

import asyncio
import os
import resource
import sqlite3
import subprocess
from contextlib import asynccontextmanager, closing, contextmanager

import pytest
from tests.aggregator.faults.load import Fleet
from tests.aggregator.faults.replica import replica
from tests.aggregator.faults.reporting import SidecarReporter
from tests.aggregator.faults.truth import Made, Truth, check

from remora.errors import Unavailable
from remora.testing.server_process import part_command

_SOON_S = 60
_BOUND_BY_MODES = ("setpriv", "--bounding-set=-dac_override")
"""Even root then obeys the modes of files."""
_BODIES_BYTES = 8_000


@asynccontextmanager
async def reported_to(server, folder, chance):
    """Have one sidecar report to a server until the end; then everything has to be there."""
    truth = Truth()
    made = Made(truth, 1, bodies_bytes=_BODIES_BYTES)
    sidecar = SidecarReporter(made, server.address, folder / "spool.db", 0.02, chance)
    fleet = Fleet(truth, [], [sidecar])
    running = asyncio.ensure_future(sidecar.run())
    try:
        yield fleet
        fleet.stop()
        await asyncio.wait_for(running, 2 * _SOON_S)
        await check(server.address, truth)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def said_unready(server, *, text):
    """Wait until the server says that it is not ready, and why."""
    async with asyncio.timeout(_SOON_S):
        while (said := await asyncio.to_thread(server.readiness)).ready:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert text in said.problems[0]


async def said_in_log(server, text):
    """Wait until the server has said something in its log."""
    async with asyncio.timeout(_SOON_S):
        while text not in server.log.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def is_ready(server):
    async with asyncio.timeout(_SOON_S):
        while not (await asyncio.to_thread(server.readiness)).ready:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@contextmanager
def small_disk(folder, size):
    """Mount a small file system; gives what changes its size."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder.mkdir()

    def mount(options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)

    try:
        mount(f"size={size}")
    except subprocess.CalledProcessError:
        pytest.skip("nothing may be mounted here")
    try:
        yield lambda larger: mount(f"remount,size={larger}")
    finally:
        subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_said_and_records_wait_until_there_is_room(tmp_path, chance):
    with small_disk(tmp_path / "disk", "3m") as resize:
        async with replica(tmp_path / "aggregator", data_dir=tmp_path / "disk" / "data") as server:
            await asyncio.to_thread(server.start)
            async with reported_to(server, tmp_path, chance) as fleet:
                await said_in_log(server, "database or disk is full")
                before = fleet.acknowledged
                depth = fleet.sidecars[0].spool.depth
                async with asyncio.timeout(_SOON_S):
                    while fleet.sidecars[0].spool.depth < depth + 5:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert fleet.acknowledged <= before + 500  # small ones may still have had room
                resize("64m")
                await is_ready(server)
                await fleet.more(100)
    assert "can't be written" in server.log.read_text()


async def test_a_full_disk_that_also_killed_the_server_loses_nothing(tmp_path, chance):
    with small_disk(tmp_path / "disk", "3m") as resize:
        async with replica(tmp_path / "aggregator", data_dir=tmp_path / "disk" / "data") as server:
            await asyncio.to_thread(server.start)
            async with reported_to(server, tmp_path, chance) as fleet:
                await said_in_log(server, "database or disk is full")
                await asyncio.to_thread(server.kill)
                resize("64m")
                await asyncio.to_thread(server.start)
                await fleet.more(100)


async def test_a_limit_of_file_size_is_said_and_healed_without_a_restart(tmp_path, chance):
    async with replica(tmp_path / "aggregator") as server:
        await asyncio.to_thread(server.start)
        async with reported_to(server, tmp_path, chance) as fleet:
            await fleet.more(50)
            pid = server.server.pid
            _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4_096, most))
            await said_unready(server, text="the store can't be written")
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
            await is_ready(server)
            await fleet.more(100)


async def test_a_file_that_may_not_be_written_is_said_at_the_start(tmp_path, chance):
    if os.geteuid() != 0:
        pytest.skip("only root can take root's rights over files from a process")
    async with replica(tmp_path / "aggregator") as server:
        await asyncio.to_thread(server.start)
        async with reported_to(server, tmp_path, chance) as fleet:
            await fleet.more(50)
            await asyncio.to_thread(server.stop)
            store = server.data_dir / "records.db"
            store.chmod(0o444)
            with pytest.raises(Unavailable, match="readonly"):
                await asyncio.to_thread(server.start, *_BOUND_BY_MODES)
            # SQLite gave the files beside it the same modes.
            for path in server.data_dir.glob("records.db*"):
                path.chmod(0o600)
            await asyncio.to_thread(server.start, *_BOUND_BY_MODES)
            await fleet.more(50)


def _damage(store, name):
    """Write over the first page of a table or index."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        (page_bytes,) = connection.execute("pragma page_size").fetchone()
        (root,) = connection.execute(
            "select rootpage from sqlite_master where name like ? and rootpage > 0", (name,)
        ).fetchone()
    with store.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\x5a" * page_bytes)


def _told(server, *arguments):
    command = part_command("aggregator", *map(str, arguments))
    environment = server.environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["records", "idx_records_namespace_call_id_pod_uid"])
async def test_a_damaged_page_is_said_and_the_restored_copy_takes_what_waited(
    tmp_path, chance, name
):
    async with replica(tmp_path / "aggregator") as server:
        await asyncio.to_thread(server.start)
        async with reported_to(server, tmp_path, chance) as fleet:
            await fleet.more(100)
            store, copy = server.data_dir / "records.db", tmp_path / "copy.db"
            # What is told to be stored after the copy was made would be lost with the file.
            async with server.relay.parted():
                made = await asyncio.to_thread(_told, server, "backup", copy)
                assert made.returncode == 0, made.stderr
                await asyncio.to_thread(server.kill)
                _damage(store, name)
                looked = await asyncio.to_thread(_told, server, "check")
                assert looked.returncode == 1
                assert "restore it from a backup" in looked.stderr
                before = fleet.acknowledged
                await asyncio.to_thread(server.start)
            await said_in_log(server, "malformed")
            assert fleet.acknowledged == before
            await asyncio.to_thread(server.kill)
            restored = await asyncio.to_thread(_told, server, "restore", copy)
            assert restored.returncode == 0, restored.stderr
            await asyncio.to_thread(server.start)
            await fleet.more(50)
    assert store.with_name("records.db.before-restore").exists()


async def test_a_store_whose_first_page_is_damaged_is_not_opened(tmp_path):
    async with replica(tmp_path / "aggregator") as server:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.stop)
        with (server.data_dir / "records.db").open("r+b") as file:
            file.write(b"\x5a" * 4096)
        with pytest.raises(Unavailable, match=r"can't be opened.*(malformed|not a database)"):
            await asyncio.to_thread(server.start)
