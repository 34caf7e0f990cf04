"""Sessions in files, for programs of several processes: one folder, each session a file.

The files hold derived facts, never what anybody wrote, and their names are hashes, so that an id
is no path. They are their owner's alone, and are written whole or not at all.
"""

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remora.feedback.conversation import Conversation, from_rest
from remora.feedback.sessions import Change

logger = logging.getLogger(__name__)

_SUFFIX = ".session"


class SessionFiles:
    """Sessions that several processes share."""

    def __init__(self, folder: Path) -> None:
        """Name the folder, which is made if it is missing."""
        self._folder = folder

    def change(self, session_id: str, change: Change) -> None:
        """Change a session, a new one if there is none.

        Raises:
            OSError: The folder can't be used.
        """
        path = self._path(session_id)
        with self._locked(path.stem):
            known = _read(path, session_id) or Conversation(session_id)
            if (changed := change(known)) is None:
                path.unlink(missing_ok=True)
            else:
                _write(path, changed.at_rest())

    def take_expired(self, now_s: float) -> list[Conversation]:
        """Remove the sessions that have expired, and give them, without their ids.

        Raises:
            OSError: The folder can't be used.
        """
        expired = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with self._locked(path.stem):
                known = _read(path, "")
                if known is None or known.has_expired(now_s):
                    path.unlink(missing_ok=True)
                    expired += [known] if known is not None else []
        return expired

    def begin_anew_after_fork(self) -> None:
        """Go on: nothing is held between calls."""

    def _path(self, session_id: str) -> Path:
        said = b"remora session\0" + session_id.encode("utf-8", "surrogatepass")
        return self._folder / f"{hashlib.sha256(said).hexdigest()}{_SUFFIX}"

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keep other processes from a session; one file is locked for many, and never removed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(self._folder / f"{name[:2]}.lock", flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _read(path: Path, session_id: str) -> Conversation | None:
    try:
        return from_rest(session_id, path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("the session file %s can't be read, and is begun anew: %s", path, error)
        return None


def _write(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
