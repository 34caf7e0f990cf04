"""Random secrets of one installation, each in a file of its data directory."""

import re
import secrets
from pathlib import Path

from remora_sidecar.atomic_file import write_atomically

_BYTES = 32
_FORM = re.compile(r"[0-9a-f]{64}")


def installation_secret(path: Path) -> bytes:
    """Read or make a secret of 32 bytes; one that was damaged is made anew.

    Raises:
        OSError: It can't be read or made.
    """
    try:
        text = path.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        text = ""
    if _FORM.fullmatch(text) is None:
        text = secrets.token_hex(_BYTES)
        write_atomically(path, f"{text}\n".encode(), mode=0o600)
    return bytes.fromhex(text)
