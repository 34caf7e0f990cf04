import pytest

from remora.workflows.scope import Scope, StepResult
from remora.workflows.templates import (
    ABSENT,
    Reference,
    RenderError,
    parse_template,
    render_all,
    render_text,
)

STEPS = {
    "text": StepResult("completed", "words"),
    "json": StepResult("completed", {"a": [1, {"b": None}]}),
    "off": StepResult("skipped"),
    "lost": StepResult("failed"),
    "stand-in": StepResult("defaulted", "instead"),
}
SCOPE = Scope({"goal": "tea", "n": 2}, STEPS, {"item": {"x": 1}})

FOUND = {
    "{{goal}}": "tea",
    "{{input.n}}": "2",
    "{{item.x}}": "1",
    "{{steps.text.output}}": "words",
    "{{steps.json.outputs.a[0]}}": "1",
    "{{steps.json.output.a.1.b}}": "null",
    "{{steps.off.status}}": "skipped",
    "{{steps.stand-in.output}}": "instead",
}


@pytest.mark.parametrize(("template", "expected"), FOUND.items(), ids=FOUND)
def test_a_reference_has_the_value_that_is_there(template, expected):
    assert render_text(parse_template(template), SCOPE.look_up) == expected


@pytest.mark.parametrize(
    "reference",
    ["input.m", "input.n.x", "steps.text.output.x", "steps.json.outputs.a[7]", "steps.late.output"],
)
def test_a_reference_that_leads_nowhere_fails_and_quotes_nothing(reference):
    with pytest.raises(RenderError) as raised:
        render_text(parse_template(f"{{{{{reference}}}}}"), SCOPE.look_up)
    assert str(raised.value) == f"{reference} has no value"


def test_what_may_be_absent_is_absent_without_failing():
    reference = Reference("input", ("m",))
    assert Scope({}, optional={reference}).look_up(reference) is ABSENT


def test_an_output_of_a_step_that_left_nothing_is_null():
    outputs = {
        "a": parse_template("{{steps.off.output}}"),
        "b": parse_template("{{steps.lost.outputs.x}}"),
    }
    assert render_all(outputs, SCOPE.look_up) == {"a": None, "b": None}


def test_conditions_see_goal_input_and_steps():
    data = SCOPE.data
    assert data["goal"] == "tea"
    assert data["input"] == {"goal": "tea", "n": 2}
    assert data["steps"]["off"] == {"status": "skipped", "output": None, "outputs": {}}


def test_an_input_need_not_be_a_mapping():
    assert Scope([1]).data["goal"] is None
    assert Scope([1]).look_up(Reference("input", (0,))) == 1
