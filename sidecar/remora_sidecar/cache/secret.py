"""Secrets of the cache: one tells credentials apart, the other seals what leaves the pod."""

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from remora.errors import ConfigError, Problem
from remora_sidecar.installation_secret import installation_secret

SECRET_FILE = "cache-secret"  # noqa: S105 - a file's name
MIN_KEY_BYTES = 32
_BYTES = 32


@dataclass(frozen=True, slots=True)
class CacheSecrets:
    """What is derived from one secret.

    Attributes:
        fingerprints: For `CacheKeyParts.secret`. All sidecars that share answers have the same.
        values: Seals what is kept in Redis.
    """

    fingerprints: bytes = field(repr=False)
    values: bytes = field(repr=False)


def derive(secret: bytes) -> CacheSecrets:
    """Derive both from a secret of full strength."""
    return CacheSecrets(_derived(secret, b"fingerprints"), _derived(secret, b"values"))


def read_key_file(path: Path) -> CacheSecrets:
    """Read ``REMORA_CACHE_KEY_FILE``, which all sidecars of a shared cache have.

    Raises:
        ConfigError: It can't be read, or what it holds is too short to be a secret.
    """
    try:
        content = path.read_bytes().strip()
    except OSError as error:
        raise _problem(f"{path} can't be read: {error.strerror or error}") from error
    if len(content) < MIN_KEY_BYTES:
        raise _problem(
            f"{path} holds {len(content)} bytes: at least {MIN_KEY_BYTES} random ones are needed, "
            "such as `openssl rand -base64 48` writes"
        )
    return derive(content)


def local_secrets(data_dir: Path) -> CacheSecrets:
    """Read or make the secret of one installation.

    One that was damaged is made anew: what was kept under the old one is never found again.

    Raises:
        OSError: It can't be read or made.
    """
    return derive(installation_secret(data_dir / SECRET_FILE))


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _BYTES, salt=None, info=b"remora cache 1 " + purpose).derive(secret)


def _problem(what: str) -> ConfigError:
    return ConfigError([Problem("REMORA_CACHE_KEY_FILE", what)])
