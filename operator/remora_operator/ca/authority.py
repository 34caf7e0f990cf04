"""A CA that the operator signs with: its key, and what links it to a root that agents trust. Pure.

There are two kinds: the interception root, under which sidecars' intermediates stand, and the
serving CA of webhook, operator and aggregator. Neither ever signs for the other.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from remora_operator.ca.certificates import (
    CLOCK_SKEW,
    Draft,
    RandomBytes,
    SigningKey,
    as_ca,
    builder,
    issued_by,
    key_name,
    path_length,
    signed,
    subject,
)

ROOT_LIFE = timedelta(days=5 * 365)
"""Replacing a root asks for no restart, so there is no reason to make it last for ever."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a CA of ours is for.

    Attributes:
        name: In its certificate, for people; the key's first digits are added.
        below: How many CAs stand between it and a server's certificate.
    """

    name: str
    below: int


INTERCEPTION = Kind("Remora root CA", below=1)
SERVING = Kind("Remora serving CA", below=0)


@dataclass(frozen=True)
class Authority:
    """A CA certificate with its key.

    Attributes:
        certificate: Signs.
        key: Its private key.
        links: What leads from the certificate to the root, for servers to send after it: empty
            where the certificate is the root itself.
        root: What agents trust; the certificate itself where the CA is a root.
    """

    certificate: x509.Certificate
    key: SigningKey = field(repr=False)
    links: tuple[x509.Certificate, ...]
    root: x509.Certificate

    @property
    def sent(self) -> tuple[x509.Certificate, ...]:
        """What a server sends between what this CA signed and the root."""
        return () if self.certificate == self.root else (self.certificate, *self.links)

    @property
    def end(self) -> datetime:
        """From when nothing that this CA signed is valid any more, UTC."""
        chain = (self.certificate, *self.links, self.root)
        return min(certificate.not_valid_after_utc for certificate in chain)

    @property
    def headroom(self) -> float:
        """How many CAs may stand below this one, by all path lengths of its chain."""
        chain = (self.certificate, *self.links, self.root)
        known = [
            certificate for at, certificate in enumerate(chain) if certificate not in chain[:at]
        ]
        lengths = [(path_length(certificate), at) for at, certificate in enumerate(known)]
        return min(math.inf if length is None else length - at for length, at in lengths)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate and its links."""
        chain = (self.certificate, *self.links)
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8 without a passphrase: for a Secret and nowhere else."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_root(
    key: ec.EllipticCurvePrivateKey, now: datetime, random_bytes: RandomBytes, kind: Kind
) -> Authority:
    """Make a self-signed root.

    Args:
        key: Its own, of `new_key`.
        now: UTC.
        random_bytes: For the serial number.
        kind: What it is for; it can also vouch for one successor.
    """
    public = key.public_key()
    who = subject(f"{kind.name} {key_name(public)}")
    draft = Draft(who, public, now - CLOCK_SKEW, now + ROOT_LIFE)
    certificate = signed(as_ca(builder(draft, who, random_bytes), kind.below + 1), key)
    return Authority(certificate, key, (), certificate)


def cross_sign(
    old: Authority, new: Authority, now: datetime, random_bytes: RandomBytes, kind: Kind
) -> x509.Certificate:
    """Have the old CA vouch for the new one: who knows the old root alone then trusts both.

    The cross-certificate has the new CA's name and key, so that whatever the new one signs stands
    below its own certificate and below this one alike (RFC 4210 §4.4 calls it "new with old").

    Raises:
        ValueError: The old CA has expired, or may not stand above so many others; the message says
            what follows.
    """
    if old.end <= now:
        raise ValueError(
            f"it expired at {old.end:%Y-%m-%d %H:%M} UTC, and nobody trusts it any more"
        )
    if old.headroom < kind.below + 1:
        raise ValueError(
            f"its path length allows {max(old.headroom, 0)} CAs below it, {kind.below + 1} are "
            "needed to vouch for a successor: whoever trusts the old root has to be restarted "
            "with the new one"
        )
    end = min(old.end, new.end)
    draft = Draft(new.certificate.subject, new.key.public_key(), now - CLOCK_SKEW, end)
    made = issued_by(builder(draft, old.certificate.subject, random_bytes), old.certificate)
    return signed(as_ca(made, kind.below), old.key)
