"""The files by which agents trust us."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from remora.errors import ConfigError
from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE
from remora_operator.ca.trust_bundle import MAX_CONFIG_MAP_BYTES, roots_version, trust_bundle
from remora_operator.ca.truststore import truststore

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
# Public roots hold what RFC 5280 does not allow.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

PUBLIC = Path(certifi.where()).read_bytes()


def _pem(authority):
    return authority.certificate.public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def bundle(authority):
    return trust_bundle(PUBLIC, [authority.root], {}, NOW)


def test_ours_stands_alone_in_one_file_and_among_public_roots_in_the_others(bundle, authority):
    ours = _pem(authority).decode()
    assert bundle.texts[CA_FILE] == ours
    assert ours in bundle.texts[BUNDLE_FILE]
    assert bundle.texts[BUNDLE_FILE].count("BEGIN CERTIFICATE") > 100
    store = pkcs12.load_pkcs12(bundle.binaries[TRUSTSTORE_FILE], None)
    inside = {entry.certificate for entry in store.additional_certs}
    assert inside == set(x509.load_pem_x509_certificates(bundle.texts[BUNDLE_FILE].encode()))


def test_no_key_is_in_any_file(bundle):
    assert "PRIVATE" not in "".join(bundle.texts.values())
    assert pkcs12.load_pkcs12(bundle.binaries[TRUSTSTORE_FILE], None).key is None


def test_the_same_roots_give_the_same_bytes(bundle, authority):
    assert trust_bundle(PUBLIC, [authority.root], {}, NOW) == bundle


def test_both_roots_stand_in_it_while_one_replaces_the_other(switched):
    made = trust_bundle(PUBLIC, switched.roots, {}, NOW)
    assert made.texts[CA_FILE].count("BEGIN CERTIFICATE") == 2


def test_another_root_is_another_version(bundle, switched, authority):
    assert trust_bundle(PUBLIC, switched.roots, {}, NOW).version != bundle.version
    assert len(roots_version([authority.root])) == 64


def test_a_companys_own_roots_are_added_once(authority, make_authority):
    company = make_authority()
    pem = _pem(company)
    made = trust_bundle(PUBLIC, [authority.root], {"corporate": pem + pem, "b": pem}, NOW)
    assert made.texts[BUNDLE_FILE].count(pem.decode()) == 1
    assert pem.decode() not in made.texts[CA_FILE]
    assert made.notes == ()


@pytest.mark.parametrize(
    ("extra", "note"),
    [(b"", "adds nothing"), (b"-----BEGIN CERTIFICATE-----\nMII\n", "adds nothing")],
    ids=["empty", "damaged"],
)
def test_an_extra_bundle_without_certificates_is_told_of(authority, extra, note):
    made = trust_bundle(PUBLIC, [authority.root], {"corporate": extra}, NOW)
    assert [note in text for text in made.notes] == [True]


def test_what_has_expired_is_left_out(make_authority, authority):
    old = make_authority(at=NOW - timedelta(days=6 * 365))
    made = trust_bundle(PUBLIC, [authority.root, old.root], {"corporate": _pem(old)}, NOW)
    assert made.texts[CA_FILE].count("BEGIN") == 1
    assert _pem(old).decode() not in made.texts[BUNDLE_FILE]
    assert "expired at" in made.notes[0]


def test_public_roots_that_are_none_are_refused(authority):
    with pytest.raises(ConfigError, match="public roots"):
        trust_bundle(b"", [authority.root], {}, NOW)


def test_more_than_a_config_map_takes_is_refused(authority, make_authority):
    many = b"".join(_pem(make_authority()) for _ in range(700))
    with pytest.raises(ConfigError, match=f"takes {MAX_CONFIG_MAP_BYTES}"):
        trust_bundle(PUBLIC, [authority.root], {"corporate": many}, NOW)


def test_the_files_of_today_leave_room_in_a_config_map(bundle):
    sizes = [*map(len, bundle.texts.values()), *map(len, bundle.binaries.values())]
    assert sum(sizes) < MAX_CONFIG_MAP_BYTES // 2


@pytest.mark.parametrize("count", [1, 2, 150])
def test_a_store_of_any_size_is_settled_and_passes_its_checksum(count, make_authority):
    roots = [make_authority().root for _ in range(count)]
    made = truststore(roots)
    assert made == truststore(roots)
    assert len(pkcs12.load_pkcs12(made, None).additional_certs) == count


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_finds_the_checksum_right(tmp_path, authority):
    path = tmp_path / "store.p12"
    path.write_bytes(truststore([authority.root]))
    done = subprocess.run(
        ["openssl", "pkcs12", "-in", path, "-passin", "pass:", "-nokeys"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "BEGIN CERTIFICATE" in done.stdout
