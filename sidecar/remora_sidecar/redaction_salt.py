"""The salt of redaction's digests: one of an installation, so that equal values stay equal."""

import re
import secrets
from pathlib import Path

from remora_sidecar.atomic_file import write_atomically

SALT_FILE = "redaction-salt"
_BYTES = 32
_FORM = re.compile(r"[0-9a-f]{64}")


def local_salt(data_dir: Path) -> bytes:
    """Read or make the salt; one that was damaged is made anew, and digests begin anew with it.

    Raises:
        OSError: It can't be read or made.
    """
    path = data_dir / SALT_FILE
    try:
        text = path.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        text = ""
    if _FORM.fullmatch(text) is None:
        text = secrets.token_hex(_BYTES)
        write_atomically(path, f"{text}\n".encode(), mode=0o600)
    return bytes.fromhex(text)
