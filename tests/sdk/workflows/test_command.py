"""`remora workflow`: files checked, workflows drawn and listed."""

import json

import pytest
from click.testing import CliRunner

from remora.cli.main import cli
from remora.workflows import TEMPLATES

GOOD = "name: good\nsteps:\n- {id: a, prompt: 'About {{goal}}'}\n"
BAD = "name: bad\nsteps:\n- {id: a, prompt: '{{steps.b.output}}', tier: quick}\n"
ODD = GOOD + "- {id: b, prompt: x}\noutputs: {r: '{{steps.a.output}}'}\n"


def _run(*arguments):
    return CliRunner().invoke(cli, ["workflow", *map(str, arguments)])


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_good_file_is_0_and_says_so(write):
    ended = _run("validate", write("g.yaml", GOOD))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "1 file: no problem\n")


def test_every_problem_of_every_file_is_said_with_its_place(write, tmp_path):
    bad, gone = write("b.yaml", BAD), tmp_path / "gone.yaml"
    ended = _run("validate", write("g.yaml", GOOD), bad, gone)
    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        f"{bad}:3:41 steps[0].tier: problem: should be 'fast', 'balanced' or 'high'",
        f"{bad}:3:11 steps[0].prompt: problem: steps.b.output: there is no step 'b'; known are a",
        f"{gone}: problem: can't be read: No such file or directory",
    ]
    assert ended.stderr == "3 files: 3 problems\n"


def test_a_file_that_is_no_text_is_a_problem(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    ended = _run("validate", tmp_path / "x.yaml")
    assert ended.exit_code == 1
    assert "no UTF-8 text" in ended.stdout


def test_warnings_are_shown_and_are_no_problem(write):
    ended = _run("validate", write("o.yaml", ODD))
    assert ended.exit_code == 0
    assert "warning: no output needs step 'b'" in ended.stdout
    assert ended.stderr == "1 file: 1 warning\n"


def test_programs_get_a_line_of_json_for_each(write):
    ended = _run("validate", "--json", write("b.yaml", BAD))
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {line["level"] for line in lines} == {"problem"}
    assert len(lines) == 2


def test_capabilities_are_checked_against_the_catalogue(write):
    text = "name: n\nsteps: [{id: a, prompt: x, capabilities: [embeddings]}]\n"
    ended = _run("validate", write("c.yaml", text))
    assert "no candidate: lacks embeddings" in ended.stdout


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_workflow_of_the_package_is_drawn_whole(name):
    ended = _run("graph", name)
    assert ended.exit_code == 0
    from remora.workflows import shipped_workflow

    for step_id in shipped_workflow(name).steps:
        assert f"─ {step_id} ─" in ended.stdout


def test_a_drawing_shows_levels_conditions_and_strategies(write):
    text = (
        "name: n\nsteps:\n- {id: a, prompt: x, tier: fast}\n"
        "- {id: b, prompt: '{{steps.a.output}}', strategy: {kind: parallel, n: 3},\n"
        "   condition: {'>': [{var: input.n}, 3]}, on_failure: skip}\n"
        "- {id: c, map: {over: '{{input.l}}'}, prompt: x, model: gpt-4o, output: json}\n"
    )
    drawn = _run("graph", write("n.yaml", text)).stdout
    assert "n  3 steps, 2 levels" in drawn
    assert "balanced, parallel of 3, on failure: skip" in drawn
    assert "after a" in drawn
    assert 'if {">": [{"var": "input.n"}, 3]}' in drawn
    assert "gpt-4o, json, for each of input.l" in drawn
    assert drawn.index("─ a ─") < drawn.index("▼") < drawn.index("─ b ─")


@pytest.mark.parametrize(("form", "begin"), [("mermaid", "flowchart TD"), ("dot", "digraph")])
def test_other_programs_get_text_to_draw_from(form, begin):
    ended = _run("graph", "code", "--format", form)
    assert ended.stdout.startswith(begin)


def test_a_file_with_problems_is_not_drawn(write):
    ended = _run("graph", write("b.yaml", BAD))
    assert "there is no step 'b'" in str(ended.exception)


def test_what_is_neither_file_nor_workflow_is_said():
    ended = _run("graph", "nothing")
    assert ended.exit_code == 2
    assert "neither a file nor a workflow" in ended.output


def test_the_list_names_every_workflow_with_what_it_gives():
    listed = _run("list").stdout
    for name in TEMPLATES:
        assert f"\n{name} " in listed
    assert "summary, citations" in listed


def test_the_list_is_there_for_programs():
    listed = [json.loads(line) for line in _run("list", "--json").stdout.splitlines()]
    assert [entry["name"] for entry in listed] == list(TEMPLATES)
    assert listed[0]["outputs"] == ["summary", "citations"]
    assert listed[0]["input"]["required"] == ["goal"]
