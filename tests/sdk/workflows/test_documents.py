"""Workflows as documents: what is read, and that every problem is said at once, with its place."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora.workflows import given_workflow, read_workflow
from remora.workflows.templates import Template

INLINE = {
    "name": "two",
    "steps": [
        {"id": "plan", "prompt": "Plan {{goal}}", "tier": "fast"},
        {
            "id": "act",
            "prompt": "Do: {{steps.plan.output}}",
            "tier": "high",
            "strategy": "speculative",
            "capabilities": [{"kind": "reasoning", "required": False}],
            "condition": {"!!": [{"var": "goal"}]},
            "budget": {"max_cost_usd": 0.1},
        },
    ],
    "outputs": {"result": "{{steps.act.output}}"},
}


def test_an_inline_dag_of_the_original_is_taken_as_it_stands():
    compiled = given_workflow(INLINE)
    assert compiled.graph.levels == (("plan",), ("act",))
    assert compiled.steps["act"].step.strategy.kind == "speculative"
    assert compiled.workflow.step("act").budget.max_cost_usd == Decimal("0.1")


def test_a_dependency_follows_from_a_template_alone():
    compiled = given_workflow(INLINE)
    assert compiled.graph.dependencies["act"] == {"plan"}


EVERYTHING_WRONG = """\
name: wrong
inputs: {}
steps:
- id: a
  prompt: "{{steps.b.output}} {{input.z}}"
  tier: fastt
- id: b
  prompt: "{{steps.c.output.x}} {{nope}}"
  depends_on: [q]
- id: c
  prompt: "{{steps.b.output}}"
  output: {type: json, schema: {type: objec}}
- id: c
  prompt: again
- id: m
  map: {over: "x {{goal}}"}
  prompt: "{{item}} {{#if}}"
  condition: {vr: 1}
  default: 3
outputs:
  r: "{{steps.do.output}}"
budget: {on_exceed: perhaps}
"""


SAID = """\
w.yaml:12:33 steps[2].output.schema.type: should be one of array, boolean, integer, null, number, \
object, string, or a list of them
w.yaml:13:3 steps[3].id: 'c' stands twice
w.yaml:16:9 steps[4].map.over: should be one reference to a list, and nothing else
w.yaml:17:3 steps[4].prompt: at character 10: between '{{' and '}}' should stand a reference such \
as input.topic or steps.plan.output; write '\\{{' for the braces themselves
w.yaml:18:3 steps[4].condition: unknown operator `vr`; did you mean `var`?
w.yaml:19:3 steps[4].default: should be text, as the step's output is
w.yaml:21:3 outputs.r: steps.do.output: there is no step 'do'; known are a, b, c, m
w.yaml:22:10 budget.on_exceed: should be 'block', 'downgrade' or 'warn'
w.yaml:2:1 inputs: unknown field; did you mean 'input'?
w.yaml:6:3 steps[0].tier: should be 'fast', 'balanced' or 'high'
w.yaml:7:3 steps[1].id: waits for itself: b -> c -> b
w.yaml:8:3 steps[1].prompt: nope: 'nope' is not known here; known are goal, input, steps
w.yaml:9:16 steps[1].depends_on[0]: there is no step 'q'; known are a, b, c, m
"""


def test_every_problem_is_said_at_once_with_line_and_path():
    with pytest.raises(ConfigError) as raised:
        read_workflow(EVERYTHING_WRONG, "w.yaml")
    assert sorted(map(str, raised.value.problems)) == SAID.splitlines()


FIELDS = {
    "no question": ({"id": "a", "prompt": None}, "either prompt or messages"),
    "two questions": (
        {"id": "a", "prompt": "x", "messages": [{"role": "user", "content": "y"}]},
        "either prompt or messages",
    ),
    "the assistant last": (
        {"id": "a", "messages": [{"role": "assistant", "content": "y"}]},
        "the last one should be the user's",
    ),
    "an id with a point": ({"id": "a.b"}, "pattern"),
    "an unknown field": ({"id": "a", "tear": "fast"}, "did you mean 'tier'"),
    "an unknown capability": ({"id": "a", "capabilities": ["flying"]}, "capabilities[0].kind"),
    "a number for text": ({"id": "a", "prompt": 3}, "should be text"),
    "text for a number": ({"id": "a", "max_tokens": "10"}, "max_tokens"),
    "no tokens": ({"id": "a", "max_tokens": 0}, "max_tokens"),
    "no time": ({"id": "a", "timeout": "0s"}, "timeout: should be more than 0"),
    "a default that is missing": ({"id": "a", "on_failure": "default"}, "no default is given"),
    "an own parameter": ({"id": "a", "parameters": {"model": "x"}}, "can't be given here"),
    "an item called input": (
        {"id": "a", "map": {"over": "{{input.l}}", "as": "input"}},
        "has a meaning already",
    ),
    "a schema of text": (
        {"id": "a", "output": {"type": "text", "schema": {}}},
        "only of type json",
    ),
    "an empty budget": ({"id": "a", "budget": {"on_exceed": "warn"}}, "names no limit"),
    "a negative budget": ({"id": "a", "budget": {"max_cost_usd": -1}}, "budget.max_cost_usd"),
    "a condition of text": ({"id": "a", "condition": "steps.a.ok"}, "JSONLogic"),
    "options of another strategy": (
        {"id": "a", "strategy": {"kind": "single", "n": 2}},
        "n: not of strategy single",
    ),
    "a quorum of too many": (
        {"id": "a", "strategy": {"kind": "parallel", "n": 2, "quorum": 3}},
        "can't come from 2 answers",
    ),
    "two ways to decide": (
        {"id": "a", "strategy": {"kind": "parallel", "quorum": 2, "best": {}}},
        "only one of them can decide",
    ),
    "a threshold of equality": (
        {
            "id": "a",
            "strategy": {"kind": "speculative", "agreement": {"kind": "equal", "threshold": 0.5}},
        },
        "of kind similar only",
    ),
    "a check without what it checks": ({"id": "a", "checks": [{"kind": "cel"}]}, "expression"),
    "a check of two kinds": (
        {"id": "a", "checks": [{"kind": "length", "expression": "true"}]},
        "nothing else",
    ),
    "a CEL text that is none": (
        {"id": "a", "checks": [{"kind": "cel", "expression": "output +"}]},
        "checks[0].expression",
    ),
    "a CEL variable of policies": (
        {"id": "a", "checks": [{"kind": "cel", "expression": "pod.name == 'x'"}]},
        "variables are input, output and text",
    ),
    "a schema check of text": (
        {"id": "a", "checks": [{"kind": "schema", "schema": {}}]},
        "say output: json",
    ),
    "a default of the wrong type": (
        {"id": "a", "output": {"schema": {"type": "array"}}, "default": {}},
        "steps[0].default: should be array",
    ),
    "itself": ({"id": "a", "depends_on": ["a"]}, "waits for itself: a -> a"),
}


@pytest.mark.parametrize(("step", "said"), FIELDS.values(), ids=FIELDS)
def test_a_step_that_makes_no_sense_is_refused(problems, step, said):
    found = problems(step)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("value", [None, [], "x", 3], ids=repr)
def test_what_is_no_mapping_is_refused(value):
    with pytest.raises(ConfigError, match="should be a mapping"):
        given_workflow(value)


@pytest.mark.parametrize("text", ["", "---\n---\n", "a: 1\n---\nb: 2\n", "{", "- 1\n"])
def test_what_holds_no_workflow_is_refused(text):
    with pytest.raises(ConfigError):
        read_workflow(text, "w.yaml")


def test_json_is_read_as_well_as_yaml():
    text = '{"name": "j", "steps": [{"id": "a", "prompt": "x", "top_p": 0.5}]}'
    assert read_workflow(text, "w.json").workflow.steps[0].top_p == 0.5


def test_shorthands_mean_what_they_are_short_for(compiled):
    short = compiled(
        {"id": "a", "output": "json", "strategy": "single", "capabilities": ["vision"]}
    )
    long = compiled(
        {
            "id": "a",
            "output": {"type": "json"},
            "strategy": {"kind": "single"},
            "capabilities": [{"kind": "vision", "required": True}],
        }
    )
    assert short.workflow == long.workflow


@pytest.mark.parametrize("written", [0.25, "0.25", Decimal("0.25")], ids=repr)
def test_money_is_exact_however_it_is_written(compiled, written):
    budget = compiled({"id": "a"}, budget={"max_cost_usd": written}).workflow.budget
    assert budget.max_cost_usd == Decimal("0.25")


def test_a_small_number_is_money_too(compiled):
    budget = compiled({"id": "a"}, budget={"max_cost_usd": 1e-7}).workflow.budget
    assert budget.max_cost_usd == Decimal("0.0000001")


def test_stop_is_another_word_for_block(compiled):
    budget = compiled({"id": "a"}, budget={"max_tokens": 5, "on_exceed": "stop"}).workflow.budget
    assert budget.on_exceed == "block"


def test_the_digest_is_that_of_what_is_written_not_of_how(compiled):
    text = "name: test\nsteps: [{prompt: Go on., id: a}]\n"
    assert read_workflow(text, "w.yaml").digest == compiled({"id": "a"}).digest
    assert compiled({"id": "b"}).digest != compiled({"id": "a"}).digest


def test_without_outputs_the_last_steps_answers_are_given(compiled):
    made = compiled({"id": "a"}, {"id": "b", "prompt": "{{steps.a.output}}"}, {"id": "c"})
    assert {name: str(value) for name, value in made.outputs.items()} == {
        "c": "{{steps.c.output}}",
        "b": "{{steps.b.output}}",
    }


def test_outputs_may_be_values_with_templates_in_them(compiled):
    made = compiled({"id": "a"}, outputs={"r": {"text": "{{steps.a.output}}", "n": [1, "x"]}})
    assert isinstance(made.outputs["r"]["text"], Template)


WARNED = {
    "a step that no output needs": (
        [{"id": "a"}, {"id": "b"}],
        {"outputs": {"r": "{{steps.a.output}}"}},
        "steps[1].id: no output needs step 'b'",
    ),
    "a condition that never holds": (
        [{"id": "a", "condition": {"==": [1, 2]}}],
        {},
        "steps[0].condition: never holds",
    ),
    "a condition that always holds": ([{"id": "a", "condition": True}], {}, "always holds"),
}


@pytest.mark.parametrize(("steps", "fields", "said"), WARNED.values(), ids=WARNED)
def test_what_was_hardly_meant_is_a_warning(compiled, steps, fields, said):
    found = [str(warning) for warning in compiled(*steps, **fields).warnings]
    assert len(found) == 1
    assert said in found[0]


def test_examples_have_to_fit_the_input(problems):
    found = problems(
        {"id": "a"},
        input={"type": "object", "required": ["goal"]},
        examples=[{"input": {"goal": "x"}}, {"input": {}}],
    )
    assert found == ["examples[1].input: lacks 'goal'"]


def test_an_input_is_checked_with_its_defaults_and_never_quoted(compiled):
    schema = {
        "type": "object",
        "required": ["goal", "tone"],
        "properties": {"goal": {"type": "string"}, "tone": {"default": "calm"}},
    }
    made = compiled({"id": "a"}, input=schema)
    assert made.with_defaults({"goal": "x"}) == {"tone": "calm", "goal": "x"}
    assert made.input_problems({"goal": "x"}) == []
    found = made.input_problems({"goal": ["a secret"]})
    assert [str(problem) for problem in found] == ["input.goal: should be string"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)
STEP_FIELDS = ["id", "prompt", "tier", "map", "condition", "output", "depends_on", "strategy"]
OTHER_FIELDS = ["over", "as", "schema", "type", "kind", "var"]
WORDS = st.sampled_from(STEP_FIELDS + OTHER_FIELDS)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["name", "steps", "outputs", "input", "budget", "examples"]),
    st.lists(st.dictionaries(WORDS, PLAIN, max_size=6), max_size=4) | PLAIN,
)


@given(DOCUMENTS)
def test_any_document_is_read_or_refused_with_problems(document):
    try:
        given_workflow(document)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - both ends are right
