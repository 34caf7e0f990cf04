"""The folder that one sidecar owns alone: its lock, its identity, its admin token.

The composition root opens it before anything else; the CA, the spool and the cache put
their own files into it. The kernel releases the lock however the process ends, and every
file is written whole, so a killed sidecar leaves nothing to clean up.
"""

import fcntl
import os
import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from remora.errors import ConfigError, Problem
from remora_sidecar.atomic_file import remove_leftovers, write_atomically

LOCK_FILE = "lock"
INSTALLATION_ID_FILE = "installation-id"
ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 - a file's name

_INSTALLATION_ID = re.compile(r"[0-9a-f]{32}")
_TOKEN = re.compile(r"[\x21-\x7e]{16,512}")


@dataclass(frozen=True)
class DataDirectory:
    """A data directory that this process holds the lock of.

    Attributes:
        path: The folder, mode 0700.
        installation_id: 32 hex digits, made at the first start; outside Kubernetes it
            stands for the pod's uid in records.
        admin_token_file: The token of admin calls, mode 0600.
        admin_token: What that file holds.
    """

    path: Path
    installation_id: str
    admin_token_file: Path
    admin_token: str = field(repr=False)
    _lock: BinaryIO = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make the folder if need be, lock it, and read or make what belongs in it.

        Raises:
            ConfigError: If another sidecar holds it, or it can't be used.
        """
        try:
            _make_private(path)
            lock = _take_lock(path / LOCK_FILE)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            return cls._read(path, lock)
        except BaseException as error:
            lock.close()
            if isinstance(error, OSError):
                raise _unusable(path, error) from error
            raise

    @classmethod
    def _read(cls, path: Path, lock: BinaryIO) -> Self:
        remove_leftovers(path)
        identity = _read_or_make(path / INSTALLATION_ID_FILE, lambda: uuid.uuid4().hex)
        if _INSTALLATION_ID.fullmatch(identity) is None:
            raise _damaged(
                path / INSTALLATION_ID_FILE,
                "it should hold 32 hex digits; delete it to get a new identity",
            )
        token_file = path / ADMIN_TOKEN_FILE
        _read_or_make(token_file, lambda: secrets.token_urlsafe(32))
        return cls(path, identity, token_file, read_token(token_file), lock)

    def close(self) -> None:
        """Let another sidecar have the folder; a second call does nothing."""
        self._lock.close()

    def __enter__(self) -> Self:
        """Do nothing; `open` took the lock."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        self.close()


def read_token(path: Path) -> str:
    """Read a file that holds one token.

    Raises:
        ConfigError: If it can't be read or holds no token of at least 16 visible characters.
    """
    try:
        token = path.read_text("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    except OSError as error:
        raise _unusable(path, error) from error
    if _TOKEN.fullmatch(token) is None:
        raise _damaged(path, "it should hold one token of 16 to 512 visible ASCII characters")
    return token


def _make_private(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o777 != 0o700:
        path.chmod(0o700)


def _take_lock(path: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = open(os.open(path, flags, 0o600), "r+b", buffering=0)  # noqa: SIM115 - held until close()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
    except BlockingIOError:
        holder = lock.read(32).decode("ascii", "replace").strip()
        lock.close()
        raise _held(path, holder) from None
    except BaseException:
        lock.close()
        raise
    return lock


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    try:
        text = path.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        text = make()
        write_atomically(path, f"{text}\n".encode(), mode=0o600)
        return text
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return text


def _held(lock: Path, holder: str) -> ConfigError:
    who = f"process {holder}" if holder.isdigit() else "another process"
    what = (
        f"in use by another sidecar ({who} holds the lock {lock}): "
        "stop it, or give this one a folder of its own with REMORA_DATA_DIR"
    )
    return ConfigError([Problem(str(lock.parent), what)])


def _damaged(path: Path, what: str) -> ConfigError:
    return ConfigError([Problem(str(path), what)])


def _unusable(path: Path, error: OSError) -> ConfigError:
    where = str(error.filename or path)
    return ConfigError(
        [Problem(where, f"can't be used as the sidecar's data: {error.strerror or error}")]
    )
