"""The trust files of a sidecar, for children of this process to read.

A local sidecar's own are used where they lie. Those of one elsewhere are fetched into a folder of
the user's, named after what is in it, so that it is fetched once.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from remora.local_sidecar.control import ControlClient
from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE

FILES = (CA_FILE, BUNDLE_FILE, TRUSTSTORE_FILE)


def trust_folder(control: ControlClient, told: Path, ca_pem: str) -> Path:
    """Give a folder with the trust files of a sidecar.

    Args:
        control: The sidecar.
        told: Where they lie, as the sidecar says; perhaps on another machine.
        ca_pem: Its CA.

    Raises:
        Unavailable: They can't be fetched.
        OSError: They can't be kept.
    """
    if _holds(told, ca_pem):
        return told
    name = hashlib.sha256(ca_pem.encode()).hexdigest()[:32]
    folder = _made(name)
    if not _holds(folder, ca_pem):
        for file in reversed(FILES):  # the CA last: with it the folder is whole
            _write(folder / file, control.read(f"/v1/trust/{file}"))
    return folder


def _made(name: str) -> Path:
    """Make a folder of the user's own; where none can be, one that ends with the process."""
    try:
        folder = Path.home() / ".cache" / "remora" / "trust" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or none that can be written to
        folder = own_directory() / name
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@cache
def own_directory() -> Path:
    """Make a folder for this process alone, once; it is removed as the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="remora-tracker-"))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, maker_pid: int) -> None:
    """Remove the folder; a fork that ends before its maker leaves it."""
    if os.getpid() == maker_pid:
        shutil.rmtree(folder, ignore_errors=True)


def _holds(folder: Path, ca_pem: str) -> bool:
    try:
        is_same = (folder / CA_FILE).read_text() == ca_pem
    except (OSError, UnicodeDecodeError):
        return False
    return is_same and all((folder / file).is_file() for file in FILES)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: other processes may fetch it at the same time."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
