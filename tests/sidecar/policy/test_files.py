"""Policy files that change while the sidecar runs."""

import logging

import pytest

from remora_sidecar.policy_files import PolicyFiles
from remora_sidecar.settings import SidecarSettings


def _policy(name, spec="{}"):
    return (
        "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\n"
        f"metadata: {{name: {name}}}\nspec: {spec}\n"
    )


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "a.yaml").write_text(_policy("first"))
    return folder


@pytest.fixture
def files(folder, tmp_path):
    files = PolicyFiles(SidecarSettings(data_dir=tmp_path / "data", policy=folder))
    assert files.load().name == "first"
    return files


def _settled(files):
    """Look twice: once for the change, once to see that it is over."""
    assert files.changed() is None
    return files.changed()


def test_files_that_say_the_same_change_nothing(files):
    assert files.changed() is None
    assert files.problem == ""


def test_a_changed_file_is_compiled(files, folder):
    (folder / "a.yaml").write_text(_policy("second", "{capture: full}"))
    assert _settled(files).capture == "full"
    assert files.changed() is None


def test_a_new_file_counts(files, folder):
    (folder / "b.yaml").write_text(_policy("more", "{priority: 1}"))
    assert _settled(files).name == "more"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "a.yaml").write_text(_policy("first", "{capture: all}")),
        lambda folder: (folder / "a.yaml").unlink(),
        lambda folder: (folder / "a.yaml").write_bytes(b"\xff"),
    ],
    ids=["a field", "no file", "no text"],
)
def test_what_can_not_be_used_is_said_once_and_the_last_good_policy_stays(
    files, folder, caplog, spoil
):
    spoil(folder)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            assert files.changed() is None
    assert "the last good one stays" in files.problem
    assert len(caplog.records) == 1
    (folder / "a.yaml").write_text(_policy("mended"))
    assert _settled(files).name == "mended"
    assert files.problem == ""


def test_a_file_that_is_put_back_ends_the_problem(files, folder):
    (folder / "a.yaml").write_text("{")
    _settled(files)
    assert files.problem
    (folder / "a.yaml").write_text(_policy("first"))
    assert _settled(files) is None
    assert files.problem == ""


@pytest.mark.parametrize("half", ["", "apiVersion: remora", None], ids=["empty", "half", "gone"])
def test_a_file_that_is_being_written_counts_when_it_is_there(files, folder, half):
    file = folder / "a.yaml"
    file.unlink() if half is None else file.write_text(half)
    assert files.changed() is None
    file.write_text(_policy("second"))
    assert _settled(files).name == "second"
    assert files.problem == ""


def test_without_files_there_is_nothing_to_watch(tmp_path):
    assert not PolicyFiles(SidecarSettings(data_dir=tmp_path)).watchable
