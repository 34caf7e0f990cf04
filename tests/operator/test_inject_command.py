"""`remora inject`: what it prints, what it says, how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from remora.cli.main import _guarded
from remora.errors import ConfigError
from remora_operator.commands.inject import command
from remora_operator.commands.manifest import read_manifest

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: agent, labels: {remora.dev/inject: "true"}}
spec: {containers: [{name: app, image: x}]}
"""
HOSTILE = POD.replace("image: x", "image: x, securityContext: {runAsUser: 1500}")
OTHER = "# a comment\napiVersion: v1\nkind: ConfigMap\ndata: {a: 'yes', b: 0644, c: no}\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _run(text, *arguments, **files):
    """Run the command on text from standard input; files are written beside it."""
    for name, content in files.items():
        Path(f"{name}.yaml").write_text(content)
    return CliRunner().invoke(command, ["-f", "-", *arguments], input=text)


def _values(text):
    return [document.value for document in read_manifest("out", text)]


def test_documents_without_pods_pass_letter_by_letter():
    text = f"{OTHER}---\n{OTHER}"
    ran = _run(text)
    assert (ran.exit_code, ran.stdout) == (0, text)
    assert "no pod" in ran.stderr


def test_what_stands_around_an_injected_document_passes_letter_by_letter():
    ran = _run(f"{OTHER}---\n{POD}---\n{OTHER}")

    assert ran.stdout.startswith(OTHER)
    assert ran.stdout.endswith(f"---\n{OTHER}")
    assert [v["kind"] for v in _values(ran.stdout)] == ["ConfigMap", "Pod", "ConfigMap"]
    assert "stdin:6 Pod/agent: injected, transparent mode" in ran.stderr


def test_a_refused_pod_prints_nothing_at_all():
    ran = _run(f"{POD}---\n{HOSTILE}")

    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "refused: container app: runs as user 1500" in ran.stderr


def test_a_skipped_pod_passes_and_is_said():
    text = POD.replace('"true"', '"false"')
    ran = _run(text)
    assert (ran.exit_code, ran.stdout) == (0, text)
    assert "skipped: the pod has the label" in ran.stderr


def test_the_patch_of_each_object_is_printed_instead():
    cron = (
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c, namespace: team}\n"
        "spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a}]}}}}}\n"
    )
    ran = _run(
        f"{OTHER}---\n{POD}---\n{cron}",
        "--dry-run=patch",
        "--namespace-labels",
        "remora.dev/injection=enabled",
    )
    pod, job = (json.loads(line) for line in ran.stdout.splitlines())

    assert (pod["kind"], pod["name"]) == ("Pod", "agent")
    assert {o["path"].split("/")[1] for o in pod["patch"]} == {"metadata", "spec"}
    assert (job["kind"], job["name"], job["namespace"]) == ("CronJob", "c", "team")
    template = "/spec/jobTemplate/spec/template"
    assert all(o["path"].startswith(f"{template}/") for o in job["patch"])
    added = {o["path"]: o["value"] for o in job["patch"]}
    assert added[f"{template}/metadata"].keys() == {"annotations"}


@pytest.mark.parametrize(
    ("arguments", "injected"),
    [
        ([], False),
        (["--namespace-labels", "remora.dev/injection=enabled"], True),
        (["--namespace-labels", "remora.dev/injection=enabled", "-n", "kube-system"], False),
    ],
    ids=["nothing known", "enabled", "enabled and excluded"],
)
def test_namespaces_are_as_the_options_say(arguments, injected):
    ran = _run(POD.replace(', labels: {remora.dev/inject: "true"}', ""), *arguments)
    assert (": injected" in ran.stderr) == injected


def test_a_namespace_among_the_manifests_says_more_than_options():
    space = "kind: Namespace\nmetadata: {name: a, labels: {remora.dev/injection: disabled}}\n"
    text = f"{space}---\n{POD.replace('name: agent', 'name: agent, namespace: a')}"
    ran = _run(text, "--namespace-labels", "remora.dev/injection=enabled")
    assert "skipped: namespace a has the label" in ran.stderr


def test_options_choose_mode_and_configuration():
    ran = _run(POD, "--mode", "explicit", "--config", "c.yaml", c="image: mine:1")
    [pod] = _values(ran.stdout)
    [sidecar] = pod["spec"]["initContainers"]
    assert sidecar["image"] == "mine:1"


def test_a_label_on_the_wrong_object_is_said():
    deployment = (
        'kind: Deployment\nmetadata: {name: d, labels: {remora.dev/inject: "true"}}\n'
        "spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a}]}}}\n"
    )
    ran = _run(deployment)
    assert "warning: the label remora.dev/inject stands on the Deployment" in ran.stderr
    assert "spec.template.metadata.labels" in ran.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "files", "problem"),
    [
        pytest.param("a: [", [], {}, "stdin:1:5: not YAML", id="manifest"),
        pytest.param("a: 1\na: 2", [], {}, "stdin:2:1: a stands twice", id="key twice"),
        pytest.param("a: !!binary x", [], {}, "tag:yaml.org,2002:binary", id="tag"),
        pytest.param("&a [*a]", [], {}, "too deep", id="a list in itself"),
        pytest.param(POD, ["--config", "c.yaml"], {"c": "mod: x"}, "c.yaml:1:1", id="config"),
        pytest.param(POD, ["--config", "none.yaml"], {}, "none.yaml: No such", id="no config"),
        pytest.param(POD, ["--policy", "p.yaml"], {"p": "kind: X"}, "p.yaml", id="policy"),
    ],
)
def test_what_can_not_be_read_is_said_with_its_place(text, arguments, files, problem, capsys):
    ran = _run(text, *arguments, **files)

    assert isinstance(ran.exception, ConfigError)
    assert ran.stdout == ""

    def again():
        raise ran.exception

    assert _guarded(again) == 2
    assert problem in capsys.readouterr().err


def test_json_comes_out_as_json():
    given = json.dumps(_values(POD)[0])
    ran = _run(given)
    assert json.loads(ran.stdout)["spec"]["initContainers"]


def test_several_files_make_one_stream():
    for name, text in {"a": OTHER.rstrip("\n"), "b": POD, "c": OTHER}.items():
        Path(name).write_text(text)
    ran = CliRunner().invoke(command, ["-f", "a", "-f", "b", "-f", "c"])
    assert [v["kind"] for v in _values(ran.stdout)] == ["ConfigMap", "Pod", "ConfigMap"]
