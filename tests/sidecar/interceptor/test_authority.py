"""The CA of an installation and the leaves it signs."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from remora.errors import BadRequest, ConfigError, Unavailable
from remora_sidecar.interceptor.authority import CA_KEY_FILE, LocalAuthority
from remora_sidecar.interceptor.certificates import (
    LEAF_LIFE,
    ROOT_LIFE,
    Issuer,
    make_leaf,
    make_root,
    server_name,
)
from remora_sidecar.interceptor.leaf_cache import LeafCache

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND_NS = 1_000_000_000
HOST = "api.openai.com"


class _Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = START

    def now_unix_ns(self) -> int:
        return int(self.now.timestamp()) * SECOND_NS

    def monotonic_s(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _issuer(now: datetime = START) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    return Issuer(make_root(key, now), key)


def test_the_first_start_makes_a_p256_root_that_only_its_owner_reads(tmp_path, clock) -> None:
    authority = LocalAuthority.open(tmp_path, clock)
    root = x509.load_pem_x509_certificate(authority.root_pem)
    key = root.public_key()

    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert stat.S_IMODE((tmp_path / CA_KEY_FILE).stat().st_mode) == 0o600
    assert b"PRIVATE" not in authority.root_pem


def test_a_later_start_finds_the_same_root(tmp_path, clock) -> None:
    first = LocalAuthority.open(tmp_path, clock).root_pem

    assert LocalAuthority.open(tmp_path, clock).root_pem == first


def test_a_key_that_others_could_read_is_closed_again(tmp_path, clock) -> None:
    LocalAuthority.open(tmp_path, clock)
    (tmp_path / CA_KEY_FILE).chmod(0o644)
    LocalAuthority.open(tmp_path, clock)

    assert stat.S_IMODE((tmp_path / CA_KEY_FILE).stat().st_mode) == 0o600


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _server_certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(START).not_valid_after(START + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@cache
def _damaged() -> dict[str, bytes]:
    issuer, other = _issuer(), _issuer()
    root = issuer.certificate.public_bytes(Encoding.PEM)
    return {
        "nothing": b"",
        "garbage": b"\xff\x00",
        "half a file": _pem(issuer.key)[:80],
        "no certificate": _pem(issuer.key),
        "another's certificate": _pem(other.key) + root,
        "an rsa key": _pem(rsa.generate_private_key(65537, 2048)) + root,
        "a server's certificate": _pem(issuer.key) + _server_certificate(issuer.key),
    }


@pytest.mark.parametrize("what", sorted(_damaged()))
def test_a_damaged_ca_is_named_with_the_remedy_and_left_alone(tmp_path, clock, what) -> None:
    content = _damaged()[what]
    (tmp_path / CA_KEY_FILE).write_bytes(content)

    with pytest.raises(ConfigError, match="delete it to get a new CA") as raised:
        LocalAuthority.open(tmp_path, clock)
    assert str(tmp_path / CA_KEY_FILE) in str(raised.value)
    assert (tmp_path / CA_KEY_FILE).read_bytes() == content


@pytest.mark.parametrize(
    ("moved", "complaint"),
    [
        pytest.param(ROOT_LIFE + timedelta(days=1), "it expired at", id="too late"),
        pytest.param(-timedelta(days=2), "check this machine's clock", id="too early"),
    ],
)
def test_a_ca_that_is_not_valid_now_is_a_problem(tmp_path, clock, moved, complaint) -> None:
    LocalAuthority.open(tmp_path, clock)
    clock.now += moved

    with pytest.raises(ConfigError, match=complaint):
        LocalAuthority.open(tmp_path, clock)


def test_a_ca_near_its_end_is_told_of(tmp_path, clock, caplog) -> None:
    LocalAuthority.open(tmp_path, clock)
    clock.now += ROOT_LIFE - timedelta(days=10)
    LocalAuthority.open(tmp_path, clock)

    assert "expires at" in caplog.text


def test_a_leaf_says_its_name_and_nothing_else() -> None:
    issuer = _issuer()
    leaf = make_leaf(HOST, issuer.key.public_key(), issuer, START)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names == x509.SubjectAlternativeName([x509.DNSName(HOST)])
    assert leaf.subject.rfc4514_string() == f"CN={HOST}"
    assert leaf.not_valid_after_utc == START + LEAF_LIFE
    leaf.verify_directly_issued_by(issuer.certificate)


def test_a_name_too_long_for_a_subject_stands_in_the_critical_extension() -> None:
    issuer, name = _issuer(), f"{'a' * 60}.{'b' * 60}.example"
    leaf = make_leaf(name, issuer.key.public_key(), issuer, START)
    extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)

    assert leaf.subject == x509.Name([])
    assert extension.critical
    assert extension.value.get_values_for_type(x509.DNSName) == [name]


def test_a_leaf_never_outlives_its_issuer() -> None:
    issuer = _issuer()
    near_end = START + ROOT_LIFE - timedelta(hours=1)
    leaf = make_leaf(HOST, issuer.key.public_key(), issuer, near_end)

    assert leaf.not_valid_after_utc == issuer.certificate.not_valid_after_utc
    with pytest.raises(Unavailable, match="expired"):
        make_leaf(HOST, issuer.key.public_key(), issuer, START + ROOT_LIFE)


@pytest.mark.parametrize(
    ("sni", "name"),
    [
        ("api.openai.com", "api.openai.com"),
        ("API.OpenAI.com.", "api.openai.com"),
        ("my_svc.ns.svc", "my_svc.ns.svc"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_server_name_is_brought_into_one_form(sni, name) -> None:
    assert server_name(sni) == name


@pytest.mark.parametrize(
    "sni",
    ["", ".", "a..b", "-a.example", "a-.example", "a b", "*.example", "1.2.3.4", "::1", "1.2.3",
     "x" * 64, "bücher.example", ".".join(["x" * 60] * 5)],
)  # fmt: skip
def test_what_is_no_host_name_gets_no_leaf(sni) -> None:
    with pytest.raises(BadRequest, match="not a host name"):
        server_name(sni)


def test_a_leaf_is_made_once_per_name_however_it_is_written(clock) -> None:
    leaves = LeafCache(_issuer(), clock)

    assert leaves.leaf(HOST) is leaves.leaf("API.openai.COM.")
    assert leaves.leaf(HOST) is not leaves.leaf("api.anthropic.com")


def test_a_leaf_is_made_anew_when_half_its_life_has_passed(clock) -> None:
    leaves = LeafCache(_issuer(), clock)
    first = leaves.leaf(HOST)
    clock.now += LEAF_LIFE / 2 - timedelta(seconds=1)
    assert leaves.leaf(HOST) is first
    clock.now += timedelta(seconds=1)

    assert leaves.leaf(HOST).certificate.not_valid_after_utc == clock.now + LEAF_LIFE


def test_the_least_recently_used_leaf_goes_first(clock) -> None:
    leaves = LeafCache(_issuer(), clock, capacity=2)
    kept, dropped = leaves.leaf("a.example"), leaves.leaf("b.example")
    leaves.leaf("a.example")
    leaves.leaf("c.example")

    assert leaves.leaf("a.example") is kept
    assert leaves.leaf("b.example") is not dropped


def test_no_key_stands_in_a_representation(clock) -> None:
    issuer = _issuer()

    assert "PrivateKey" not in repr(issuer) + repr(LeafCache(issuer, clock).leaf(HOST))


def test_pythons_own_tls_accepts_the_root(tmp_path, clock) -> None:
    path = Path(tmp_path / "ca.pem")
    path.write_bytes(LocalAuthority.open(tmp_path, clock).root_pem)

    assert ssl.create_default_context(cafile=str(path)).cert_store_stats()["x509_ca"] == 1
