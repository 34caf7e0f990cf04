"""What a cluster's own root may lack."""

import ssl

import pytest

from remora.cluster_tls import cluster_context
from remora.testing.loose_root import ROOT_FILE, shake_hands, write_loose_certificates


async def test_a_root_without_key_usage_is_trusted(tmp_path):
    write_loose_certificates(tmp_path)
    await shake_hands(tmp_path, cluster_context(tmp_path / ROOT_FILE))


async def test_a_stranger_is_not(tmp_path):
    for name in ("ours", "other"):
        (tmp_path / name).mkdir()
        write_loose_certificates(tmp_path / name)
    with pytest.raises(ssl.SSLCertVerificationError):
        await shake_hands(tmp_path / "ours", cluster_context(tmp_path / "other" / ROOT_FILE))


def test_what_holds_no_root_is_said(tmp_path):
    (tmp_path / "none.crt").write_text("nothing")
    with pytest.raises(OSError, match=r".+"):
        cluster_context(tmp_path / "none.crt")
