"""The policy that a sidecar starts with."""

import logging

import pytest

from remora.errors import ConfigError
from remora_sidecar.assembly import load_policy
from remora_sidecar.settings import SidecarSettings


def _policy(name, spec="{}"):
    return (
        "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\n"
        f"metadata: {{name: {name}}}\nspec: {spec}\n"
    )


def _settings(tmp_path, files, **changed):
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return SidecarSettings(data_dir=tmp_path / "data", policy=folder, **changed)


def test_without_a_policy_setting_the_default_applies(tmp_path):
    assert load_policy(SidecarSettings(data_dir=tmp_path)).name == "default"


def test_the_labels_of_the_sidecar_choose_its_policy(tmp_path):
    selected = "{selector: {matchLabels: {app: mine}}, capture: full}"
    files = {"a.yaml": _policy("a", selected), "b.yaml": _policy("b", "{priority: -1}")}
    settings = _settings(tmp_path, files, labels={"app": "mine"})
    assert load_policy(settings).name == "a"
    assert load_policy(settings.model_copy(update={"labels": {}})).name == "b"


def test_policies_that_conflict_are_named_when_the_sidecar_starts(tmp_path, caplog):
    files = {"a.yaml": _policy("a"), "b.yaml": _policy("b")}
    with caplog.at_level(logging.WARNING):
        assert load_policy(_settings(tmp_path, files)).name == "a"
    assert [record.getMessage() for record in caplog.records] == [
        "Conflicted: LLMPolicy 'b' matches with the same priority 0 as 'a', "
        "which applies as the first by name"
    ]


def test_a_sidecar_does_not_start_on_half_a_policy(tmp_path):
    files = {"a.yaml": _policy("a"), "b.yaml": _policy("b", "{capture: all}")}
    with pytest.raises(ConfigError, match=r"b\.yaml:4:8 spec\.capture"):
        load_policy(_settings(tmp_path, files))
