"""`remora policy`: what is said of files, and which policy applies."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from remora.cli.main import cli

API = "apiVersion: remora.dev/v1alpha1\n"
POLICY = f"{API}kind: LLMPolicy\nmetadata: {{name: %s}}\nspec: %s\n"
CLUSTER = f"{API}kind: ClusterLLMPolicy\nmetadata: {{name: %s}}\nspec: %s\n"


def _run(*arguments):
    return CliRunner().invoke(cli, ["policy", *map(str, arguments)])


@pytest.fixture
def write(tmp_path):
    def write(name, *documents):
        path = tmp_path / name
        path.write_text("---\n".join(documents))
        return path

    return write


def test_a_good_file_is_0_and_says_so(write):
    ended = _run("validate", write("p.yaml", POLICY % ("p", "{capture: full}")))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "1 file: no problem\n")


def test_every_problem_of_every_file_is_said_with_its_place(write, tmp_path):
    good = write("good.yaml", POLICY % ("p", "{}"))
    bad = write("bad.yaml", POLICY % ("q", "{capture: all, opaque: perhaps}"))
    missing = tmp_path / "missing.yaml"
    ended = _run("validate", good, bad, missing)
    assert ended.exit_code == 1
    assert sorted(ended.stdout.splitlines()) == [
        f"{bad}:4:22 spec.opaque: problem: should be 'allow' or 'block'",
        f"{bad}:4:8 spec.capture: problem: should be 'metadata', 'redacted' or 'full'",
        f"{missing}: problem: can't be read: No such file or directory",
    ]
    assert ended.stderr == "2 files: 3 problems\n"


def test_files_are_checked_together_with_those_of_folders(write, tmp_path):
    one = write("one.yaml", POLICY % ("p", "{}"))
    (tmp_path / "more").mkdir()
    write("more/two.yaml", POLICY % ("p", "{}"))
    ended = _run("validate", one, tmp_path / "more")
    assert ended.exit_code == 1
    assert "stands in" in ended.stdout


def test_warnings_are_shown_and_are_no_problem(write):
    ended = _run("validate", write("p.yaml", POLICY % ("a", "{}"), POLICY % ("b", "{}")))
    assert ended.exit_code == 0
    assert "p.yaml:9:1 spec.priority: warning: may select the same pods" in ended.stdout
    assert ended.stderr == "1 file: 1 warning\n"


def test_json_is_one_object_a_line(write):
    ended = _run("validate", "--json", write("p.yaml", POLICY % ("p", "{capture: all}")))
    assert ended.exit_code == 1
    (line,) = map(json.loads, ended.stdout.splitlines())
    assert line["level"] == "problem"
    assert line["where"].endswith("p.yaml:4:8 spec.capture")
    assert line["what"] == "should be 'metadata', 'redacted' or 'full'"


def test_validate_without_a_file_is_a_wrong_question():
    assert _run("validate").exit_code == 2


def test_the_effective_policy_of_labels_is_shown(write):
    file = write(
        "p.yaml",
        POLICY % ("low", "{capture: full}"),
        POLICY % ("high", "{selector: {matchLabels: {app: a}}, priority: 1, capture: full}"),
        CLUSTER % ("c", "{floors: {capture: metadata, opaque: block}}"),
    )
    ended = _run("show", "--labels", "app=a,tier=x", file)
    shown = YAML(typ="safe").load(ended.stdout)
    assert (shown["name"], shown["source"]) == ("high", "LLMPolicy")
    assert (shown["capture"], shown["opaque"]) == ("metadata", "block")
    assert shown["policy"]["spec"] == {"opaque": "block"}
    assert YAML(typ="safe").load(_run("show", file).stdout)["name"] == "low"


def test_shown_json_is_one_line_with_the_same(write):
    file = write("p.yaml", POLICY % ("p", "{intercept: [openai]}"))
    shown = _run("show", "--json", file).stdout
    assert len(shown.splitlines()) == 1
    assert json.loads(shown) == YAML(typ="safe").load(_run("show", file).stdout)
    assert set(json.loads(shown)) == {
        "name", "source", "version", "notes", "intercept", "capture", "opaque", "includeUsage",
        "policy", "providers",
    }  # fmt: skip


def test_a_tie_is_among_the_notes(write):
    file = write("p.yaml", POLICY % ("a", "{}"), POLICY % ("b", "{}"))
    (note,) = json.loads(_run("show", "--json", file).stdout)["notes"]
    assert note.startswith("Conflicted: LLMPolicy 'b'")


@pytest.mark.parametrize(
    "arguments",
    [["--labels", "app"], ["--labels", "=a"], ["--labels", "app=a"]],
    ids=["no value", "no key", "no file"],
)
def test_a_show_that_makes_no_sense_is_2(arguments, write):
    assert _run("show", *arguments).exit_code == 2


def test_a_file_with_problems_can_not_be_shown(write):
    file = write("p.yaml", POLICY % ("p", "{capture: all}"))
    command = [sys.executable, "-P", "-m", "remora", "policy", "show", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "p.yaml:4:8 spec.capture" in ended.stderr


def test_where_no_sidecar_answers_show_is_3(tmp_path):
    command = [sys.executable, "-P", "-m", "remora", "policy", "show"]
    settings = {"REMORA_DATA_DIR": str(tmp_path), "REMORA_CONTROL_LISTEN": "127.0.0.1:9"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=settings)
    assert ended.returncode == 3
    assert "the sidecar at http://127.0.0.1:9 is not reachable" in ended.stderr
