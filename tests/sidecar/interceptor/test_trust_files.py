"""The files by which agents trust the CA."""

import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from remora.clock import SystemClock
from remora.errors import ConfigError
from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE
from remora_sidecar.interceptor.certificates import ROOT_LIFE, make_root
from remora_sidecar.interceptor.trust_files import read_roots, write_trust_files

FILES = {CA_FILE, BUNDLE_FILE, TRUSTSTORE_FILE}


def _root(now: datetime | None = None) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return make_root(key, now or datetime.now(UTC)).public_bytes(Encoding.PEM)


@pytest.fixture
def ours() -> bytes:
    return _root()


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A small system bundle: one root, one that has expired, one block that is broken."""
    bundle = tmp_path / "system.crt"
    expired = _root(datetime.now(UTC) - ROOT_LIFE - timedelta(days=1))
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    bundle.write_bytes(b"# a comment\n" + _root() + expired + broken)
    return bundle


def _write(tmp_path: Path, ours: bytes, public: Path, **more: Path) -> Path:
    folder = tmp_path / "trust"
    write_trust_files(
        folder, ours, SystemClock(), data_dir=tmp_path / "data", system_bundles=[public], **more
    )
    return folder


def test_three_forms_are_written_for_all_to_read_and_no_key_among_them(
    tmp_path, ours, public
) -> None:
    folder = _write(tmp_path, ours, public)

    assert {path.name for path in folder.iterdir()} == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    assert stat.S_IMODE(folder.stat().st_mode) & 0o055 == 0o055
    assert (folder / CA_FILE).read_bytes() == ours
    assert all(b"PRIVATE" not in path.read_bytes() for path in folder.iterdir())


def test_bundle_and_truststore_hold_public_roots_that_still_count_and_ours(
    tmp_path, ours, public
) -> None:
    folder = _write(tmp_path, ours, public)
    bundle = read_roots(folder / BUNDLE_FILE)
    store = pkcs12.load_pkcs12((folder / TRUSTSTORE_FILE).read_bytes(), None)

    assert bundle == (read_roots(public)[0], x509.load_pem_x509_certificate(ours))
    assert {entry.certificate for entry in store.additional_certs} == set(bundle)


def test_extra_roots_are_added(tmp_path, ours, public) -> None:
    extra = tmp_path / "company.pem"
    extra.write_bytes(_root())
    folder = _write(tmp_path, ours, public, extra_roots=extra)

    assert read_roots(extra)[0] in read_roots(folder / BUNDLE_FILE)


def test_writing_again_touches_nothing_that_is_right(tmp_path, ours, public) -> None:
    folder = _write(tmp_path, ours, public)
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    _write(tmp_path, ours, public)

    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before


def test_files_that_were_changed_are_put_right(tmp_path, ours, public) -> None:
    folder = _write(tmp_path, ours, public)
    good = (folder / BUNDLE_FILE).read_bytes()
    (folder / BUNDLE_FILE).write_bytes(b"tampered")
    (folder / TRUSTSTORE_FILE).write_bytes(b"tampered")
    (folder / CA_FILE).unlink()
    (folder / CA_FILE).symlink_to(public)
    _write(tmp_path, ours, public)

    assert (folder / BUNDLE_FILE).read_bytes() == good
    assert not (folder / CA_FILE).is_symlink()
    assert (folder / CA_FILE).read_bytes() == ours
    assert pkcs12.load_pkcs12((folder / TRUSTSTORE_FILE).read_bytes(), None).additional_certs


@pytest.mark.parametrize("data", [".", "data", "a/b"])
def test_a_folder_that_would_show_the_key_is_refused(tmp_path, ours, data) -> None:
    trust = tmp_path / "trust"
    with pytest.raises(ConfigError, match="may not be in it"):
        write_trust_files(trust, ours, SystemClock(), data_dir=trust / data)

    assert not trust.exists()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_extra_roots_that_can_not_be_read_are_a_problem(tmp_path, ours, public, content) -> None:
    extra = tmp_path / "company.pem"
    if content is not None:
        extra.write_bytes(content)

    with pytest.raises(ConfigError, match=r"company\.pem"):
        _write(tmp_path, ours, public, extra_roots=extra)


def test_a_folder_that_can_not_be_written_is_a_problem(tmp_path, ours, public) -> None:
    (tmp_path / "trust").write_text("a file")

    with pytest.raises(ConfigError, match="the trust files can't be written"):
        _write(tmp_path, ours, public)


def test_without_a_system_bundle_the_roots_come_with_the_sidecar(tmp_path, ours) -> None:
    folder = tmp_path / "trust"
    write_trust_files(
        folder, ours, SystemClock(), data_dir=tmp_path / "data", system_bundles=[tmp_path / "none"]
    )

    assert (
        ssl.create_default_context(cafile=str(folder / BUNDLE_FILE)).cert_store_stats()["x509_ca"]
        > 50
    )


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no Java here")
def test_java_reads_the_truststore(tmp_path, ours, public) -> None:
    folder = _write(tmp_path, ours, public)
    store = str(folder / TRUSTSTORE_FILE)
    listed = subprocess.run(
        ["keytool", "-list", "-keystore", store, "-storepass", ""],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert listed.stdout.count("trustedCertEntry") == 2
