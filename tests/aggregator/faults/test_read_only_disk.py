"""A disk that turns read-only under a running aggregator, and comes back.

The disk is a file with ext4 on it, mounted where only the aggregator sees it: in a mount namespace
of its own, which ends with the process that holds it.
"""

import asyncio
import contextlib
import os
import subprocess
import urllib.error
from contextlib import contextmanager

import pytest
from tests.aggregator.faults.replica import replica
from tests.aggregator.faults.test_disk import is_ready, reported_to, said_unready

from remora.errors import Unavailable

_DISK_BYTES = 64 * 1024 * 1024
_SOON_S = 30
_STORE = ("records.db", "records.db-wal")
"""Not the index of the WAL: it is mapped, and whoever writes to it then is ended (SIGBUS)."""


class Disk:
    """A file system in a mount namespace.

    Attributes:
        inside: What runs a command where the disk is seen.
    """

    def __init__(self, image, mountpoint, holder):  # noqa: D107
        self.inside = ("nsenter", f"--target={holder}", "--mount", "--")
        self.data_dir = mountpoint / "data"
        self._image, self._mountpoint = image, mountpoint

    def run(self, *command):
        """Run a command where the disk is seen; raises CalledProcessError with what it said."""
        return subprocess.run(
            [*self.inside, *map(str, command)], check=True, capture_output=True, timeout=60
        )

    def mount(self):
        self.run("mount", "-t", "ext4", "-o", "loop", self._image, self._mountpoint)

    def remount(self, options):
        self.run("mount", "-o", f"remount,{options}", self._mountpoint)

    def unmount(self):
        self.run("umount", self._mountpoint)


@contextmanager
def _namespace():
    """Give the process that holds a mount namespace open."""
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", "echo made; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            if holder.stdout.readline() != b"made\n":
                pytest.skip("no mount namespace may be made here")
            yield holder.pid
        finally:
            holder.stdin.close()  # `cat` ends, and with it the namespace and what is mounted there


@pytest.fixture
def disk(tmp_path):
    """A small disk with ext4, mounted; skips, with the reason, where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    image, mountpoint = tmp_path / "disk.ext4", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    mountpoint.mkdir()
    with _namespace() as holder:
        made = Disk(image, mountpoint, holder)
        try:
            made.run("mkfs.ext4", "-q", "-F", image)
            made.mount()
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no disk can be made here: {error}")
        yield made


async def waiting(fleet, count):
    """Wait until so many records wait in the sidecar's spool."""
    async with asyncio.timeout(_SOON_S):
        while fleet.sidecars[0].spool.depth < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_files_that_may_not_be_changed_for_a_while_lose_nothing_and_need_no_restart(
    disk, tmp_path, chance
):
    files = [disk.data_dir / name for name in _STORE]
    async with replica(tmp_path / "aggregator", data_dir=disk.data_dir) as server:
        await asyncio.to_thread(server.start, *disk.inside)
        async with reported_to(server, tmp_path, chance) as fleet:
            await fleet.more(50)
            try:
                # Of ext4: whoever has them open can write them no more, either.
                disk.run("chattr", "+i", *files)
                await said_unready(server, text="the store can't be written")
                before = fleet.acknowledged
                await waiting(fleet, 100)
                assert fleet.acknowledged == before
            finally:
                disk.run("chattr", "-i", *files)
            await is_ready(server)
            await fleet.more(100)
    assert server.kills == 0


async def test_a_disk_that_turned_read_only_is_said_and_what_waited_comes_after_it_is_mounted_anew(
    disk, tmp_path, chance
):
    async with replica(tmp_path / "aggregator", data_dir=disk.data_dir) as server:
        await asyncio.to_thread(server.start, *disk.inside)
        async with reported_to(server, tmp_path, chance) as fleet:
            await fleet.more(50)
            with pytest.raises(subprocess.CalledProcessError):
                disk.remount("ro")  # nobody may, while the store has it open
            disk.remount("abort")  # so it goes where the disk itself fails
            # Of the WAL's index a page may be written that can't be: then the process is gone.
            with contextlib.suppress(ConnectionError, urllib.error.URLError):
                await said_unready(server, text="the store can't be")
            before = fleet.acknowledged
            await waiting(fleet, 100)
            assert fleet.acknowledged == before
            await asyncio.to_thread(server.kill)
            with pytest.raises(Unavailable, match="Read-only file system"):
                await asyncio.to_thread(server.start, *disk.inside)
            disk.unmount()
            disk.mount()
            await asyncio.to_thread(server.start, *disk.inside)
            await is_ready(server)
            await fleet.more(100)
