"""Serving certificates and their CA, which renews itself."""

import secrets
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from remora.errors import Unavailable
from remora_operator.ca.authority import SERVING, make_root, new_key
from remora_operator.ca.renewal import is_half_over, needs_new, renew_after
from remora_operator.ca.rotation import BUNDLE_DELAY, Phase, begin, retire, steady, switch
from remora_operator.ca.serving import (
    SERVING_LIFE,
    Step,
    ca_bundle,
    due_step,
    needs_serving,
    sign_serving,
)

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("remora-operator.remora-system.svc", "remora-operator", "10.0.0.7")


@pytest.fixture
def rotation(serving_root):
    return steady(serving_root, SERVING, NOW)


@pytest.fixture
def overlapping(rotation, make_authority):
    return begin(rotation, make_authority(SERVING), NOW, secrets.token_bytes)


def _served(rotation, at=NOW, names=NAMES):
    return sign_serving(new_key(), names, rotation, at, secrets.token_bytes)


def test_a_leaf_lives_thirty_days_and_names_its_servers(rotation):
    leaf = _served(rotation).certificate
    assert leaf.not_valid_after_utc == NOW + SERVING_LIFE
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(NAMES[:2])
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca


@pytest.mark.parametrize(
    ("after", "needs"),
    [(0 * DAY, False), (19 * DAY, False), (20 * DAY, True), (31 * DAY, True)],
    ids=["new", "before two thirds", "at two thirds", "over"],
)
def test_a_leaf_is_renewed_at_two_thirds_of_its_life(rotation, after, needs):
    leaf = _served(rotation).certificate
    assert needs_serving(leaf, NAMES, rotation, NOW + after) is needs


@pytest.mark.parametrize(
    ("names", "needs"),
    [(NAMES[:1], False), ((*NAMES, "more.svc"), True), ((*NAMES, "10.0.0.8"), True)],
    ids=["fewer names", "a new name", "a new address"],
)
def test_a_new_name_needs_a_new_leaf(rotation, names, needs):
    assert needs_serving(_served(rotation).certificate, names, rotation, NOW) is needs


def test_a_server_without_a_leaf_or_with_a_strangers_needs_one(rotation, make_authority):
    stranger = steady(make_authority(SERVING), SERVING, NOW)
    assert needs_serving(None, NAMES, rotation, NOW)
    assert needs_serving(_served(stranger).certificate, NAMES, rotation, NOW)


def test_a_leaf_from_a_clock_that_was_ahead_is_made_anew_once_its_ca_is_valid(rotation):
    ahead = _served(rotation, NOW + 5 * DAY).certificate
    assert needs_serving(ahead, NAMES, rotation, NOW)
    # Where the CA itself is of such a clock, another leaf would be no better.
    early = NOW - 5 * DAY
    assert not needs_serving(_served(rotation, NOW).certificate, NAMES, rotation, early)
    with pytest.raises(Unavailable, match="valid only from"):
        _served(rotation, early - 40 * DAY)


def test_a_leaf_that_ends_with_its_ca_is_not_made_again_and_again(serving_root):
    rotation = steady(serving_root, SERVING, NOW)
    last = _served(rotation, rotation.old.end - DAY).certificate
    assert last.not_valid_after_utc == rotation.old.end
    assert not needs_serving(last, NAMES, rotation, rotation.old.end - DAY / 100)


def test_the_bundle_holds_old_and_new_while_there_are_two(rotation, overlapping):
    assert ca_bundle(rotation).count(b"BEGIN CERTIFICATE") == 1
    assert ca_bundle(overlapping).count(b"BEGIN CERTIFICATE") == 2
    assert ca_bundle(rotation) in ca_bundle(overlapping)


def test_an_expired_ca_serves_nobody(rotation):
    with pytest.raises(Unavailable, match="serving CA expired"):
        _served(rotation, at=rotation.old.end)


def test_the_ca_renews_itself_by_the_clock(rotation, make_authority):
    before_end = rotation.old.end - 3 * SERVING_LIFE
    assert due_step(rotation, before_end - DAY) is Step.NOTHING
    assert due_step(rotation, before_end) is Step.BEGIN
    two = begin(rotation, make_authority(SERVING), before_end, secrets.token_bytes)
    assert due_step(two, before_end) is Step.NOTHING
    assert due_step(two, before_end + BUNDLE_DELAY) is Step.SWITCH
    new = switch(two, before_end + BUNDLE_DELAY)
    assert due_step(new, new.since + SERVING_LIFE - DAY) is Step.NOTHING
    assert due_step(new, new.since + SERVING_LIFE) is Step.RETIRE
    alone = retire(new, new.since + SERVING_LIFE, [], longest=SERVING_LIFE)
    assert (alone.phase, ca_bundle(alone).count(b"BEGIN")) == (Phase.STEADY, 1)


@pytest.mark.parametrize("knows", ["old", "new", "both"])
def test_callers_of_every_age_accept_what_the_new_ca_signed(
    tmp_path, rotation, make_authority, knows
):
    now = datetime.now(UTC)
    old = steady(make_root(new_key(), now, secrets.token_bytes, SERVING), SERVING, now)
    new = make_root(new_key(), now, secrets.token_bytes, SERVING)
    after = switch(begin(old, new, now, secrets.token_bytes), now, force=True)
    served = _served(after, at=now, names=("operator.svc",))
    (tmp_path / "tls.crt").write_bytes(served.certificate_pem)
    (tmp_path / "tls.key").write_bytes(served.key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    roots = {"old": ca_bundle(old), "new": new.certificate_pem, "both": ca_bundle(after)}[knows]
    assert _handshake(server, ssl.create_default_context(cadata=roots.decode()), "operator.svc")


def _handshake(server_context, client_context, name):
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    pending = [client, server]
    for _ in range(8):
        for one in tuple(pending):
            try:
                one.do_handshake()
                pending.remove(one)
            except ssl.SSLWantReadError:
                pass
    return not pending


def test_a_sidecar_asks_again_after_half_of_what_is_left():
    assert renew_after(NOW + DAY, NOW) == DAY / 2
    assert renew_after(NOW - DAY, NOW) == timedelta(0)


@pytest.mark.parametrize(
    ("after", "wanted", "needs"),
    [
        (timedelta(hours=1), ["a.example"], False),
        (timedelta(hours=1), [], False),
        (timedelta(hours=1), ["a.example", "b.example"], True),
        (29 * DAY, ["a.example"], True),
    ],
    ids=["fresh", "a host less", "a host more", "half over"],
)
def test_an_intermediate_is_renewed_at_half_its_life_or_for_a_host(rotation, after, wanted, needs):
    leaf = _served(rotation).certificate
    assert needs_new(leaf, ["a.example"], wanted, NOW + after) is needs
    assert is_half_over(leaf, NOW + after) is (after > 15 * DAY)
