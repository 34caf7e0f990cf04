"""Serving certificates of webhook, operator and aggregator, from a CA of their own. Pure.

The interception root never signs for a server of ours, nor this CA for a provider. It renews
itself by the clock: a successor is published well before the end, signs once every ``caBundle``
has it, and the old one goes when the last leaf that it signed is over.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from remora.errors import Unavailable
from remora_operator.ca.authority import Authority
from remora_operator.ca.certificates import (
    CLOCK_SKEW,
    Draft,
    RandomBytes,
    builder,
    issued_by,
    key_usage,
    signed,
    subject,
)
from remora_operator.ca.renewal import is_two_thirds_over
from remora_operator.ca.rotation import BUNDLE_DELAY, Phase, Rotation

SERVING_LIFE = timedelta(days=30)

_SUCCESSOR_BEFORE = 3 * SERVING_LIFE
"""Before a serving CA's end, when its successor is published."""

_COMMON_NAME_MAX = 64


@dataclass(frozen=True)
class ServingCertificate:
    """What a server of ours serves TLS with.

    Attributes:
        certificate: The leaf.
        key: Its private key.
        links: Sent after it.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    links: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        """The leaf and what is sent after it."""
        chain = (self.certificate, *self.links)
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8 without a passphrase."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Step(StrEnum):
    """What the leader does next for the serving CA."""

    NOTHING = "nothing"
    BEGIN = "begin"
    SWITCH = "switch"
    RETIRE = "retire"


def sign_serving(
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    rotation: Rotation,
    now: datetime,
    random_bytes: RandomBytes,
) -> ServingCertificate:
    """Make a serving certificate.

    Args:
        key: The server's own.
        names: Host names and addresses under which it is reached, the usual one first.
        rotation: Of the serving CA.
        now: UTC.
        random_bytes: For the serial number.

    Raises:
        Unavailable: The CA has expired, or is not valid for a long time yet.
    """
    signer = rotation.signer
    end = min(now + SERVING_LIFE, signer.end)
    if end <= now:
        raise Unavailable(f"the serving CA expired at {signer.end:%Y-%m-%d %H:%M} UTC")
    start = max(now - CLOCK_SKEW, signer.certificate.not_valid_before_utc)
    if end <= start:
        raise Unavailable(f"the serving CA is valid only from {start:%Y-%m-%d %H:%M} UTC")
    draft = Draft(subject(names[0][:_COMMON_NAME_MAX]), key.public_key(), start, end)
    made = issued_by(builder(draft, signer.certificate.subject, random_bytes), signer.certificate)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(key_usage(signs_certificates=False), critical=True)
    made = made.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
    made = made.add_extension(alternatives, critical=False)
    return ServingCertificate(signed(made, signer.key), key, rotation.links)


def needs_serving(
    served: x509.Certificate | None, names: Sequence[str], rotation: Rotation, now: datetime
) -> bool:
    """Tell whether a server needs a new certificate.

    It does where it has none, at two thirds of the life, for a name that is not in it, and where
    its issuer is no root that anybody is told to trust any more; also where it is not valid yet,
    since whoever made it had a clock far ahead.
    """
    if served is None or _is_out_of_time(served, rotation.signer, now):
        return True
    try:
        held = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return True
    issuers = {root.subject for root in rotation.roots} | {rotation.signer.certificate.subject}
    return served.issuer not in issuers or not set(map(_general, names)) <= set(held)


def _is_out_of_time(served: x509.Certificate, signer: Authority, now: datetime) -> bool:
    """Tell whether a new certificate is due, and would be of use: the CA itself may end soon."""
    if now < served.not_valid_before_utc:
        return now >= signer.certificate.not_valid_before_utc
    lasts_longer = min(now + SERVING_LIFE, signer.end) > served.not_valid_after_utc
    return is_two_thirds_over(served, now) and lasts_longer


def ca_bundle(rotation: Rotation) -> bytes:
    """Return the roots that callers of our servers trust, PEM: old and new while there are two."""
    return b"".join(root.public_bytes(Encoding.PEM) for root in rotation.roots)


def due_step(rotation: Rotation, now: datetime) -> Step:
    """Say what is to be done now for the serving CA."""
    match rotation.phase:
        case Phase.STEADY:
            is_due = now >= rotation.old.end - _SUCCESSOR_BEFORE
            return Step.BEGIN if is_due else Step.NOTHING
        case Phase.PUBLISHED:
            return Step.SWITCH if now >= rotation.since + BUNDLE_DELAY else Step.NOTHING
        case Phase.SWITCHED:
            return Step.RETIRE if now >= rotation.since + SERVING_LIFE else Step.NOTHING


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
