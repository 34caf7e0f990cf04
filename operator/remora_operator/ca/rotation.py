"""How one root gives way to the next without a restart. Pure.

::

    steady ──begin──▶ published ──switch──▶ switched ──retire──▶ steady
                          └──abandon──▶ steady (the old one)

*published*: the new root is in the trust bundle beside the old, which vouches for it by a
cross-certificate; the old one still signs. *switched*: the new one signs, and the cross-certificate
goes with every chain, so that programs which read their roots before the change accept it. Nothing
but a person's word, or the serving CA's clock, moves it on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509

from remora.errors import BadRequest
from remora_operator.ca.authority import Authority, Kind, cross_sign
from remora_operator.ca.certificates import RandomBytes

BUNDLE_DELAY = timedelta(minutes=3)
"""Until a changed ConfigMap is in every pod: the kubelet looks each minute, and caches for one."""

REFUSED = "ROTATION_REFUSED"


class Phase(StrEnum):
    """Where a rotation stands."""

    STEADY = "steady"
    PUBLISHED = "published"
    SWITCHED = "switched"


@dataclass(frozen=True)
class Rotation:
    """The CA of one kind, and its successor while there are two.

    Attributes:
        kind: What the CA is for.
        phase: Where the rotation stands.
        since: When the phase began, UTC.
        old: The CA; the one that goes while there are two.
        new: The one that comes; None where the phase is steady.
        cross: The new CA's certificate as the old one signed it.
    """

    kind: Kind
    phase: Phase
    since: datetime
    old: Authority
    new: Authority | None = None
    cross: x509.Certificate | None = None

    @property
    def signer(self) -> Authority:
        """The CA that signs now."""
        if self.phase is Phase.SWITCHED and self.new is not None:
            return self.new
        return self.old

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """What has to be trusted now: the signer's root first."""
        authorities = [self.signer, self.old, *([self.new] if self.new is not None else [])]
        return tuple(dict.fromkeys(authority.root for authority in authorities))

    @property
    def links(self) -> tuple[x509.Certificate, ...]:
        """What is sent after what the signer signed, so that every root of `roots` will do."""
        if self.phase is Phase.SWITCHED and self.cross is not None:
            return (*self.signer.sent, self.cross, *self.old.sent)
        return self.signer.sent


def steady(authority: Authority, kind: Kind, now: datetime) -> Rotation:
    """Begin with one CA."""
    return Rotation(kind, Phase.STEADY, now, authority)


def begin(rotation: Rotation, new: Authority, now: datetime, random_bytes: RandomBytes) -> Rotation:
    """Publish a new root beside the old one.

    Raises:
        BadRequest: Another rotation is under way, or the old CA can't vouch for the new.
    """
    _expect(rotation, Phase.STEADY, "a new root can't be published")
    if new.certificate.public_key() == rotation.old.certificate.public_key():
        raise _refused("the new CA has the old one's key; a rotation needs a key of its own")
    if new.certificate.subject == rotation.old.certificate.subject:
        raise _refused("the new CA is called as the old one is: clients would mix them up")
    if new.certificate != new.root:
        raise _refused("the new CA is not a root; only a root can take another's place")
    try:
        cross = cross_sign(rotation.old, new, now, random_bytes, rotation.kind)
    except ValueError as error:
        raise _refused(f"the old CA can't vouch for the new one: {error}") from None
    return replace(rotation, phase=Phase.PUBLISHED, since=now, new=new, cross=cross)


def switch(rotation: Rotation, now: datetime, *, force: bool = False) -> Rotation:
    """Sign with the new root from now on.

    Args:
        rotation: Where the rotation stands.
        now: UTC.
        force: Do not wait until the bundle has reached every pod.

    Raises:
        BadRequest: No new root is published, or pods may not have it yet.
    """
    _expect(rotation, Phase.PUBLISHED, "signing can't switch")
    ready = rotation.since + BUNDLE_DELAY
    if now < ready and not force:
        raise _refused(
            f"pods have the new root by {ready:%H:%M:%S} UTC at the latest; wait until then"
        )
    return replace(rotation, phase=Phase.SWITCHED, since=now)


def retire(
    rotation: Rotation,
    now: datetime,
    agents_started: Iterable[datetime],
    *,
    longest: timedelta,
    force: bool = False,
) -> Rotation:
    """Take the old root out of the bundle, and its cross-certificate out of chains.

    Args:
        rotation: Where the rotation stands.
        now: UTC.
        agents_started: When each injected pod that still runs was started.
        longest: Life of what the old root signed; until then it may be in use.
        force: Do it though agents may lose trust.

    Raises:
        BadRequest: The new root does not sign yet, or somebody still needs the old one.
    """
    _expect(rotation, Phase.SWITCHED, "the old root can't be retired")
    assert rotation.new is not None  # noqa: S101 - what the phase says
    why = retirement_problem(rotation, now, agents_started, longest=longest)
    if why and not force:
        raise _refused(why)
    return steady(rotation.new, rotation.kind, now)


def retirement_problem(
    rotation: Rotation, now: datetime, agents_started: Iterable[datetime], *, longest: timedelta
) -> str:
    """Say who still needs the old root of a switched rotation; empty if nobody does."""
    over = rotation.since + longest
    if now < over:
        return f"certificates of the old root are in use until {over:%Y-%m-%d %H:%M} UTC"
    waiting = agents_on_old_root(rotation, agents_started)
    if waiting:
        return (
            f"{waiting} pods were started before the new root was in every bundle and know the "
            "old one alone: restart them, or wait until they end"
        )
    return ""


def agents_on_old_root(rotation: Rotation, agents_started: Iterable[datetime]) -> int:
    """Count the pods whose programs may have read their roots before the new one was there.

    Node, Python, Go and Java read them once, when they start. Those that started before signing
    switched are counted, since the bundle of `published` is in every pod only then.
    """
    if rotation.phase is Phase.STEADY:
        return 0
    waits = rotation.phase is Phase.PUBLISHED
    return sum(1 for started in agents_started if waits or started < rotation.since)


def abandon(rotation: Rotation, now: datetime) -> Rotation:
    """Take a published root back, which has signed nothing.

    Raises:
        BadRequest: It signs already, or there is none.
    """
    _expect(rotation, Phase.PUBLISHED, "the new root can't be taken back")
    return steady(rotation.old, rotation.kind, now)


_INSTEAD: dict[Phase, str] = {
    Phase.STEADY: "no rotation is under way",
    Phase.PUBLISHED: "a new root is published and does not sign yet: switch or abandon comes next",
    Phase.SWITCHED: "the new root signs already: retire the old one first",
}


def _expect(rotation: Rotation, phase: Phase, what: str) -> None:
    if rotation.phase is not phase:
        raise _refused(f"{what}: {_INSTEAD[rotation.phase]}")


def _refused(what: str) -> BadRequest:
    return BadRequest(what, status=409, code=REFUSED)
