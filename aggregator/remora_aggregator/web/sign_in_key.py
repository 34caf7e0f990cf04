"""The secret that seals sign-in cookies: a file that replicas share, or the aggregator's own."""

import os
import secrets
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
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise ConfigError([Problem(VARIABLE, f"{path} can't be made: {error.strerror}")]) from None
    secret = secrets.token_bytes(_LEAST_BYTES)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    return secret


def _read(path: Path) -> bytes:
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(VARIABLE, f"{path} can't be read: {error.strerror}")]) from None
    if len(secret) < _LEAST_BYTES:
        what = f"{path} holds {len(secret)} bytes; {_LEAST_BYTES} random ones are needed at least"
        raise ConfigError([Problem(VARIABLE, what)])
    return secret
