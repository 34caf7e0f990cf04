import stat

import pytest

from remora.errors import ConfigError
from remora_sidecar.cache.secret import SECRET_FILE, derive, local_secrets, read_key_file


def test_an_installation_keeps_its_secret(tmp_path):
    first = local_secrets(tmp_path)

    assert local_secrets(tmp_path) == first
    assert stat.S_IMODE((tmp_path / SECRET_FILE).stat().st_mode) == 0o600


def test_a_damaged_secret_is_made_anew(tmp_path):
    first = local_secrets(tmp_path)
    (tmp_path / SECRET_FILE).write_bytes(b"\xff")

    assert local_secrets(tmp_path) != first
    assert local_secrets(tmp_path) == local_secrets(tmp_path)


def test_a_key_file_gives_the_same_secrets_everywhere(tmp_path):
    for name, end in (("a", "\n"), ("b", "")):
        (tmp_path / name).write_text("k" * 40 + end)

    assert read_key_file(tmp_path / "a") == read_key_file(tmp_path / "b") == derive(b"k" * 40)


def test_its_secrets_differ_by_use_and_are_never_shown():
    secrets = derive(b"k" * 40)

    assert secrets.fingerprints != secrets.values
    assert len(secrets.fingerprints) == len(secrets.values) == 32
    assert "k" not in repr(secrets).replace("Cache", "").replace("Secrets", "")


@pytest.mark.parametrize("content", [None, b"", b"short", b" " * 40])
def test_a_key_file_that_holds_no_secret_is_refused(tmp_path, content):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match="REMORA_CACHE_KEY_FILE"):
        read_key_file(path)
