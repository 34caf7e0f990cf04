"""A sidecar's intermediates: short-lived CAs for the hosts of its policy alone. Pure.

The constraints stand here and not on the root, because Java does not look at those of a trust
anchor. What a stolen key can do is in docs/certificates.md.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from remora.errors import Unavailable
from remora_operator.ca.authority import Authority
from remora_operator.ca.certificates import (
    CLOCK_SKEW,
    Draft,
    RandomBytes,
    as_ca,
    builder,
    issued_by,
    key_name,
    signed,
    subject,
)
from remora_operator.ca.permitted_hosts import constraint_groups

INTERMEDIATE_LIFE = timedelta(hours=24)

_EVERY_ADDRESS = ("0.0.0.0/0", "::/0")
_UNIT_CHARS = 64


@dataclass(frozen=True, slots=True)
class Intermediate:
    """A CA certificate for some hosts.

    Attributes:
        certificate: Signed by the operator's CA.
        constraints: Names for which it is good, with all below each.
    """

    certificate: x509.Certificate
    constraints: tuple[str, ...]


def sign_intermediates(
    key: ec.EllipticCurvePublicKey,
    hosts: Iterable[str],
    authority: Authority,
    now: datetime,
    random_bytes: RandomBytes,
    *,
    holder: str = "",
) -> tuple[Intermediate, ...]:
    """Sign a key for hosts: as many certificates as keep each small, none where there is no host.

    Args:
        key: The sidecar's, of `request.requested_key`.
        hosts: Exact names and ``*.`` names of its policy's providers.
        authority: Signs.
        now: UTC.
        random_bytes: For serial numbers.
        holder: Whose the key is, such as the pod's namespace; for people who read certificates.

    Raises:
        ConfigError: A host can't be expressed.
        Unavailable: The CA's own certificate has expired.
    """
    groups = constraint_groups(hosts)
    end = min(now + INTERMEDIATE_LIFE, authority.end)
    if end <= now:
        raise Unavailable(f"the operator's CA expired at {authority.end:%Y-%m-%d %H:%M} UTC")
    start = max(now - CLOCK_SKEW, authority.certificate.not_valid_before_utc)
    # Each has a name of its own, so that a client which remembers CAs can't take one for another.
    names = [f"Remora sidecar {key_name(key)} {number}" for number in range(1, len(groups) + 1)]
    drafts = [Draft(subject(n, unit=holder[:_UNIT_CHARS]), key, start, end) for n in names]
    return tuple(
        Intermediate(_signed(draft, group, authority, random_bytes), group)
        for draft, group in zip(drafts, groups, strict=True)
    )


def _signed(
    draft: Draft, group: tuple[str, ...], authority: Authority, random_bytes: RandomBytes
) -> x509.Certificate:
    issuer = authority.certificate
    made = issued_by(as_ca(builder(draft, issuer.subject, random_bytes), 0), issuer)
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    constraints = x509.NameConstraints(
        [x509.DNSName(name) for name in group],
        [x509.IPAddress(ipaddress.ip_network(network)) for network in _EVERY_ADDRESS],
    )
    made = made.add_extension(constraints, critical=True).add_extension(uses, critical=False)
    return signed(made, authority.key)
