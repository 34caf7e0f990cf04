import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from remora.workflows.schemas import MAX_FINDINGS, Shape, schema_problems

REFUSED = {
    "no mapping": ([], "should be a JSON Schema"),
    "a type that is none": ({"type": "objec"}, "type"),
    "required as text": ({"required": "a"}, "should be array"),
    "a reference elsewhere": ({"$ref": "https://example.com/s.json"}, "leads nowhere"),
    "a file": ({"$ref": "other.json#/$defs/a"}, "leads nowhere"),
    "a reference to nothing": ({"$ref": "#/$defs/a"}, "leads nowhere"),
    "an id": ({"$id": "https://example.com/s"}, "not supported"),
    "a dynamic reference": ({"$dynamicRef": "#a"}, "not supported"),
    "another dialect": ({"$schema": "http://json-schema.org/draft-07/schema#"}, "should be http"),
    "a circle in place": ({"$ref": "#"}, "refers to itself"),
    "a circle of two": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        "refers to itself",
    ),
    "a look-behind": ({"pattern": "(?<=a)b"}, "no regular expression in RE2"),
    "a wrong regex of names": ({"patternProperties": {"(": {}}}, "regular expression"),
    "not JSON": ({"enum": [object()]}, "should be made of"),
}


@pytest.mark.parametrize(("schema", "said"), REFUSED.values(), ids=REFUSED)
def test_a_schema_that_can_not_be_used_is_refused(schema, said):
    found = [f"{path}: {what}" for path, what in schema_problems(schema)]
    assert any(said in problem for problem in found), found


def test_a_schema_that_grows_with_each_reference_is_refused():
    """Twenty definitions, each of which refers to the next one twice: a million for one value."""
    definitions = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(20)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**definitions, "d20": {"type": "string"}}}
    [(_, what)] = schema_problems(schema)
    assert "too many" in what


def test_a_schema_may_refer_to_itself_for_what_is_below():
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert schema_problems(tree) == []
    assert Shape(tree).problems({"children": [{"children": [3]}]}) == [
        (("children", 0, "children", 0), "should be object")
    ]


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"type": ["string", "null"]}, 3, "should be string or null"),
        ({"required": ["a"]}, {}, "lacks 'a'"),
        ({"additionalProperties": False}, {"secret": 1}, "has fields that its schema"),
        ({"enum": ["a", 1]}, "secret", 'should be one of ["a", 1]'),
        ({"const": 2}, 3, "should be 2"),
        ({"minLength": 9}, "secret", "should have at least 9 characters"),
        ({"maximum": 2.5}, 3, "should be at most 2.5"),
        ({"pattern": "^a"}, "secret", 'should match "^a"'),
        ({"patternProperties": {"^s": {"type": "null"}}}, {"secret": 1}, "should be null"),
        ({"anyOf": [{"type": "null"}, False]}, "secret", "fits none of the alternatives"),
        ({"contains": {"const": 1}}, ["secret"], "breaks contains"),
        ({"enum": ["x" * 300]}, "secret", "…"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_value_that_does_not_fit_is_told_what_it_should_be_and_not_quoted(schema, value, said):
    assert schema_problems(schema) == []
    [(_, what)] = Shape(schema).problems(value)
    assert said in what
    assert "secret" not in what


def test_only_so_many_places_are_said():
    assert len(Shape({"items": {"type": "null"}}).problems([1] * 100)) == MAX_FINDINGS


def test_a_value_that_is_too_deep_is_refused_before_it_is_looked_at():
    value = []
    for _ in range(1000):
        value = [value]
    [(_, what)] = Shape({}).problems(value)
    assert "levels" in what


SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["string", "number", "object", "array", "null"]),
            "minLength": st.integers(0, 3),
            "enum": st.lists(st.none() | st.text(max_size=2), min_size=1, max_size=2, unique=True),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "required": st.lists(st.sampled_from("ab"), unique=True, max_size=2),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "additionalProperties": st.booleans(),
        },
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), VALUES)
def test_what_fits_is_what_the_library_says_fits(schema, value):
    assert schema_problems(schema) == []
    assert bool(Shape(schema).problems(value)) is not Draft202012Validator(schema).is_valid(value)
