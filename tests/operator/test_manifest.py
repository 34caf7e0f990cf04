"""YAML of manifests: read as kubectl reads it, written so that nobody reads it otherwise."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from remora_operator.commands.manifest import read_manifest, written

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["yes", "No", "on", "y", "null", "~", "0644", "1_000", "0x1F", "1e3", ".5", "12:30:45",
     "2026-11-22", "true", "", " x ", "a: b", "- a", "#c", "%d", "@x", "`x`", "!t", "&a", "*a",
     "|", ">", "{}", "[]", "'", '"', "a\nb", "a\n", "\n a\n", "\u2028", "\x85", "\t", "---", "...",
     "=", "<<", "a #b", "\ufeff", "0o17", "-0", "+1", "1.", "Infinity", ".inf", ".NaN"]
)  # fmt: skip
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


def _values(text):
    return [document.value for document in read_manifest("f", text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("n", False), ("on", True), ("Off", False), ("'yes'", "yes"), ("yEs", "yEs"),
        ("~", None), ("", None), ('""', ""), ("0644", 420), ("0o17", 15), ("0x1F", 31),
        ("0b11", 3), ("089", 89.0), ("1_000", 1000), ("-5", -5), ("1e3", 1000.0), (".5", 0.5),
        ("1.", 1.0), ("12:30", "12:30"), ("2026-11-22", "2026-11-22"), ("1.2.3", "1.2.3"),
        ("!!str 12", "12"), ("!!str yes", "yes"), ("80,443", "80,443"),
    ],
)  # fmt: skip
def test_scalars_mean_what_they_mean_to_kubectl(text, value):
    [read] = _values(f"a: {text}\n")
    assert repr(read["a"]) == repr(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x: &a {b: 1}\nz: *a", {"x": {"b": 1}, "z": {"b": 1}}),
        ("x: &a {b: 1, c: 2}\nz: {<<: *a, c: 3}", {"x": {"b": 1, "c": 2}, "z": {"b": 1, "c": 3}}),
        (
            "x: &a {b: 1}\nw: &c {b: 2, d: 4}\nz: {<<: [*a, *c]}",
            {"x": {"b": 1}, "w": {"b": 2, "d": 4}, "z": {"b": 1, "d": 4}},
        ),
        ("1: a\non: b", {"1": "a", "true": "b"}),
        ("'<<': 1", {"<<": 1}),
    ],
    ids=["alias", "merge", "merge of several", "keys", "a quoted key"],
)
def test_structure_is_read(text, value):
    assert _values(text) == [value]


@example(1e-05)
@given(VALUES)
def test_what_is_written_is_read_as_the_same_by_every_reader(value):
    [document] = read_manifest("f", "a: 1\n")
    text = document.with_value({"v": value})

    assert repr(_values(text)) == repr([{"v": value}])
    assert repr(yaml.safe_load(text)) == repr({"v": value})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "a: 1",
        "a: 1\n---\nb: 2\n",
        "---\na: 1\n...\n---\nb: 2\n",
        "%YAML 1.1\n---\na: 1\n",
        "---\n---\na: 1\n",
        "a: 1\n...\n%YAML 1.1\n---\nb: 2\n",
        "\ufeffa: 1\n",
    ],
)
def test_untouched_documents_are_the_text_that_was_read(text):
    documents = read_manifest("f", text)
    assert written([(d, None) for d in documents]).rstrip("\n") == (
        text if documents else ""
    ).rstrip("\n")


@pytest.mark.parametrize("changed", range(3))
def test_a_document_that_is_written_anew_keeps_apart_from_the_others(changed):
    text = "# first\na: 1\n---\na: 2\n...\n%YAML 1.1\n---\na: 3\n"
    documents = read_manifest("f", text)

    joined = written(
        [(d, d.with_value({"a": "new"}) if i == changed else None) for i, d in enumerate(documents)]
    )

    wanted = [{"a": 1}, {"a": 2}, {"a": 3}]
    wanted[changed] = {"a": "new"}
    assert _values(joined) == wanted
