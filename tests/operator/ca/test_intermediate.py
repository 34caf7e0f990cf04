"""What a sidecar's intermediate says, and for how long."""

import ipaddress
import secrets
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from remora.errors import ConfigError, Unavailable
from remora_operator.ca.authority import ROOT_LIFE, new_key
from remora_operator.ca.certificates import CLOCK_SKEW
from remora_operator.ca.intermediate import INTERMEDIATE_LIFE, sign_intermediates

HOSTS = ("api.openai.com", "*.openai.azure.com")


@pytest.fixture
def signed(authority, now):
    def sign(*hosts, at=now, by=authority, holder="team-a"):
        key = new_key().public_key()
        made = sign_intermediates(key, hosts, by, at, secrets.token_bytes, holder=holder)
        return [one.certificate for one in made]

    return sign


def _extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_it_lives_a_day_and_a_little_backwards(signed, now):
    [made] = signed(*HOSTS)
    assert made.not_valid_after_utc == now + INTERMEDIATE_LIFE == now + timedelta(hours=24)
    assert made.not_valid_before_utc == now - CLOCK_SKEW


def test_it_may_sign_servers_and_no_further_ca(signed):
    [made] = signed(*HOSTS)
    basic = _extension(made, x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = _extension(made, x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert list(_extension(made, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_it_permits_the_hosts_and_excludes_every_address(signed):
    [made] = signed(*HOSTS)
    constraints = _extension(made, x509.NameConstraints)
    assert constraints.critical
    permitted = {name.value for name in constraints.value.permitted_subtrees}
    assert permitted == {"api.openai.com", "openai.azure.com"}
    assert {name.value for name in constraints.value.excluded_subtrees} == {
        ipaddress.ip_network("0.0.0.0/0"),
        ipaddress.ip_network("::/0"),
    }


def test_it_is_signed_by_the_root_and_named_for_people(signed, authority):
    [made] = signed(*HOSTS)
    made.verify_directly_issued_by(authority.certificate)
    assert "OU=team-a" in made.subject.rfc4514_string()


def test_a_holder_of_any_length_fits(signed):
    [made] = signed(*HOSTS, holder="n" * 300)
    assert f"OU={'n' * 64}," in made.subject.rfc4514_string()


def test_no_host_means_no_certificate(signed):
    assert signed() == []


def test_many_hosts_stand_in_several_certificates_of_different_names(signed):
    made = signed(*(f"h{number}.example.com" for number in range(100)))
    assert len({one.subject for one in made}) == len({one.serial_number for one in made}) == 3
    assert all(_extension(one, x509.NameConstraints).value.permitted_subtrees for one in made)


def test_it_never_outlives_the_root_nor_begins_before_it(signed, authority, now):
    near_end = authority.end - timedelta(hours=2)
    [late] = signed(*HOSTS, at=near_end)
    assert late.not_valid_after_utc == authority.end
    [early] = signed(*HOSTS, at=now - timedelta(minutes=30))
    assert early.not_valid_before_utc == authority.certificate.not_valid_before_utc


def test_an_expired_root_signs_nothing(signed, now):
    with pytest.raises(Unavailable, match="expired at"):
        signed(*HOSTS, at=now + ROOT_LIFE)


def test_a_host_that_can_not_be_constrained_signs_nothing(signed):
    with pytest.raises(ConfigError, match="address"):
        signed("api.openai.com", "10.0.0.1")


def test_no_serial_number_is_too_long_or_nothing(authority, now):
    key = new_key().public_key()
    for filled in (b"\x00", b"\xff"):
        [made] = sign_intermediates(key, HOSTS, authority, now, lambda size, b=filled: b * size)
        assert 0 < made.certificate.serial_number.bit_length() <= 159
