"""JSONLogic as its documentation has it, and what keeps a rule from doing harm."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.workflows.conditions import (
    MAX_OPERATIONS,
    Condition,
    ConditionError,
    compile_condition,
    constant_value,
)
from remora.workflows.templates import Reference

CASES = [
    ({"==": [1, 1]}, {}, True),
    ({"==": [1, "1"]}, {}, True),
    ({"==": [0, False]}, {}, True),
    ({"===": [1, 1]}, {}, True),
    ({"===": [1, "1"]}, {}, False),
    ({"!=": [1, 2]}, {}, True),
    ({"!=": [1, "1"]}, {}, False),
    ({"!==": [1, "1"]}, {}, True),
    ({"!": [True]}, {}, False),
    ({"!": True}, {}, False),
    ({"!": [[]]}, {}, True),
    ({"!!": [[]]}, {}, False),
    ({"!!": ["0"]}, {}, True),
    ({"!!": [""]}, {}, False),
    ({"or": [False, 0, "a"]}, {}, "a"),
    ({"or": [False, 0]}, {}, 0),
    ({"and": [True, "", 3]}, {}, ""),
    ({"and": [True, "a", 3]}, {}, 3),
    ({"if": [True, "yes", "no"]}, {}, "yes"),
    ({"if": [False, "yes", "no"]}, {}, "no"),
    ({"if": [False, 1, False, 2, 3]}, {}, 3),
    ({"if": [False, 1]}, {}, None),
    ({"?:": [True, 1, 2]}, {}, 1),
    ({">": [2, 1]}, {}, True),
    ({">": ["2", 1]}, {}, True),
    ({">=": [1, 1]}, {}, True),
    ({"<": [1, 2]}, {}, True),
    ({"<": [1, 2, 3]}, {}, True),
    ({"<": [1, 1, 3]}, {}, False),
    ({"<=": [1, 1, 3]}, {}, True),
    ({"<=": [1, 4, 3]}, {}, False),
    ({"max": [1, 3, 2]}, {}, 3),
    ({"min": [1, 3, 2]}, {}, 1),
    ({"+": [1, 2, 3]}, {}, 6),
    ({"+": ["3.14"]}, {}, 3.14),
    ({"-": [3, 2]}, {}, 1),
    ({"-": [2]}, {}, -2),
    ({"*": [2, 3, 4]}, {}, 24),
    ({"/": [4, 2]}, {}, 2),
    ({"%": [101, 2]}, {}, 1),
    ({"cat": ["a", 1, "b"]}, {}, "a1b"),
    ({"in": ["ring", "Springfield"]}, {}, True),
    ({"in": [2, [1, 2]]}, {}, True),
    ({"in": [3, [1, 2]]}, {}, False),
    ({"substr": ["jsonlogic", 4]}, {}, "logic"),
    ({"substr": ["jsonlogic", -5]}, {}, "logic"),
    ({"substr": ["jsonlogic", 1, 3]}, {}, "son"),
    ({"substr": ["jsonlogic", 4, -2]}, {}, "log"),
    ({"merge": [[1, 2], 3, [4]]}, {}, [1, 2, 3, 4]),
    ({"var": "a.b"}, {"a": {"b": 5}}, 5),
    ({"var": ["a.c", 7]}, {"a": {"b": 5}}, 7),
    ({"var": "l.1"}, {"l": ["x", "y"]}, "y"),
    ({"var": "nothing"}, {}, None),
    ({"missing": ["a", "b"]}, {"a": 1}, ["b"]),
    ({"missing_some": [1, ["a", "b", "c"]]}, {"a": 1}, []),
    ({"missing_some": [2, ["a", "b", "c"]]}, {"a": 1}, ["b", "c"]),
    ({"map": [{"var": "l"}, {"*": [{"var": ""}, 2]}]}, {"l": [1, 2]}, [2, 4]),
    ({"filter": [{"var": "l"}, {"%": [{"var": ""}, 2]}]}, {"l": [1, 2, 3]}, [1, 3]),
    (
        {"reduce": [{"var": "l"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 10]},
        {"l": [1, 2, 3]},
        16,
    ),
    ({"all": [{"var": "l"}, {">": [{"var": ""}, 0]}]}, {"l": [1, 2]}, True),
    ({"all": [{"var": "l"}, {">": [{"var": ""}, 0]}]}, {"l": []}, False),
    ({"some": [{"var": "l"}, {">": [{"var": "n"}, 1]}]}, {"l": [{"n": 1}, {"n": 2}]}, True),
    ({"none": [{"var": "l"}, {">": [{"var": ""}, 2]}]}, {"l": [1, 2]}, True),
    ({"log": {"var": "a"}}, {"a": "kept"}, "kept"),
    (True, {}, True),
]

OPERATORS = {operator for rule, _, _ in CASES if isinstance(rule, dict) for operator in rule}
DOCUMENTED = (
    "== === != !== ! !! or and if ?: > >= < <= max min + - * / % cat in substr merge "
    "var missing missing_some map filter reduce all some none log"
)


@pytest.mark.parametrize(
    ("rule", "data", "expected"), CASES, ids=[json.dumps(rule) for rule, _, _ in CASES]
)
def test_jsonlogic_gives_what_its_documentation_says(rule, data, expected):
    value = compile_condition(rule).value(data)
    assert (value, type(value)) == (expected, type(expected))


def test_every_documented_operator_is_tried():
    assert set(DOCUMENTED.split()) == OPERATORS


PUBLIC_CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("jsonlogic_cases.jsonl").read_text("utf-8").splitlines()
]
"""Rule, data and result of each case of jsonlogic.com's public suite."""


@pytest.mark.parametrize(
    ("rule", "data", "result"), PUBLIC_CASES, ids=[str(n) for n in range(len(PUBLIC_CASES))]
)
def test_jsonlogic_gives_what_its_public_cases_say(rule, data, result):
    value = compile_loosely(rule).value(data)
    assert (value, type(value)) == (result, type(result))


def test_there_are_as_many_public_cases_as_the_suite_has():
    assert len(PUBLIC_CASES) == 278


def compile_loosely(rule):
    """Compile what a workflow may not say: rules that read everything or a computed path."""
    from remora.workflows.conditions import _engine

    return Condition(rule, (), _engine().compile(json.dumps(rule)))


READS = {
    "a path": ({"var": "steps.a.output.x"}, ["steps.a.output.x"]),
    "with a default": ({"var": ["input.n", 1]}, ["input.n"]),
    "an index": ({"var": "input.l.0"}, ["input.l[0]"]),
    "missing": ({"missing": ["goal", "input.a"]}, ["goal", "input.a"]),
    "missing_some": ({"missing_some": [1, ["goal", "input.a"]]}, ["goal", "input.a"]),
    "the item of a map is no reference": (
        {"map": [{"var": "input.l"}, {"var": "name"}]},
        ["input.l"],
    ),
    "nor is an accumulator": (
        {"reduce": [{"var": "input.l"}, {"+": [{"var": "accumulator"}, 1]}, 0]},
        ["input.l"],
    ),
}


@pytest.mark.parametrize(("rule", "expected"), READS.values(), ids=READS)
def test_what_a_condition_reads_is_known(rule, expected):
    assert sorted(map(str, compile_condition(rule).references)) == expected


REFUSED = {
    "an unknown operator": ({"vr": "goal"}, "did you mean"),
    "two keys": ({"a": 1, "b": 2}, "2 keys"),
    "too few arguments": ({"map": [1]}, "takes exactly 2"),
    "a computed path": ({"var": {"cat": ["go", "al"]}}, "written out"),
    "all data": ({"==": [{"var": ""}, 1]}, "reads everything"),
    "the time": ({"now": []}, "unknown operator"),
    "a throw": ({"throw": "x"}, "unknown operator"),
    "no JSON": ({"==": [object(), 1]}, "should be made of"),
}


@pytest.mark.parametrize(("rule", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_condition_is_refused_with_a_reason(rule, said):
    with pytest.raises(ValueError, match=said):
        compile_condition(rule)


def _nested(depth):
    rule = {"var": "goal"}
    for _ in range(depth):
        rule = {"!": [rule]}
    return rule


@pytest.mark.parametrize("depth", [39, 300, 100_000])
def test_a_deep_rule_is_refused(depth):
    with pytest.raises(ValueError, match="levels"):
        compile_condition(_nested(depth))


BOMBS = {
    "loops in loops": {
        "map": [{"var": "l"}, {"map": [[1] * 300, {"map": [[1] * 300, {"+": [1, 1]}]}]}]
    },
    "a text that doubles": {
        "reduce": [
            {"var": "l"},
            {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]},
            "ab",
        ]
    },
    "a list that doubles": {
        "reduce": [
            {"var": "l"},
            {"merge": [{"var": "accumulator"}, {"var": "accumulator"}]},
            [1],
        ]
    },
}


@pytest.mark.parametrize("rule", BOMBS.values(), ids=BOMBS)
def test_a_rule_that_does_too_much_is_stopped(rule):
    with pytest.raises(ConditionError, match="too much work"):
        compile_condition(rule).holds({"l": [1] * 100})


def test_a_failure_says_nothing_of_the_data():
    condition = compile_condition({"+": [{"var": "goal"}, 1]})
    with pytest.raises(ConditionError) as raised:
        condition.holds({"goal": "a secret"})
    assert str(raised.value) == "reckons with what is no number in +"


@pytest.mark.parametrize(
    ("value", "holds"),
    [(0, False), ("", False), ("0", True), ([], False), ([0], True), (None, False), ({}, False)],
    ids=repr,
)
def test_truth_is_jsonlogics(value, holds):
    assert compile_condition({"var": "x"}).holds({"x": value}) is holds
    assert compile_condition({"!!": [{"var": "x"}]}).holds({"x": value}) is holds


def test_a_condition_without_references_is_constant():
    assert constant_value(compile_condition({"==": [1, 1]})) is True
    assert constant_value(compile_condition(False)) is False
    assert constant_value(compile_condition({"var": "goal"})) is None


RULES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=3)
    | st.just({"var": "goal"})
    | st.just({"var": "input.l"}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(OPERATORS)), st.lists(inner), max_size=2)
    ),
    max_leaves=12,
)


@given(
    RULES,
    st.recursive(
        st.none() | st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists
    ),
)
def test_any_rule_is_refused_told_or_false_and_nothing_else(rule, value):
    try:
        condition = compile_condition(rule)
    except ValueError:
        return
    assert all(isinstance(reference, Reference) for reference in condition.references)
    with contextlib.suppress(ConditionError):
        assert condition.holds({"goal": value, "input": {"l": [1, value]}}) in (True, False)


def test_the_bound_of_operations_is_some_milliseconds_of_work():
    assert 10_000 <= MAX_OPERATIONS <= 1_000_000
