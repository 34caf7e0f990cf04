"""Roots of ours, and those that were brought."""

import base64
import datetime as dt
import secrets

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora_operator.ca.authority import INTERCEPTION, SERVING, Authority, new_key
from remora_operator.ca.brought import read_authority, remarks
from remora_operator.ca.intermediate import sign_intermediates

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
YEAR = dt.timedelta(days=365)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _ca(
    name="a company's CA", *, key=None, issuer=None, ca=True, length=None, extra=(), usage=None,
    start=NOW - YEAR, end=NOW + YEAR, algorithm=None,
):  # fmt: skip
    """A certificate and its key; ``issuer`` is such a pair."""
    key = key or new_key()
    signer = issuer or (None, key)
    builder = (
        x509.CertificateBuilder(subject_name=_name(name))
        .issuer_name(issuer[0].subject if issuer else _name(name))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        basic = x509.BasicConstraints(ca=ca, path_length=length if ca else None)
        builder = builder.add_extension(basic, critical=True)
    for extension in extra:
        builder = builder.add_extension(extension, critical=False)
    if usage:
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(signer[1], algorithm or hashes.SHA256()), key


def _pem(*certificates):
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def _key_pem(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def _data(pair, **changed):
    return {"tls.crt": _pem(pair[0]), "tls.key": _key_pem(pair[1]), **changed}


def _usage(**set_):
    names = [
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ]  # fmt: skip
    return x509.KeyUsage(**{name: set_.get(name, False) for name in names})


def test_a_root_of_ours_is_p256_and_signs_only_certificates(authority):
    certificate = authority.certificate
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value == (
        x509.BasicConstraints(ca=True, path_length=2)
    )
    certificate.verify_directly_issued_by(certificate)


def test_two_roots_of_ours_have_different_names(make_authority):
    first, second = make_authority(), make_authority()
    assert first.certificate.subject != second.certificate.subject


def test_a_root_of_ours_is_read_back_from_a_secret(authority):
    data = {"tls.crt": authority.certificate_pem, "tls.key": authority.key_pem}
    read = read_authority(data, NOW, INTERCEPTION)
    assert (read.certificate, read.root, read.links) == (authority.certificate,) * 2 + ((),)
    assert remarks(read, INTERCEPTION) == ()


def test_no_key_stands_in_a_representation(authority):
    assert "key" not in repr(authority).lower().replace("keyid", "")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(rsa.generate_private_key(65537, 2048), id="rsa, cert-manager's default"),
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="p-384"),
        pytest.param(new_key(), id="p-256"),
    ],
)
def test_a_root_of_any_usual_key_can_be_brought(key):
    brought = read_authority(_data(_ca(key=key)), NOW, INTERCEPTION)
    [made] = sign_intermediates(
        new_key().public_key(), ["api.openai.com"], brought, NOW, secrets.token_bytes
    )
    made.certificate.verify_directly_issued_by(brought.certificate)
    assert brought.sent == ()


def test_cert_managers_issuing_ca_is_read_with_its_root():
    root = _ca("root")
    middle = _ca("middle", issuer=root)
    issuing = _ca("issuing", issuer=middle)
    data = {
        "tls.crt": _pem(issuing[0], middle[0]),
        "tls.key": _key_pem(issuing[1]),
        "ca.crt": _pem(root[0]),
    }
    read = read_authority(data, NOW, INTERCEPTION)
    assert read.root == root[0]
    assert read.sent == (issuing[0], middle[0])
    assert read.end == min(one.not_valid_after_utc for one in (root[0], middle[0], issuing[0]))


def test_the_root_may_stand_at_the_end_of_the_chain_instead():
    root = _ca("root")
    issuing = _ca("issuing", issuer=root)
    data = {"tls.crt": _pem(issuing[0], root[0]), "tls.key": _key_pem(issuing[1])}
    assert read_authority(data, NOW, INTERCEPTION).root == root[0]


def _foreign_chain():
    root, other = _ca("root"), _ca("root")
    issuing = _ca("issuing", issuer=root)
    return _data(issuing, **{"ca.crt": _pem(other[0])})


def _unknown_signature():
    """A CA below a root, said to be signed in a way that nobody knows."""
    root = _ca("root")
    issuing = _ca("issuing", issuer=root)
    known, unknown = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d04037f")
    odd = issuing[0].public_bytes(Encoding.DER).replace(known, unknown)
    body = base64.encodebytes(odd)
    pem = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    return {"tls.crt": pem, "tls.key": _key_pem(issuing[1]), "ca.crt": _pem(root[0])}


def _half_a_certificate():
    pem = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    return _data(_ca(), **{"tls.crt": pem})


_GOOD = _ca()
_SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused

REFUSED = [
    pytest.param({}, ["tls.crt: is missing", "tls.key: is missing"], id="an empty Secret"),
    pytest.param(_data(_GOOD, **{"tls.crt": b"x"}), ["tls.crt: holds no certificate"], id="junk"),
    pytest.param(_half_a_certificate(), ["tls.crt: holds no certificate"], id="half a certificate"),
    pytest.param(_data(_GOOD, **{"tls.key": b"x"}), ["tls.key: holds no private key"], id="no key"),
    pytest.param(
        _data(_GOOD, **{"tls.crt": b"x" * 300_000}), ["tls.crt: is larger"], id="far too much"
    ),
    pytest.param(
        _data(_GOOD, **{"tls.crt": _pem(*[_GOOD[0]] * 6)}), ["holds 6 certificates"], id="six"
    ),
    pytest.param(
        _data(_GOOD, **{"tls.key": _key_pem(_GOOD[1], BestAvailableEncryption(b"secret"))}),
        ["tls.key: is encrypted"],
        id="a passphrase",
    ),
    pytest.param(
        _data(_GOOD, **{"tls.key": _key_pem(ed25519.Ed25519PrivateKey.generate())}),
        ["neither an elliptic-curve nor an RSA"],
        id="ed25519",
    ),
    pytest.param(
        _data(_GOOD, **{"tls.key": _key_pem(new_key())}), ["do not belong together"], id="two pairs"
    ),
    pytest.param(
        _data(_ca(key=_SHORT)), ["1024 bits"], id="a short key"
    ),
    pytest.param(
        _data(_ca(key=ec.generate_private_key(ec.SECP256K1()))), ["secp256k1"], id="an odd curve"
    ),
    pytest.param(_data(_ca(ca=None)), ["not a CA's certificate"], id="no basic constraints"),
    pytest.param(_data(_ca(ca=False)), ["not a CA's certificate"], id="a server's"),
    pytest.param(_data(_ca(length=0)), ["may have no CA below it"], id="path length 0"),
    pytest.param(
        _data(_ca(usage=_usage(digital_signature=True))), ["lacks keyCertSign"], id="key usage"
    ),
    pytest.param(
        _data(_ca(extra=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])])),
        ["lacks serverAuth"],
        id="for code alone",
    ),
    pytest.param(
        _data(_ca(end=NOW - dt.timedelta(1))), ["expired at 2026-10-31"], id="expired"
    ),
    pytest.param(
        _data(_ca(start=NOW + dt.timedelta(1))), ["valid only from 2026-11-02"], id="to come"
    ),
    pytest.param(
        _data(_ca("issuing", issuer=_ca("root"))), ["put the root into ca.crt"], id="no root"
    ),
    pytest.param(_foreign_chain(), ["was not signed by"], id="another root of the name"),
    pytest.param(_unknown_signature(), ["was not signed by"], id="an unknown signature"),
    pytest.param(
        _data(_GOOD, **{"ca.crt": b"x"}), ["ca.crt: holds no certificate"], id="a bad root"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "complaints"), REFUSED)
def test_a_ca_that_will_not_do_is_refused_with_every_reason(data, complaints):
    with pytest.raises(ConfigError) as refused:
        read_authority(data, NOW, INTERCEPTION, where="Secret remora-system/root")
    said = str(refused.value)
    assert [complaint for complaint in complaints if complaint not in said] == []
    assert all("Secret remora-system/root" in p.where for p in refused.value.problems)
    assert "PRIVATE" not in said


def test_a_short_path_is_refused_by_whole_chain():
    root = _ca("root", length=1)
    issuing = _ca("issuing", issuer=root)
    data = _data(issuing, **{"ca.crt": _pem(root[0])})
    with pytest.raises(ConfigError, match="may have no CA below it"):
        read_authority(data, NOW, INTERCEPTION)
    assert read_authority(data, NOW, SERVING).root == root[0]


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        pytest.param(_ca(length=1), "no room to vouch", id="path length 1"),
        pytest.param(
            _ca(extra=[x509.NameConstraints([x509.DNSName("example.com")], None)]),
            "name constraints of its own",
            id="constrained",
        ),
        pytest.param(
            _ca(), "has no key usage, has no subject key identifier: strict", id="not by the book"
        ),
    ],
)
def test_what_a_person_should_know_of_a_brought_ca_is_said(pair, said):
    found = remarks(read_authority(_data(pair), NOW, INTERCEPTION), INTERCEPTION)
    assert [said in remark for remark in found].count(True) == 1


@given(st.dictionaries(st.sampled_from(["tls.crt", "tls.key", "ca.crt"]), st.binary(max_size=200)))
def test_garbage_in_a_secret_is_a_problem_and_no_exception(data):
    with pytest.raises(ConfigError):
        read_authority(data, NOW, INTERCEPTION)


def test_headroom_is_unlimited_where_nothing_limits_it():
    certificate, key = _ca()
    assert Authority(certificate, key, (), certificate).headroom == float("inf")
