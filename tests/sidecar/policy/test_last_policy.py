"""The last good policy, kept for the next start."""

import logging

import pytest

from remora.errors import ConfigError
from remora.policy import effective_policy, load_documents
from remora_sidecar.last_policy import LAST_POLICY_FILE, LastPolicy


def _effective(name="p", spec="{capture: full}"):
    text = (
        "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\n"
        f"metadata: {{name: {name}}}\nspec: {spec}\n"
    )
    return effective_policy(load_documents({"p.yaml": text}), {})


def test_nothing_is_there_at_first(tmp_path):
    assert LastPolicy(tmp_path, "files").read() is None


def test_what_was_kept_is_read_by_the_next_run(tmp_path):
    kept = _effective()
    LastPolicy(tmp_path, "files").keep(kept)
    read = LastPolicy(tmp_path, "files").read()
    assert (read.name, read.version, read.capture) == (kept.name, kept.version, "full")


def test_nobody_else_can_read_it(tmp_path):
    LastPolicy(tmp_path, "files").keep(_effective())
    assert (tmp_path / LAST_POLICY_FILE).stat().st_mode & 0o777 == 0o600


def test_what_came_from_files_is_not_taken_for_the_operators(tmp_path):
    LastPolicy(tmp_path, "files").keep(_effective())
    assert LastPolicy(tmp_path, "operator").read() is None


def test_the_newest_is_kept_and_the_same_again_writes_nothing(tmp_path):
    last = LastPolicy(tmp_path, "files")
    last.keep(_effective("a"))
    last.keep(_effective("b"))
    inode = (tmp_path / LAST_POLICY_FILE).stat().st_ino
    last.keep(_effective("b"))
    assert last.read().name == "b"
    assert (tmp_path / LAST_POLICY_FILE).stat().st_ino == inode


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-1],
        lambda content: content.replace(b"full", b"none"),
        lambda content: b"",
        lambda content: b"\xff" * 100,
        lambda content: content.replace(b"last-policy 1", b"last-policy 2"),
    ],
    ids=["cut", "edited", "empty", "noise", "of another release"],
)
def test_a_damaged_file_is_refused(tmp_path, spoil):
    LastPolicy(tmp_path, "files").keep(_effective())
    file = tmp_path / LAST_POLICY_FILE
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ConfigError):
        LastPolicy(tmp_path, "files").read()


def test_a_disk_that_takes_nothing_is_said_once_and_ends_with_the_next_success(tmp_path, caplog):
    last = LastPolicy(tmp_path / "gone", "files")
    with caplog.at_level(logging.ERROR):
        last.keep(_effective())
        last.keep(_effective())
    assert "not kept for a restart" in last.problem
    assert len(caplog.records) == 1
    (tmp_path / "gone").mkdir()
    last.keep(_effective())
    assert last.problem == ""
