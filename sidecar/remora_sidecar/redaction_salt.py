"""The salt of redaction's digests: one of an installation, so that equal values stay equal."""

from pathlib import Path

from remora_sidecar.installation_secret import installation_secret

SALT_FILE = "redaction-salt"


def local_salt(data_dir: Path) -> bytes:
    """Read or make the salt; one that was damaged is made anew, and digests begin anew with it.

    Raises:
        OSError: It can't be read or made.
    """
    return installation_secret(data_dir / SALT_FILE)
