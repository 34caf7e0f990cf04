"""Policy files that change while the sidecar runs."""

import asyncio
import contextlib
import logging
import os

import pytest

from remora.errors import ConfigError
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.policy_files import LOOK_EVERY_S, LOOKS_AT_REST, PolicyFiles
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
    """Look until a change is over: once to see it, and as often as it has to rest."""
    for _ in range(LOOKS_AT_REST):
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
        for _ in range(LOOKS_AT_REST + 3):
            assert files.changed() is None
    assert "the last good one stays" in files.problem
    assert len(caplog.records) == files.refused_total == 1
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
    for _ in range(LOOKS_AT_REST):
        assert files.changed() is None
    file.write_text(_policy("second"))
    assert _settled(files).name == "second"
    assert files.problem == ""


def test_a_file_that_never_rests_is_never_read(files, folder, monkeypatch):
    monkeypatch.setattr(files, "_read", lambda: pytest.fail("read a file that is being written"))
    for number in range(20):
        (folder / "a.yaml").write_text(_policy("second") + "#" * number)
        assert files.changed() is None


def test_a_write_between_look_and_read_is_waited_for(files, folder, monkeypatch):
    file, read = folder / "a.yaml", files._read

    def overtaken():
        texts = read()
        file.write_text(_policy("third", "{capture: full}"))
        return texts

    file.write_text(_policy("second"))
    monkeypatch.setattr(files, "_read", overtaken)
    assert _settled(files) is None
    monkeypatch.setattr(files, "_read", read)
    assert _settled(files).name == "third"


@pytest.mark.parametrize("emptied", ["", "# rules to come\n", "---\n"], ids=repr)
def test_files_that_came_to_hold_nothing_lift_no_rule(files, folder, emptied):
    (folder / "a.yaml").write_text(emptied)
    assert _settled(files) is None
    assert "no document is left" in files.problem


def test_files_that_stood_empty_at_the_start_may_stay_so(folder, tmp_path):
    (folder / "a.yaml").write_text("")
    files = PolicyFiles(SidecarSettings(data_dir=tmp_path / "data", policy=folder))
    assert files.load().name == "default"
    (folder / "a.yaml").write_text("# still nothing\n")
    assert _settled(files).name == "default"


def test_a_file_of_the_same_size_and_time_counts_as_changed(files, folder):
    file = folder / "a.yaml"
    seen = file.stat()
    beside = folder / ".a.new"
    beside.write_text(_policy("other"))
    os.utime(beside, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert beside.stat().st_size == seen.st_size
    beside.replace(file)
    assert _settled(files).name == "other"


def test_an_unreadable_file_is_tried_again_without_a_change(files, folder, monkeypatch):
    def unreadable():
        raise ConfigError([])

    read = files._read
    (folder / "a.yaml").write_text(_policy("second"))
    monkeypatch.setattr(files, "_read", unreadable)
    assert _settled(files) is None
    assert files.problem
    monkeypatch.setattr(files, "_read", read)
    assert files.changed().name == "second"
    assert files.problem == ""


class ConfigMap:
    """A folder as the kubelet mounts a ConfigMap, and as it swaps one for the next."""

    def __init__(self, folder):  # noqa: D107
        self.folder = folder
        folder.mkdir()
        self._number = 0

    def put(self, **texts):
        self._number += 1
        data = self.folder / f"..2026_{self._number}"
        data.mkdir()
        for name, text in texts.items():
            (data / f"{name}.yaml").write_text(text)
        swapped = self.folder / "..data_tmp"
        swapped.symlink_to(data.name)
        swapped.replace(self.folder / "..data")
        self._name(texts)

    def _name(self, texts):
        for name in texts:
            link = self.folder / f"{name}.yaml"
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}.yaml")
        for link in self.folder.glob("*.yaml"):
            if link.stem not in texts:
                link.unlink()


def test_a_config_map_that_is_swapped_is_compiled(tmp_path):
    mounted = ConfigMap(tmp_path / "mounted")
    mounted.put(a=_policy("first"))
    files = PolicyFiles(SidecarSettings(data_dir=tmp_path / "data", policy=mounted.folder))
    assert files.load().name == "first"
    mounted.put(a=_policy("other"))
    assert _settled(files).name == "other"
    mounted.put(b=_policy("moved"))
    assert _settled(files).name == "moved"
    mounted.put(b=_policy("moved"))
    assert _settled(files) is None
    assert files.problem == ""


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.149], ids=str)
def test_a_change_is_in_force_within_a_second(files, folder, after_s):
    async def watched():
        loop, taken = asyncio.get_running_loop(), asyncio.Event()

        async def apply(snapshot):
            assert snapshot.name == "second"
            taken.set()

        watching = loop.create_task(files.watch(apply))
        await asyncio.sleep(7 * LOOK_EVERY_S + after_s)
        (folder / "a.yaml").write_text(_policy("second"))
        saved_s = loop.time()
        await taken.wait()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        return loop.time() - saved_s

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(watched()) <= 0.46  # the rest is for compiling it


def test_without_files_there_is_nothing_to_watch(tmp_path):
    assert not PolicyFiles(SidecarSettings(data_dir=tmp_path)).watchable
