"""Files that hold keys, as Secrets are mounted: read whole, bounded, never from elsewhere."""

import os
import stat
from pathlib import Path

MAX_SECRET_BYTES = 64 * 1024

type FileStamp = tuple[int, ...]


def file_stamp(path: Path) -> FileStamp | None:
    """Tell a file from what it was before; None where there is none."""
    try:
        seen = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return (error.errno or 0,)  # reading it says what is wrong
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def read_secret_file(path: Path, folder: Path) -> str:
    """Read a file in a folder, through symlinks that stay in it.

    Raises:
        ValueError: It can't be read or holds no text; the message goes on from the file's name.
    """
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve(strict=True)):
            raise ValueError(f"leads out of {folder}: put the key itself there")
        return _text(_content(real))
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror or error}") from None


def _content(real: Path) -> bytes:
    # Not to wait for whoever writes to a pipe that stands there.
    descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is no file")
        return file.read(MAX_SECRET_BYTES + 1)


def _text(content: bytes) -> str:
    if len(content) > MAX_SECRET_BYTES:
        raise ValueError(f"is larger than {MAX_SECRET_BYTES} bytes: no key is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is no text") from None
