"""The folder that one sidecar owns alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from remora.errors import ConfigError
from remora.local_sidecar.addresses import ADDRESSES_FILE, Addresses, read_addresses
from remora_sidecar.addresses_file import write_addresses
from remora_sidecar.atomic_file import write_atomically
from remora_sidecar.data_directory import DataDirectory, read_token

ADDRESSES = Addresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "/trust", "/data")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_start_makes_what_is_needed_and_nobody_else_may_read_it(tmp_path) -> None:
    with DataDirectory.open(tmp_path / "a" / "data") as data:
        assert _mode(data.path) == 0o700
        assert len(data.installation_id) == 32
        assert data.admin_token == data.admin_token_file.read_text().strip()
        assert {_mode(file) for file in data.path.iterdir()} == {0o600}
        assert data.admin_token not in repr(data)


def test_a_later_start_finds_the_same_identity_and_token(tmp_path) -> None:
    with DataDirectory.open(tmp_path) as first:
        pass
    with DataDirectory.open(tmp_path) as second:
        assert second.installation_id == first.installation_id
        assert second.admin_token == first.admin_token


def test_a_second_sidecar_is_refused_and_told_who_holds_the_folder(tmp_path) -> None:
    with DataDirectory.open(tmp_path), pytest.raises(ConfigError) as raised:
        DataDirectory.open(tmp_path)

    (problem,) = raised.value.problems
    assert problem.where == str(tmp_path)
    assert f"process {os.getpid()}" in problem.what
    assert "REMORA_DATA_DIR" in problem.what


def test_a_killed_sidecar_leaves_the_folder_free_and_clean(tmp_path) -> None:
    program = (
        "import os, signal, pathlib, sys\n"
        "from remora_sidecar.data_directory import DataDirectory\n"
        "data = DataDirectory.open(pathlib.Path(sys.argv[1]))\n"
        "(data.path / '.new-half.tmp').write_text('half a file')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30)

    with DataDirectory.open(tmp_path) as data:
        assert list(data.path.glob(".new-*")) == []


def test_permissions_that_were_opened_are_closed_again(tmp_path) -> None:
    with DataDirectory.open(tmp_path) as data:
        data.admin_token_file.chmod(0o644)
        data.path.chmod(0o755)
    with DataDirectory.open(tmp_path) as data:
        assert _mode(data.admin_token_file) == 0o600
        assert _mode(data.path) == 0o700


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("installation-id", b"not an id"),
        ("installation-id", b"\xff\xfe"),
        ("admin-token", b"short"),
        ("admin-token", b"two words in one token"),
        ("admin-token", b"\xff" * 20),
        ("admin-token", b""),
    ],
)
def test_a_damaged_file_is_named_and_the_folder_let_go(tmp_path, file, content) -> None:
    with DataDirectory.open(tmp_path) as data:
        (data.path / file).write_bytes(content)
    for _ in range(2):
        with pytest.raises(ConfigError, match=file):
            DataDirectory.open(tmp_path)


def test_a_folder_that_is_a_file_is_a_problem(tmp_path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(ConfigError, match="can't be used as the sidecar's data"):
        DataDirectory.open(tmp_path / "file")


def test_a_lock_that_is_a_link_is_not_followed(tmp_path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").symlink_to(victim)

    with pytest.raises(ConfigError):
        DataDirectory.open(tmp_path / "data")
    assert victim.read_text() == "precious"


def test_a_token_file_that_is_missing_is_a_problem(tmp_path) -> None:
    with pytest.raises(ConfigError, match="none"):
        read_token(tmp_path / "none")


def test_the_addresses_are_found_again(tmp_path) -> None:
    write_addresses(tmp_path, ADDRESSES)

    assert read_addresses(tmp_path) == ADDRESSES
    assert _mode(tmp_path / ADDRESSES_FILE) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"proxy": "x"}', b'{"other": 1}', b"\xff\xfe"]
)
def test_addresses_that_can_not_be_read_are_none(tmp_path, content) -> None:
    (tmp_path / ADDRESSES_FILE).write_bytes(content)

    assert read_addresses(tmp_path) is None


def test_a_folder_without_addresses_tells_none(tmp_path) -> None:
    assert read_addresses(tmp_path / "nowhere") is None


def test_a_file_that_can_not_be_replaced_stays_as_it_was(tmp_path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"new", mode=0o600)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]
