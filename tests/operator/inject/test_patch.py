"""Patches: minimal, and what somebody else's library makes of them is what was wanted."""

import copy

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_operator.inject.outcome import Operation
from remora_operator.inject.patch import applied, difference

SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 1) | st.text("ab/~", max_size=3)
)
NAMED = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from("abc"), "mountPath": st.sampled_from("xy"), "v": SCALARS}
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner | NAMED, max_size=5)
        | st.dictionaries(st.text("ab/~", max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def _item(name, **fields):
    return {"name": name, **fields}


@pytest.mark.parametrize(
    ("old", "new", "operations"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="nothing"),
        pytest.param({"a": 1}, {"a": True}, [("replace", "/a", True)], id="1 is not true"),
        pytest.param({}, {"a/b~c": 1}, [("add", "/a~1b~0c", 1)], id="escapes"),
        pytest.param({"a": None}, {"a": []}, [("replace", "/a", [])], id="null to list"),
        pytest.param({"a": 1}, {}, [("remove", "/a", None)], id="remove"),
        pytest.param(
            {"c": [_item("u")]},
            {"c": [_item("new"), _item("u")]},
            [("add", "/c/0", _item("new"))],
            id="insert before",
        ),
        pytest.param(
            {"c": [_item("u"), _item("w")]},
            {"c": [_item("u", x=1), _item("w"), _item("new")]},
            [("add", "/c/0/x", 1), ("add", "/c/2", _item("new"))],
            id="change and append",
        ),
        pytest.param(
            {"c": [_item("b"), _item("a"), _item("u")]},
            {"c": [_item("a"), _item("b"), _item("u")]},
            [("add", "/c/0", _item("a")), ("remove", "/c/2", None)],
            id="move to the front",
        ),
        pytest.param(
            {"c": [_item("a", x=1), _item("a", x=2)]},
            {"c": [_item("a", x=1), _item("a", x=3)]},
            [("replace", "/c/1/x", 3)],
            id="the same name twice",
        ),
        pytest.param(
            {"m": [{"name": "v", "mountPath": "/a"}]},
            {"m": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]},
            [("add", "/m/1", {"name": "v", "mountPath": "/b"})],
            id="mounts go by their path",
        ),
    ],
)
def test_patches_are_minimal(old, new, operations):
    assert difference(old, new) == tuple(Operation(*operation) for operation in operations)


@given(JSON, JSON)
def test_a_patch_makes_one_document_of_another(old, new):
    operations = difference({"x": old}, {"x": new})
    before = copy.deepcopy(old)

    theirs = jsonpatch.JsonPatch([o.as_json() for o in operations]).apply({"x": old})

    assert repr(theirs) == repr({"x": new}) or _same(theirs, {"x": new})
    assert _same(applied({"x": old}, operations), {"x": new})
    assert repr(old) == repr(before)


@given(JSON)
def test_equal_documents_need_no_patch(document):
    assert difference(document, copy.deepcopy(document)) == ()


def _same(left, right):
    """Compare as JSON does: order of members does not count, 1 and True differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return type(left) is type(right) and left == right
