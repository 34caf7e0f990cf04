"""A real PostgreSQL server for tests, on a Unix socket, in a folder of its own.

It is what Debian's `postgresql` installs, or what is on the PATH. It never runs as root: there it
runs as `postgres` or `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from remora.errors import Unavailable

USER: Final = "remora"
"""The superuser, whom nobody asks for a password: the socket lies in a folder of the server's."""
GUARDED_USER: Final = "guarded"
"""Whoever connects under this name has to give a password; tests create the role."""

_DEBIAN = Path("/usr/lib/postgresql")
_UNPRIVILEGED = ("postgres", "nobody")
_INIT_WAIT_S = 60.0
_START_WAIT_S = 60.0
_STOP_WAIT_S = 30.0
_LOOK_S = 0.01
_STATUS_LINE = 7
_HBA = f"local all {GUARDED_USER} scram-sha-256\nlocal all all trust\n"
_BUSY = "still in use"


def _programs() -> Path | None:
    """Find the folder of the newest server."""
    found = [path.parent for path in _DEBIAN.glob("*/bin/initdb") if path.parts[-3].isdecimal()]
    if found:
        return max(found, key=lambda folder: int(folder.parts[-2]))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _user() -> pwd.struct_passwd | None:
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((users[name] for name in _UNPRIVILEGED if name in users), None)


def why_not() -> str:
    """Say why there is no server; empty where there is one."""
    if _programs() is None:
        return "PostgreSQL is not installed"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return ""


class PostgresServer:
    """A server that can be started, stopped and killed, any number of times.

    Attributes:
        folder: Where its socket lies; what connects gives it as the host.
    """

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        """Make a cluster, which does not run yet.

        Args:
            folder: Its own; short, since a socket's name may have about 100 characters.
            fsync: Off, a commit outlives a killed server, but no power cut, and is quicker.

        Raises:
            Unavailable: There is no server, or it refused to make a cluster.
        """
        programs = _programs()
        if programs is None:
            raise Unavailable(why_not())
        self.folder = folder
        self._programs = programs
        self._fsync = fsync
        self._data = folder / "data"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0 and (user := _user()) is not None:
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._make_cluster()

    def _make_cluster(self) -> None:
        made = subprocess.run(  # noqa: S603 - our own words
            [
                self._programs / "initdb", f"--pgdata={self._data}", f"--username={USER}",
                "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd=self.folder, env={"LC_ALL": "C"}, timeout=_INIT_WAIT_S, check=False,
            **self._as_user,
        )  # fmt: skip
        if made.returncode:
            raise Unavailable(f"initdb: {made.stderr.decode(errors='replace').strip()}")
        (self._data / "pg_hba.conf").write_text(_HBA)

    def dsn(self, database: str = "postgres", *, user: str = USER) -> str:
        """Say how to connect."""
        return f"host={self.folder} dbname={database} user={user}"

    def start(self) -> None:
        """Start it and wait until it takes connections.

        Raises:
            Unavailable: It did not start, with what it said.
        """
        deadline_s = time.monotonic() + _START_WAIT_S
        while not self._started(deadline_s):
            # What was killed may hold its shared memory for another moment.
            if time.monotonic() > deadline_s or _BUSY not in self._said():
                raise Unavailable(f"PostgreSQL did not start:\n{self._said()}")
            time.sleep(_LOOK_S)

    def _started(self, deadline_s: float) -> bool:
        with self._log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own words
                [
                    self._programs / "postgres", "-D", self._data, "-k", self.folder,
                    "-c", "listen_addresses=", "-c", f"fsync={'on' if self._fsync else 'off'}",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env={"LC_ALL": "C"}, start_new_session=True, **self._as_user,
            )  # fmt: skip
        while process.poll() is None:
            if self._is_ready(process.pid):
                self._process = process
                return True
            if time.monotonic() > deadline_s:
                process.kill()
            time.sleep(_LOOK_S)
        return False

    def _is_ready(self, pid: int) -> bool:
        """Read what pg_ctl reads too: the server's own word for how far it is."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        is_its_own = bool(lines) and lines[0] == str(pid)
        return is_its_own and len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    def _said(self) -> str:
        return self._log.read_text(errors="replace").strip()

    def stop(self) -> None:
        """End its sessions and have it shut down."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Kill it with all its processes (SIGKILL): nothing that is under way ends well."""
        if self._process is None:
            return
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        # Held still, it can't start others meanwhile, nor look after those that are killed.
        self._process.send_signal(signal.SIGSTOP)
        for child in children.read_text().split() if children.exists() else ():
            os.kill(int(child), signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._process = None


@contextmanager
def postgres_server(*, fsync: bool = True) -> Iterator[PostgresServer]:
    """Run a server in a temporary folder, and finally stop it.

    Raises:
        Unavailable: There is none, or it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="remora-pg-") as folder:
        server = PostgresServer(Path(folder), fsync=fsync)
        server.start()
        try:
            yield server
        finally:
            server.stop()
