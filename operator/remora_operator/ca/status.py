"""What is shown of a CA: to people by `remora ca status`, to programs in conditions. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from remora_operator.ca.brought import remarks
from remora_operator.ca.certificates import fingerprint
from remora_operator.ca.rotation import Phase, Rotation, agents_on_old_root

_WARN_BEFORE_END = timedelta(days=90)

_NEXT = {
    Phase.STEADY: "",
    Phase.PUBLISHED: "both roots are published, the old one signs: switch comes next",
    Phase.SWITCHED: "the new root signs, the old one is still trusted: retire comes next",
}


@dataclass(frozen=True, slots=True)
class RootStatus:
    """One root that agents trust.

    Attributes:
        subject: Its name.
        fingerprint: SHA-256, 64 hex digits.
        not_after: When it ends, UTC.
        signs: Whether certificates are signed below it now.
    """

    subject: str
    fingerprint: str
    not_after: datetime
    signs: bool


@dataclass(frozen=True, slots=True)
class AuthorityStatus:
    """A CA at one moment.

    Attributes:
        phase: Of its rotation.
        since: When the phase began, UTC.
        roots: In the trust bundle, the one that signs first.
        not_after: When what the signer signs ends at the latest, UTC.
        agents_on_old_root: Pods that need the old root, while there are two.
        notes: What a person should know or do.
    """

    phase: Phase
    since: datetime
    roots: tuple[RootStatus, ...]
    not_after: datetime
    agents_on_old_root: int
    notes: tuple[str, ...]


def authority_status(
    rotation: Rotation, now: datetime, agents_started: Iterable[datetime] = ()
) -> AuthorityStatus:
    """Describe a CA.

    Args:
        rotation: Where its rotation stands.
        now: UTC.
        agents_started: When each injected pod that still runs was started.
    """
    signer = rotation.signer
    notes = (end_note(rotation, now), _NEXT[rotation.phase], *remarks(signer, rotation.kind))
    return AuthorityStatus(
        phase=rotation.phase,
        since=rotation.since,
        roots=tuple(_root(root, signs=root == signer.root) for root in rotation.roots),
        not_after=signer.end,
        agents_on_old_root=agents_on_old_root(rotation, agents_started),
        notes=tuple(filter(None, notes)),
    )


def _root(root: x509.Certificate, *, signs: bool) -> RootStatus:
    return RootStatus(
        root.subject.rfc4514_string(), fingerprint(root), root.not_valid_after_utc, signs
    )


def end_note(rotation: Rotation, now: datetime) -> str:
    """Say that a CA has ended, or does so soon; empty where it is good for long."""
    end = rotation.signer.end
    if now >= end:
        who = "sidecar" if rotation.kind.below else "server of ours"
        return (
            f"expired at {end:%Y-%m-%d %H:%M} UTC: no {who} gets a certificate any more; "
            "`remora ca replace` makes another, and what is injected has to be restarted"
        )
    if end - now < _WARN_BEFORE_END:
        return f"ends at {end:%Y-%m-%d %H:%M} UTC: rotate it before"
    return ""
