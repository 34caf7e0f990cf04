"""How one root gives way to the next."""

import contextlib
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remora.errors import BadRequest, ConfigError
from remora_operator.ca.authority import INTERCEPTION, SERVING, Authority, make_root, new_key
from remora_operator.ca.intermediate import INTERMEDIATE_LIFE, sign_intermediates
from remora_operator.ca.rotation import (
    BUNDLE_DELAY,
    Phase,
    Rotation,
    abandon,
    agents_on_old_root,
    begin,
    retire,
    steady,
    switch,
)
from remora_operator.ca.rotation_secret import read_rotation, secret_data
from remora_operator.ca.status import authority_status

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def beginning(authority):
    return steady(authority, INTERCEPTION, NOW)


@pytest.fixture
def published(beginning, make_authority):
    return begin(beginning, make_authority(), NOW, secrets.token_bytes)


def _retired(rotation, at, started=(), **changed):
    return retire(rotation, at, started, longest=INTERMEDIATE_LIFE, **changed)


def test_a_published_root_is_trusted_and_does_not_sign(beginning, published):
    assert published.signer == beginning.old
    assert published.roots == (beginning.old.root, published.new.root)
    assert published.links == ()


def test_the_old_root_vouches_for_the_new_by_name_and_key(published):
    cross, new = published.cross, published.new.certificate
    cross.verify_directly_issued_by(published.old.certificate)
    assert (cross.subject, cross.public_key()) == (new.subject, new.public_key())
    basic = cross.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert basic == x509.BasicConstraints(ca=True, path_length=1)
    kind = x509.SubjectKeyIdentifier
    assert (
        cross.extensions.get_extension_for_class(kind).value
        == new.extensions.get_extension_for_class(kind).value
    )


def test_after_the_switch_the_new_root_signs_and_its_chain_leads_to_both(published):
    after = switch(published, NOW + DAY)
    [made] = sign_intermediates(
        new_key().public_key(), ["a.example"], after.signer, NOW, secrets.token_bytes
    )
    made.certificate.verify_directly_issued_by(after.new.certificate)
    made.certificate.verify_directly_issued_by(after.cross)
    assert after.links == (after.cross,)
    assert after.roots == (after.new.root, after.old.root)


def test_signing_does_not_switch_before_every_pod_has_the_bundle(published):
    early = NOW + BUNDLE_DELAY - timedelta(seconds=1)
    with pytest.raises(BadRequest, match="wait until then"):
        switch(published, early)
    assert switch(published, early, force=True).phase is Phase.SWITCHED
    assert switch(published, NOW + BUNDLE_DELAY).phase is Phase.SWITCHED


@pytest.mark.parametrize(
    ("after", "started", "why"),
    [
        pytest.param(DAY - timedelta(seconds=1), [], "in use until", id="its leaves still serve"),
        pytest.param(2 * DAY, [NOW - DAY, NOW + 2 * DAY], "1 pods were started", id="an old pod"),
    ],
)
def test_the_old_root_stays_while_somebody_needs_it(switched, after, started, why):
    with pytest.raises(BadRequest, match=why):
        _retired(switched, switched.since + after, started)
    assert _retired(switched, switched.since + after, started, force=True).phase is Phase.STEADY


def test_a_retired_root_is_gone_from_bundle_and_chain(switched):
    after = _retired(switched, switched.since + DAY, [switched.since + timedelta(hours=1)])
    assert after.roots == (switched.new.root,)
    assert (after.signer, after.links, after.new) == (switched.new, (), None)


def test_a_published_root_can_be_taken_back(beginning, published):
    after = abandon(published, NOW + DAY)
    assert (after.phase, after.signer, after.roots) == (
        Phase.STEADY, beginning.old, beginning.roots,
    )  # fmt: skip


def _of(phase, beginning, published, switched):
    return {"steady": beginning, "published": published, "switched": switched}[phase]


@pytest.mark.parametrize(
    ("phase", "step", "instead"),
    [
        ("steady", "switch", "no rotation is under way"),
        ("steady", "retire", "no rotation is under way"),
        ("steady", "abandon", "no rotation is under way"),
        ("published", "begin", "switch or abandon comes next"),
        ("published", "retire", "switch or abandon comes next"),
        ("switched", "begin", "retire the old one first"),
        ("switched", "switch", "retire the old one first"),
        ("switched", "abandon", "retire the old one first"),
    ],
)
def test_steps_out_of_turn_are_refused_and_say_what_comes_next(
    phase, step, instead, beginning, published, switched, make_authority
):
    steps = {
        "begin": lambda r: begin(r, make_authority(), NOW, secrets.token_bytes),
        "switch": lambda r: switch(r, NOW + DAY),
        "retire": lambda r: _retired(r, NOW + 9 * DAY),
        "abandon": lambda r: abandon(r, NOW),
    }
    with pytest.raises(BadRequest, match=instead) as refused:
        steps[step](_of(phase, beginning, published, switched))
    assert refused.value.status == 409


def test_a_root_with_the_same_key_is_no_new_one(beginning):
    with pytest.raises(BadRequest, match="a key of its own"):
        begin(beginning, beginning.old, NOW, secrets.token_bytes)


def test_a_root_of_the_same_name_would_be_mixed_up(beginning):
    key = new_key()
    made = (
        x509.CertificateBuilder(
            subject_name=beginning.old.certificate.subject,
            issuer_name=beginning.old.certificate.subject,
        )
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    same = made.sign(key, hashes.SHA256())
    with pytest.raises(BadRequest, match="mix them up"):
        begin(beginning, Authority(same, key, (), same), NOW, secrets.token_bytes)


def test_a_root_that_may_not_stand_above_another_can_not_vouch(make_authority):
    narrow = steady(make_authority(SERVING), INTERCEPTION, NOW)
    with pytest.raises(BadRequest, match="2 are needed to vouch"):
        begin(narrow, make_authority(), NOW, secrets.token_bytes)


def test_the_cross_certificate_ends_with_the_root_that_ends_first(beginning, make_authority):
    late = make_authority(at=NOW + 365 * DAY)
    made = begin(beginning, late, NOW + 365 * DAY, secrets.token_bytes)
    assert made.cross.not_valid_after_utc == beginning.old.end < late.end


@pytest.mark.parametrize("phase", ["steady", "published", "switched"])
def test_a_secret_keeps_where_the_rotation_stands(phase, beginning, published, switched):
    rotation = _of(phase, beginning, published, switched)
    read = read_rotation(secret_data(rotation), NOW, INTERCEPTION)
    assert (read.phase, read.since, read.roots, read.links) == (
        rotation.phase, rotation.since, rotation.roots, rotation.links,
    )  # fmt: skip
    assert read.signer.key.private_numbers() == rotation.signer.key.private_numbers()


def test_an_old_root_that_has_expired_meanwhile_stops_nothing(switched):
    late = switched.old.end + DAY
    read = read_rotation(secret_data(switched), late, INTERCEPTION)
    assert read.signer.root == switched.new.root
    assert authority_status(read, late).phase is Phase.SWITCHED


def test_an_expired_root_is_shown_and_can_not_vouch_any_more(beginning, make_authority):
    late = beginning.old.end + DAY
    read = read_rotation(secret_data(beginning), late, INTERCEPTION)
    assert "expired at" in authority_status(read, late).notes[0]
    with pytest.raises(BadRequest, match="nobody trusts it any more"):
        begin(read, make_authority(at=late), late, secrets.token_bytes)


@pytest.mark.parametrize(
    ("key", "content", "complaint"),
    [
        ("rotation.json", b"{}", "where the rotation stands"),
        ("rotation.json", b"[]", "where the rotation stands"),
        ("rotation.json", b'{"phase": "gone", "since": "2026-11-01"}', "where the rotation"),
        ("rotation.json", b'{"phase": "steady", "since": "2026-11-01"}', "without its zone"),
        ("new.crt", b"", "the new CA"),
        ("new.key", b"junk", "the new CA"),
        ("cross.crt", b"", "not a certificate that the old CA signed"),
    ],
)
def test_a_damaged_secret_is_named(switched, key, content, complaint):
    with pytest.raises(ConfigError, match=complaint) as refused:
        read_rotation({**secret_data(switched), key: content}, NOW, INTERCEPTION)
    assert "PRIVATE" not in str(refused.value)


def test_anothers_cross_certificate_is_refused(switched, make_authority):
    other = begin(
        steady(switched.old, INTERCEPTION, NOW), make_authority(), NOW, secrets.token_bytes
    )
    data = {**secret_data(switched), "cross.crt": other.cross.public_bytes(Encoding.PEM)}
    with pytest.raises(ConfigError, match="not the new CA's"):
        read_rotation(data, NOW, INTERCEPTION)


def test_the_status_says_which_root_signs_and_who_needs_the_old(switched):
    started = [NOW, NOW + 2 * DAY]
    shown = authority_status(switched, switched.since, started)
    assert [root.signs for root in shown.roots] == [True, False]
    assert [len(root.fingerprint) for root in shown.roots] == [64, 64]
    assert (shown.phase, shown.agents_on_old_root) == (Phase.SWITCHED, 1)
    assert "retire comes next" in shown.notes[0]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (100 * DAY, ()),
        (89 * DAY, ("rotate it before",)),
        (0 * DAY, ("no sidecar gets a certificate",)),
    ],
    ids=["long", "short", "over"],
)
def test_the_status_warns_before_the_end(beginning, left, said):
    notes = authority_status(beginning, beginning.old.end - left).notes
    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))


def test_pods_of_before_the_switch_are_counted_while_two_roots_stand(beginning, published):
    started = [NOW - DAY, NOW + DAY]
    assert agents_on_old_root(beginning, started) == 0
    assert agents_on_old_root(published, started) == 2
    assert agents_on_old_root(switch(published, NOW + DAY), started) == 1


class RotationMachine(RuleBasedStateMachine):
    """Any order of steps: whoever learnt any root that was ever trusted when it started holds."""

    def __init__(self):  # noqa: D107
        super().__init__()
        self.now = NOW
        self.agents = []  # of each: when it started, and the roots it read then

    @initialize()
    def made(self):
        self.rotation: Rotation = steady(self._root(), INTERCEPTION, self.now)

    def _root(self):
        return make_root(new_key(), self.now, secrets.token_bytes, INTERCEPTION)

    @rule(minutes=st.sampled_from([1, 5, 60, 60 * 25]))
    def time_passes(self, minutes):
        self.now += timedelta(minutes=minutes)

    @rule()
    def an_agent_starts(self):
        # The kubelet may not have brought what changed just now.
        waits = self.rotation.phase is Phase.PUBLISHED
        fresh = not waits or self.now >= self.rotation.since + BUNDLE_DELAY
        roots = self.rotation.roots if fresh else (self.rotation.old.root,)
        self.agents.append((self.now, roots))

    @precondition(lambda self: self.agents)
    @rule()
    def an_agent_ends(self):
        self.agents.pop(0)

    @rule()
    def steps_on(self):
        started = [at for at, _ in self.agents]
        steps = {
            Phase.STEADY: lambda r: begin(r, self._root(), self.now, secrets.token_bytes),
            Phase.PUBLISHED: lambda r: switch(r, self.now),
            Phase.SWITCHED: lambda r: _retired(r, self.now, started),
        }
        with contextlib.suppress(BadRequest):  # it is too early
            self.rotation = steps[self.rotation.phase](self.rotation)

    @precondition(lambda self: self.rotation.phase is Phase.PUBLISHED)
    @rule()
    def is_taken_back(self):
        self.rotation = abandon(self.rotation, self.now)

    @invariant()
    def every_agent_accepts_what_is_signed_now(self):
        if not hasattr(self, "rotation"):
            return
        signer = self.rotation.signer.certificate
        for _, roots in self.agents:
            assert signer in roots or any(
                link.public_key() == signer.public_key() and _is_by(link, roots)
                for link in self.rotation.links
            )


def _is_by(link, roots):
    return any(link.issuer == root.subject for root in roots)


TestRotationMachine = RotationMachine.TestCase
