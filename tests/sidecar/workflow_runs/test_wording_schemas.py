"""Schemas put into the subsets that providers hold answers to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sidecar.workflow_runs.worded_questions import CLOSED

from remora.workflows.library import TEMPLATES, shipped_workflow
from remora.workflows.schemas import Shape, schema_problems
from remora.workflows.sizes import most_tokens
from remora_sidecar.workflow_runs.wording.held_schema import (
    ANTHROPIC,
    BARE,
    OPENAI,
    ROOM_TOKENS,
    held_schema,
)

SUBSETS = [OPENAI, BARE, ANTHROPIC]
NAMES = ["openai", "bare", "anthropic"]
OF_ANY_SHAPE = {"extract": {"extract"}, "transform": {"parse", "map", "validate"}}
"""Steps of templates whose answers have the shape that the input asks for."""


def closed(**properties):
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


@pytest.mark.parametrize("subset", SUBSETS, ids=NAMES)
@pytest.mark.parametrize("name", TEMPLATES)
def test_models_are_held_to_the_templates_of_the_package_but_where_anything_may_come(name, subset):
    steps = shipped_workflow(name).steps
    schemas = {one: step.step.output.json_schema for one, step in steps.items()}
    asked = {one: schema for one, schema in schemas.items() if schema is not None}
    held = {one for one, schema in asked.items() if held_schema(schema, subset) is not None}
    assert asked.keys() - held == OF_ANY_SHAPE.get(name, set())


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(True, id="anything"),
        pytest.param(None, id="none"),
        pytest.param({}, id="any type"),
        pytest.param({"type": "array", "items": {"type": "string"}}, id="a list"),
        pytest.param({**CLOSED, "anyOf": [CLOSED]}, id="alternatives at the root"),
        pytest.param({"type": "object", "properties": {}}, id="others are allowed"),
        pytest.param({"type": "object", "additionalProperties": False}, id="no properties"),
        pytest.param({**CLOSED, "required": ["other"]}, id="needs what it does not have"),
        pytest.param(closed(a={"type": "object"}), id="an open object inside"),
        pytest.param(closed(a={"type": "array"}), id="a list of anything"),
        pytest.param(closed(a={"oneOf": [{"type": "null"}]}), id="oneOf"),
        pytest.param(closed(a={"type": "string", "not": {"const": "x"}}), id="not"),
        pytest.param(closed(a={"type": ["object", "null"]}), id="an object or null, as a list"),
        pytest.param(closed(a={"description": "no type"}), id="no type"),
        pytest.param(closed(a={"type": "string", "items": {}}), id="items of a text"),
        pytest.param(closed(a={"type": "string", "required": []}), id="members of a text"),
        pytest.param(closed(a={"enum": [{}]}), id="objects to choose from"),
        pytest.param(closed(a={"const": []}), id="a certain list"),
        pytest.param(closed(a={"enum": [str(n) for n in range(251)]}), id="a long list of values"),
        pytest.param(closed(a={"$ref": "#"}), id="the whole schema again"),
        pytest.param(closed(a={"$ref": "#/$defs/x", "minLength": 1}), id="more beside a reference"),
        pytest.param(closed(**{f"p{n}": {"type": "null"} for n in range(501)}), id="too large"),
    ],
)
@pytest.mark.parametrize("subset", SUBSETS, ids=NAMES)
def test_what_no_subset_has_is_not_held(schema, subset):
    assert held_schema(schema, subset) is None


def test_a_property_that_may_be_absent_is_anthropics_only_and_not_often():
    def absent(count):
        return {**closed(**{f"p{n}": {"type": "null"} for n in range(count)}), "required": []}

    assert held_schema(absent(1), OPENAI) is None
    assert held_schema(absent(24), ANTHROPIC) == absent(24)
    assert held_schema(absent(25), ANTHROPIC) is None


def test_definitions_may_need_each_other_but_only_openais_themselves():
    chain = {
        **closed(a={"$ref": "#/$defs/a", "description": "First"}),
        "$defs": {"a": closed(b={"$ref": "#/$defs/b"}), "b": {"type": "string"}},
    }
    held = held_schema(chain, ANTHROPIC)
    assert held["properties"] == {"a": {"$ref": "#/$defs/a"}}
    assert held["$defs"] == chain["$defs"]
    circle = {**chain, "$defs": {"a": closed(a={"$ref": "#/$defs/a"})}}
    assert held_schema(circle, BARE) is None
    assert held_schema(circle, OPENAI)["$defs"] == circle["$defs"]


@pytest.mark.parametrize(
    ("subset", "held"),
    [
        (OPENAI, {"type": ["string", "null"]}),
        (BARE, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
    ids=["openai", "bare"],
)
def test_a_list_of_types_is_written_as_the_subset_has_it(subset, held):
    given = {"type": ["string", "null"]}
    assert held_schema(closed(a=given), subset)["properties"] == {"a": held}


@pytest.mark.parametrize(
    ("subset", "held"),
    [
        (OPENAI, {"type": "array", "items": {"type": "string"}, "maxItems": 3}),
        (BARE, {"type": "array", "items": {"type": "string"}, "description": "maxItems 3"}),
    ],
    ids=["openai", "bare"],
)
def test_what_narrows_is_kept_or_said(subset, held):
    given = {"type": "array", "items": {"type": "string"}, "maxItems": 3}
    assert held_schema(closed(a=given), subset)["properties"] == {"a": held}


def test_descriptions_that_would_grow_past_what_is_counted_are_left_out():
    schema = closed(**{f"p{n}": {"type": "integer", "minimum": 1} for n in range(40)})
    assert "description" not in json.dumps(held_schema(schema, BARE))


LEAVES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "boolean", "null", "number"])},
        optional={"description": st.text(max_size=12), "minLength": st.integers(0, 3),
                  "minimum": st.integers(-3, 3), "default": st.none()},
    ),
    st.fixed_dictionaries({"enum": st.lists(st.integers(0, 3) | st.text(max_size=2), min_size=1)}),
    st.just({"type": ["string", "null"]}),
    st.just({}),
)  # fmt: skip


def _objects(parts):
    return st.dictionaries(st.sampled_from("abc"), parts, max_size=3).flatmap(
        lambda properties: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(properties),
                "required": st.lists(st.sampled_from([*properties, "z"]), unique=True),
                "additionalProperties": st.sampled_from([False, False, False, True]),
            }
        )
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda parts: _objects(parts)
    | st.fixed_dictionaries({"type": st.just("array"), "items": parts},
                            optional={"maxItems": st.integers(0, 3)})
    | st.fixed_dictionaries({"anyOf": st.lists(parts, min_size=1, max_size=3)}),
    max_leaves=8,
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-4, 4) | st.text("ab", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abz"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_objects(SCHEMAS), VALUES, st.sampled_from(SUBSETS))
def test_what_fits_the_schema_fits_what_is_held(schema, value, subset):
    before = json.dumps(schema)
    held = held_schema(schema, subset)
    assert json.dumps(schema) == before
    if held is None:
        return
    assert not list(schema_problems(held))
    assert most_tokens(json.dumps(held)) <= most_tokens(before) + ROOM_TOKENS
    if not Shape(schema).problems(value):
        assert not Shape(held).problems(value)
