"""Policy files on disk, as people and Kubernetes lay them."""

import os
from pathlib import Path

import pytest

from remora.errors import ConfigError
from remora.policy import read_policy_files


def test_a_file_is_read(tmp_path):
    file = tmp_path / "any.name"
    file.write_text("a: 1")
    assert read_policy_files(file) == {str(file): "a: 1"}


def test_a_folders_yaml_is_read_in_order_and_nothing_else(tmp_path):
    for name in ("b.yaml", "a.yml", ".hidden.yaml", "notes.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.yaml").write_text("")
    assert list(read_policy_files(tmp_path).values()) == ["a.yml", "b.yaml"]


def test_a_mounted_config_map_is_read_once(tmp_path):
    real = tmp_path / "..2026_11_21"
    real.mkdir()
    (real / "policy.yaml").write_text("a: 1")
    (tmp_path / "..data").symlink_to(real.name)
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    assert list(read_policy_files(tmp_path).values()) == ["a: 1"]


def test_what_can_not_be_read_is_said_all_at_once(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.yaml").symlink_to("nowhere")
    with pytest.raises(ConfigError) as refusal:
        read_policy_files(tmp_path)
    said = {problem.where.rpartition("/")[2]: problem.what for problem in refusal.value.problems}
    assert said["a.yaml"] == "is not UTF-8 text"
    assert said["b.yaml"].startswith("can't be read")


@pytest.mark.parametrize("name", ["missing.yaml", "empty"], ids=["missing", "empty folder"])
def test_nothing_to_read_is_a_problem(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=name):
        read_policy_files(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read_into_memory(tmp_path):
    file = tmp_path / "large.yaml"
    with file.open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(ConfigError, match="larger"):
        read_policy_files(file)


def test_a_pipe_in_a_folder_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml: is not a regular file"):
        read_policy_files(tmp_path)


def test_a_pipe_that_is_named_is_read(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, b"a: 1")
    os.close(writer)
    try:
        texts = read_policy_files(Path(f"/dev/fd/{reader}"))
    finally:
        os.close(reader)
    assert list(texts.values()) == ["a: 1"]
