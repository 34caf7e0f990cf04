"""Files that are there whole or not at all, whatever kills the process that writes them."""

import contextlib
import os
import tempfile
from pathlib import Path

_PREFIX, _SUFFIX = ".new-", ".tmp"


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file by one synced rename; its mode is exact, whatever the umask.

    Raises:
        OSError: Nothing has changed then.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed `write_atomically` left; call it only where nobody else writes."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
