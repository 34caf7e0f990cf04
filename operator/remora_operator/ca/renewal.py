"""When certificates are made anew. Pure: times and hosts in, decisions out."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509

from remora_operator.ca.permitted_hosts import added_hosts


def renew_after(end: datetime, now: datetime) -> timedelta:
    """Return how long a sidecar may wait before it asks again: half of what is left."""
    return max(timedelta(0), (end - now) / 2)


def is_half_over(certificate: x509.Certificate, now: datetime) -> bool:
    """Tell whether half of a certificate's life has passed."""
    return now >= _at(certificate, 1 / 2)


def is_two_thirds_over(certificate: x509.Certificate, now: datetime) -> bool:
    """Tell whether two thirds of a certificate's life have passed."""
    return now >= _at(certificate, 2 / 3)


def needs_new(
    certificate: x509.Certificate, held: Sequence[str], wanted: Sequence[str], now: datetime
) -> bool:
    """Tell whether a sidecar needs a new intermediate: half its life is over, or a host is new.

    A host that policy no longer names is no reason: it stays good for a day at most.

    Args:
        certificate: The one in use.
        held: Hosts it was made for.
        wanted: Hosts of the policy in force.
        now: UTC.
    """
    return is_half_over(certificate, now) or bool(added_hosts(held, wanted))


def _at(certificate: x509.Certificate, part: float) -> datetime:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start + (end - start) * part
