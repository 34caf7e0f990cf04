"""The secret that seals sign-in cookies: a file that replicas share, or the aggregator's own."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from remora.errors import ConfigError, Problem

KEY_FILE: Final = "sign-in.key"
VARIABLE: Final = "REMORA_AGGREGATOR_SIGN_IN_KEY_FILE"

_LEAST_BYTES: Final = 32


def sign_in_key(given: Path | None, data_dir: Path) -> bytes:
    """Read the secret; without a file of one's own it is made in the data directory.

    Raises:
        ConfigError: It can't be read, or is too short.
    """
    if given is not None:
        return _read(given)
    path = data_dir / KEY_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    except OSError as error:
        raise ConfigError([Problem(VARIABLE, f"{path} can't be made: {error.strerror}")]) from None
    return _read(path)


def _make(path: Path) -> None:
    """Make a secret durably, unless there is one; a part of one, as a crash leaves it, is none."""
    with suppress(FileNotFoundError):
        if path.stat().st_size >= _LEAST_BYTES:
            return
        path.unlink()
    descriptor, made = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_LEAST_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another that shares the folder was quicker
            os.link(made, path)
    finally:
        os.unlink(made)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(VARIABLE, f"{path} can't be read: {error.strerror}")]) from None
    if len(secret) < _LEAST_BYTES:
        what = f"{path} holds {len(secret)} bytes; {_LEAST_BYTES} random ones are needed at least"
        raise ConfigError([Problem(VARIABLE, what)])
    return secret
