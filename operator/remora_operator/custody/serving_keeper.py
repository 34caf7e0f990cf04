"""The Secrets of our servers' certificates, which the leader keeps."""

import logging
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from remora.errors import ConfigError, Problem, Unavailable
from remora_operator.ca.authority import new_key
from remora_operator.ca.brought import CERTIFICATE, KEY, ROOT, UNREADABLE
from remora_operator.ca.certificates import RandomBytes
from remora_operator.ca.rotation import Rotation
from remora_operator.ca.serving import ca_bundle, needs_serving, sign_serving
from remora_operator.custody.secret_store import Conflict, SecretStore, StoredSecret
from remora_operator.custody.settings import Server

logger = logging.getLogger(__name__)

_NOT_OURS = (
    "was not made by the operator, and is neither renewed nor overwritten: delete it, or let "
    "cert-manager keep it (REMORA_OPERATOR_WEBHOOK_CERTIFICATE=certManager)"
)


class ServingKeeper:
    """Makes serving certificates, and renews them in time.

    Attributes:
        ends: When the certificates end that were found good or made, UTC, by Secret.
    """

    def __init__(self, secrets: SecretStore, random_bytes: RandomBytes) -> None:
        """Take where Secrets are."""
        self.ends: dict[str, datetime] = {}
        self._secrets = secrets
        self._random_bytes = random_bytes

    async def keep(self, server: Server, rotation: Rotation, now: datetime) -> tuple[Problem, ...]:
        """See to it that a server's Secret holds a certificate that is good.

        Args:
            server: Which one.
            rotation: Of the serving CA.
            now: UTC.

        Raises:
            ConfigError: The CA can't sign now.
            Unavailable: The API server can't be reached, or refuses.
        """
        try:
            stored = await self._secrets.read(server.secret)
            if stored is None:
                await self._secrets.create(server.secret, self._signed(server, rotation, now))
            elif not stored.is_ours:
                return (Problem(self._secrets.where(server.secret), _NOT_OURS),)
            else:
                await self._renew(stored, server, rotation, now)
        except Conflict as conflict:
            # Another leader of a moment ago wrote it: what it wrote is looked at the next time.
            logger.info("%s: %s", self._secrets.where(server.secret), conflict)
        return ()

    async def _renew(
        self, stored: StoredSecret, server: Server, rotation: Rotation, now: datetime
    ) -> None:
        leaf = leaf_of(stored)
        if leaf is None or needs_serving(leaf, server.names, rotation, now):
            await self._secrets.save(stored, self._signed(server, rotation, now))
            return
        self.ends[server.secret] = leaf.not_valid_after_utc
        if stored.data.get(ROOT) != ca_bundle(rotation):
            await self._secrets.save(stored, {**stored.data, ROOT: ca_bundle(rotation)})

    def _signed(self, server: Server, rotation: Rotation, now: datetime) -> dict[str, bytes]:
        try:
            made = sign_serving(new_key(), server.names, rotation, now, self._random_bytes)
        except Unavailable as error:
            where = self._secrets.where(server.secret)
            raise ConfigError([Problem(where, f"can't be renewed: {error}")]) from None
        self.ends[server.secret] = end = made.certificate.not_valid_after_utc
        logger.info("%s: a new certificate, until %s", server.secret, end.isoformat())
        return {
            CERTIFICATE: made.certificate_pem,
            KEY: made.key_pem,
            ROOT: ca_bundle(rotation),
        }


def leaf_of(stored: StoredSecret) -> x509.Certificate | None:
    """Return the certificate of a Secret that has its key, too; None where it can't be served."""
    try:
        certificate = x509.load_pem_x509_certificate(stored.data.get(CERTIFICATE, b""))
        key = load_pem_private_key(stored.data.get(KEY, b""), password=None)
        _ = certificate.extensions  # which are parsed late
        belongs = certificate.public_key() == key.public_key()
    except (TypeError, *UNREADABLE):
        return None
    return certificate if belongs else None
