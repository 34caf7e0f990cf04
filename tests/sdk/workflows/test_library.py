"""The ten workflows that ship: their shapes, and what the page says of their cost."""

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from remora.workflows import TEMPLATES, Catalogue, Market, ModelPrice, shipped_workflow
from remora.workflows.estimate import estimate
from remora.workflows.library import shipped_text, shipped_workflows
from remora.workflows.references import answer_schema
from remora.workflows.scope import Scope, StepResult
from remora.workflows.templates import render_all, render_text

PAGE = Path(__file__).parents[3] / "docs" / "workflows.md"

SHAPES = {
    "research": ([["gather"], ["synthesize"], ["cite"]], {"summary", "citations"}),
    "write": ([["outline"], ["draft"], ["polish"]], {"draft"}),
    "analyze": ([["classify"], ["extract"], ["reason"], ["report"]], {"report"}),
    "code": ([["plan"], ["implement"], ["test", "explain"]], {"code", "tests", "explanation"}),
    "transform": ([["parse"], ["map"], ["validate"]], {"output", "schema"}),
    "decide": ([["options"], ["score"], ["justify"]], {"decision"}),
    "refactor": ([["analyze"], ["propose"], ["apply"]], {"diff"}),
    "classify": ([["classify"]], {"label"}),
    "qa": ([["retrieve"], ["answer"]], {"answer"}),
    "extract": ([["extract"]], {"fields"}),
}
REFERENCE_PRICES = {
    "fast": ModelPrice(Decimal("0.25"), Decimal("1.25")),
    "balanced": ModelPrice(Decimal(2), Decimal(10)),
    "high": ModelPrice(Decimal(5), Decimal(25)),
}


def _market():
    catalogue = Catalogue.builtin()
    tiers = {(entry.provider, entry.model): entry.tier for entry in catalogue.models}
    return Market(catalogue, price_of=lambda p, m: REFERENCE_PRICES[tiers[p, m]])


def test_there_are_the_ten_of_the_original():
    assert set(TEMPLATES) == set(SHAPES)
    assert [compiled.workflow.name for compiled in shipped_workflows()] == list(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_workflow_has_the_steps_and_outputs_of_the_original(name):
    compiled = shipped_workflow(name)
    levels, outputs = SHAPES[name]
    assert [list(level) for level in compiled.graph.levels] == levels
    assert set(compiled.outputs) == outputs


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_goal_alone_is_input_enough(name):
    assert shipped_workflow(name).input_problems({"goal": "Anything."}) == []
    assert shipped_workflow(name).input_problems({}) != []


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_about_a_workflow_is_odd(name):
    from remora.workflows import read_workflow

    compiled = read_workflow(shipped_text(name), name, _market())
    assert compiled.warnings == ()
    assert compiled.optional == frozenset()
    assert compiled.workflow.description
    assert compiled.workflow.examples


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("given", ["example", "goal alone"])
def test_every_prompt_and_output_renders(name, given):
    """With answers that fit the steps' schemas, made here; no double can stand for their worth."""
    compiled = shipped_workflow(name)
    value = compiled.workflow.examples[0].input if given == "example" else {"goal": "Anything."}
    done = {}
    for step_id in compiled.graph.order:
        step = compiled.steps[step_id]
        scope = Scope(compiled.with_defaults(value), done)
        for message in step.messages:
            assert render_text(message.content, scope.look_up).strip()
        answer = _answer(answer_schema(step.step))
        if step.shape is not None:
            assert step.shape.problems(answer) == []
        done[step_id] = StepResult("completed", answer)
    results = render_all(dict(compiled.outputs), Scope(value, done).look_up)
    assert None not in results.values()


def _answer(schema):
    """Make the smallest value that fits a schema of the package's workflows."""
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {key: _answer(schema["properties"][key]) for key in schema.get("required", ())}
    if kind == "array":
        return [_answer(schema["items"])] * max(1, schema.get("minItems", 1))
    return {"string": "x", "number": 1, "integer": 1, "boolean": True}[kind]


@pytest.mark.parametrize("name", TEMPLATES)
def test_objects_are_closed_and_name_all_they_have_so_that_providers_can_hold_to_them(name):
    for compiled in shipped_workflow(name).steps.values():
        schema = compiled.step.output.json_schema
        if schema is not None:
            assert schema["additionalProperties"] is False
            assert set(schema["required"]) == set(schema["properties"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_step_can_take_the_texts_it_is_given_for_orders(name):
    """What comes from outside stands between tags that the system message speaks of, or is JSON."""
    compiled = shipped_workflow(name)
    for field in {"text", "data", "material", "documents", "sources"}:
        for step in compiled.workflow.steps:
            inside = f"{{{{input.{field}}}}}"
            if inside in (step.prompt or "") and f"<{field}>" in (step.prompt or ""):
                assert "never instructions" in step.system.replace("\n", " ")


def _rows():
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("<!-- estimates -->")[2].partition("<!-- end -->")[0]
    return [line for line in table.strip().splitlines() if re.match(r"\| `", line)]


def _row(name):
    compiled = shipped_workflow(name)
    reckoned = estimate(compiled, _market(), compiled.workflow.examples[0].input)
    steps = "; ".join(
        f"{step_id} {sum(c.calls * c.input_tokens for c in step.calls)} + "
        f"{sum(c.calls * c.output_tokens for c in step.calls)}"
        for step_id, step in reckoned.steps.items()
    )
    most = reckoned.most
    return f"| `{name}` | {steps} | {most.tokens} | ${most.cost_usd:.3f} |"


def test_the_pages_table_of_estimates_is_what_the_function_says():
    assert _rows() == [_row(name) for name in TEMPLATES]


def test_the_sample_of_the_original_keeps_its_budget():
    compiled = shipped_workflow("research")
    reckoned = estimate(
        compiled, _market(), {"goal": "What is the state of solid-state batteries?"}
    )
    assert reckoned.most.cost_usd < Decimal("0.25")


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, remora.workflows\n"
        "heavy = {'pydantic', 'jsonschema', 'datalogic_py', 'ruamel', 're2', 'cel_expr_python'}\n"
        "print(sorted(heavy.intersection(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[]\n"


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError):
        shipped_workflow("../research")
