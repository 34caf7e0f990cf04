"""The authority that signs with what the operator signed, and how it is read."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest, Unavailable
from remora.testing.clock import ManualClock
from remora_sidecar.interceptor.issued import certificate_request, read_issued, utc
from remora_sidecar.interceptor.issued_authority import IssuedAuthority, new_key

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOST = "api.openai.com"


def _der(certificate):
    return certificate.public_bytes(Encoding.DER)


@dataclass
class Signer:
    """A CA as the operator has it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def root(cls, name="root"):
        key = new_key()
        return cls(_ca(name, key.public_key(), name, key, START - DAY, START + 100 * DAY), key)

    def signs(self, key, *hosts, name="sidecar", start=START - DAY, end=START + DAY, ca=True):
        subject = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return _ca(name, key.public_key(), subject, self.key, start, end, hosts, ca=ca)


def _ca(name, public, issuer, signer, start, end, hosts=(), *, ca=True):
    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder(subject_name=named(name), issuer_name=named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if hosts:
        addresses = [x509.IPAddress(ipaddress.ip_network("0.0.0.0/0"))]
        names = x509.NameConstraints([x509.DNSName(host) for host in hosts], addresses)
        builder = builder.add_extension(names, critical=True)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture
def root():
    return Signer.root()


@pytest.fixture
def key():
    return new_key()


@pytest.fixture
def clock():
    return ManualClock(int(START.timestamp()) * 10**9)


@pytest.fixture
def read(root, key):
    def reads(*groups, links=(), roots=None, at=START, made=None):
        cas = [root.signs(key, *group, name=f"s{n}") for n, group in enumerate(groups)]
        cas = cas if made is None else made
        trusted = [root.certificate] if roots is None else roots
        return read_issued(key, [*map(_der, cas)], [*map(_der, links)], [*map(_der, trusted)], at)

    return reads


def test_the_request_is_signed_by_the_key_and_asks_for_no_names(key):
    request = x509.load_der_x509_csr(certificate_request(key))
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    assert (list(request.subject), list(request.extensions)) == ([], [])


def test_each_name_is_signed_by_the_ca_that_permits_it(read, clock):
    authority = IssuedAuthority(clock)
    authority.install(read([HOST], ["api.anthropic.com", "example.com"]))
    openai, other = authority.leaf(HOST), authority.leaf("llm.example.com")
    assert [one.subject.rfc4514_string() for one in openai.chain] == ["CN=s0"]
    assert [one.subject.rfc4514_string() for one in other.chain] == ["CN=s1"]
    openai.certificate.verify_directly_issued_by(openai.chain[0])
    assert authority.leaf(HOST) is openai


@pytest.mark.parametrize(
    ("host", "may"),
    [(HOST, True), ("*.example.com", True), ("example.org", False), ("*.com", False)],
)
def test_it_says_for_which_hosts_it_may_sign(read, clock, host, may):
    authority = IssuedAuthority(clock)
    assert not authority.may_sign(host)
    authority.install(read([HOST], ["example.com"]))
    assert authority.may_sign(host) is may


def test_before_the_first_certificate_nothing_is_signed_and_it_is_said(clock):
    authority = IssuedAuthority(clock)
    assert authority.root_pem == b""
    with pytest.raises(Unavailable, match="no certificate has come from the operator yet"):
        authority.leaf(HOST)


def test_a_host_outside_of_all_is_refused_with_the_reason(read, clock):
    authority = IssuedAuthority(clock)
    authority.install(read([HOST]))
    with pytest.raises(Unavailable, match=r"not good for api\.anthropic"):
        authority.leaf("api.anthropic.com")
    with pytest.raises(BadRequest):
        authority.leaf("10.0.0.1")


def test_after_the_end_nothing_is_signed_not_even_what_was(read, clock):
    authority = IssuedAuthority(clock)
    authority.install(read([HOST]))
    clock.advance(DAY.total_seconds() - 1)
    assert authority.leaf(HOST).certificate.not_valid_after_utc == START + DAY
    clock.advance(1)
    with pytest.raises(Unavailable, match="expired at 2026-01-02 00:00 UTC"):
        authority.leaf(HOST)
    authority.install(read([HOST], at=START))
    with pytest.raises(Unavailable, match="expired"):
        authority.leaf(HOST)


def test_a_new_certificate_is_used_from_the_next_connection_on(read, clock):
    authority = IssuedAuthority(clock)
    authority.install(read([HOST]))
    old = authority.leaf(HOST)
    authority.install(read([HOST]))
    assert authority.leaf(HOST).chain != old.chain


def test_links_are_sent_and_all_roots_are_trusted(key, root, read, clock):
    old = Signer.root("old root")
    cross = old.signs(root.key, name="root")
    authority = IssuedAuthority(clock)
    authority.install(read([HOST], links=[cross], roots=[root.certificate, old.certificate]))
    assert authority.leaf(HOST).chain[-1] == cross
    assert authority.root_pem.count(b"BEGIN CERTIFICATE") == 2
    for link in (root.certificate, cross):
        authority.leaf(HOST).chain[0].verify_directly_issued_by(link)


def test_no_certificate_at_all_is_an_answer_where_no_host_is_intercepted(read, clock):
    authority = IssuedAuthority(clock)
    authority.install(read(made=[]))
    with pytest.raises(Unavailable, match="not good for"):
        authority.leaf(HOST)


def test_constraints_of_the_root_hold_as_well(key, clock):
    own = new_key()
    certificate = _ca(
        "root", own.public_key(), "root", own, START - DAY, START + DAY, ["openai.com"]
    )
    limited = Signer(certificate, own)
    made = limited.signs(key, HOST, "api.anthropic.com")
    authority = IssuedAuthority(clock)
    authority.install(read_issued(key, [_der(made)], [], [_der(certificate)], START))
    assert authority.may_sign(HOST)
    assert not authority.may_sign("api.anthropic.com")


def _strangers(root, key):
    return [Signer.root("another").signs(key, HOST)]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        pytest.param(lambda r, k: [r.signs(new_key(), HOST)], "not a CA's of our key", id="key"),
        pytest.param(lambda r, k: [r.signs(k, HOST, ca=False)], "not a CA's", id="no CA"),
        pytest.param(lambda r, k: [r.signs(k)], "a CA for every host", id="no constraints"),
        pytest.param(_strangers, "leads to none of its roots", id="a stranger's"),
        pytest.param(
            lambda r, k: [r.signs(k, HOST, start=START - 2 * DAY, end=START)],
            "check the clock",
            id="over",
        ),
        pytest.param(
            lambda r, k: [r.signs(k, HOST, start=START + DAY, end=START + 2 * DAY)],
            "check the clock",
            id="not yet",
        ),
    ],
)
def test_what_was_not_asked_for_is_not_installed(read, root, key, made, why):
    with pytest.raises(Unavailable, match=why):
        read(made=made(root, key))


def test_an_answer_without_a_root_or_with_far_too_much_is_refused(read, root, key):
    with pytest.raises(Unavailable, match="no root"):
        read([HOST], roots=[])
    with pytest.raises(Unavailable, match="too many"):
        read(made=[root.certificate] * 600)


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage):
    root = Signer.root().certificate
    with pytest.raises(Unavailable, match="not a certificate"):
        read_issued(new_key(), [garbage], [], [_der(root)], START)


def test_no_key_stands_in_a_representation(read, clock):
    authority = IssuedAuthority(clock)
    authority.install(read([HOST]))
    assert "PrivateKey" not in repr(authority.issued) + repr(authority.leaf(HOST))


def test_moments_are_whole_seconds():
    assert utc(1_767_225_600_999_999_999) == START
