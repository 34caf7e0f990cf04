"""The salt of redaction's digests."""

import pytest

from remora_sidecar.redaction_salt import SALT_FILE, local_salt


def test_a_salt_is_made_once_and_read_by_its_owner_only(tmp_path):
    salt = local_salt(tmp_path)
    assert len(salt) == 32
    assert local_salt(tmp_path) == salt
    assert (tmp_path / SALT_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "nothing of the kind", "é", "00" * 31])
def test_a_damaged_salt_is_made_anew(tmp_path, content):
    (tmp_path / SALT_FILE).write_text(content, "utf-8")
    salt = local_salt(tmp_path)
    assert len(salt) == 32
    assert local_salt(tmp_path) == salt
