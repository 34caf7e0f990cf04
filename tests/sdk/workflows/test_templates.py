import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.workflows.templates import (
    ABSENT,
    MAX_PATH_STEPS,
    MAX_REFERENCE_CHARACTERS,
    MAX_RENDERED_CHARACTERS,
    Reference,
    RenderError,
    Template,
    TemplateError,
    literal,
    parse_template,
    parse_value,
    render_all,
    render_text,
    render_value,
    templates_in,
)

VALUES = {
    "goal": "tea",
    "input": {"n": 3, "list": [1, {"a": None}], "ok": True, "text": "{{goal}} é", "x": {}},
    "steps": {"a-b": {"output": 1.5}},
}


def look_up(reference):
    value = VALUES[reference.root]
    for step in reference.path:
        value = value[step]
    return value


RENDERED = {
    "nothing": ("", ""),
    "no reference": ("Tea } is { good }}", "Tea } is { good }}"),
    "a name": ("About {{goal}}.", "About tea."),
    "space inside": ("{{  goal\n}}", "tea"),
    "a path": ("{{input.n}}", "3"),
    "an index": ("{{input.list[0]}}{{input.list.0}}", "11"),
    "a quoted key": ('{{input["text"]}}', "{{goal}} é"),
    "a hyphen": ("{{steps.a-b.output}}", "1.5"),
    "a list is compact JSON": ("{{input.list}}", '[1,{"a":null}]'),
    "true is JSON": ("{{input.ok}}", "true"),
    "null is JSON": ("{{input.list[1].a}}", "null"),
    "braces around": ('{"n": {{input.n}}}', '{"n": 3}'),
    "a brace before": ("{{{goal}}", "{tea"),
    "two braces before": ("{{{{goal}}", "{{tea"),
    "escaped": (r"\{{goal}}", "{{goal}}"),
    "escaped twice": (r"\\{{goal}}", r"\tea"),
    "escaped three times": (r"\\\{{goal}}", r"\{{goal}}"),
    "backslashes elsewhere": (r"a\b\\c", r"a\b\\c"),
    "what is put in is not read again": ("{{input.text}}", "{{goal}} é"),
}


@pytest.mark.parametrize(("text", "expected"), RENDERED.values(), ids=RENDERED)
def test_a_template_renders(text, expected):
    assert render_text(parse_template(text), look_up) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{}}",
        "{{ #if x}}",
        "{{goal | upper}}",
        "{{goal()}}",
        "{{1 + 1}}",
        "{{goal",
        "{{goal}",
        "{{input..x}}",
        "{{input.x.}}",
        "{{input[-1]}}",
        "{{input['x']}}",
        '{{input["\\x"]}}',
        "{{input.__class__.__mro__()}}",
        "{{> partial}}",
        "{{" + "a" * MAX_REFERENCE_CHARACTERS + "}}",
    ],
)
def test_what_is_no_reference_is_said_with_its_place(text):
    with pytest.raises(TemplateError) as raised:
        parse_template("ab" + text)
    assert raised.value.problems[0][0] == 2


def test_every_problem_of_a_text_is_said():
    with pytest.raises(TemplateError) as raised:
        parse_template("{{?}} {{goal}} {{!}}")
    assert [place for place, _ in raised.value.problems] == [0, 15]


def test_a_path_goes_only_so_far_down():
    assert parse_template("{{a" + ".b" * MAX_PATH_STEPS + "}}").references
    with pytest.raises(TemplateError, match="steps down"):
        parse_template("{{a" + ".b" * (MAX_PATH_STEPS + 1) + "}}")


LITERALS = st.text(alphabet='ab\\{}"[]. é', max_size=12)
KEYS = st.one_of(st.text(max_size=6), st.integers(0, 99))
REFERENCES = st.builds(
    Reference,
    st.sampled_from(["goal", "input", "steps", "item_1"]),
    st.lists(KEYS, max_size=4).map(tuple),
)


def _merged(parts):
    merged = []
    for part in filter(None, parts):
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


@given(st.lists(LITERALS | REFERENCES, max_size=8).map(_merged))
@settings(max_examples=500)
def test_a_written_template_parses_to_the_same_parts(parts):
    assert parse_template(str(Template(parts))).parts == parts


@given(st.text(alphabet='ab\\{}[]"0. goal'))
@settings(max_examples=500)
def test_a_parsed_template_is_written_so_that_it_parses_to_the_same(text):
    try:
        template = parse_template(text)
    except TemplateError:
        return
    assert parse_template(str(template)) == template


@given(st.text())
def test_literal_text_comes_back_as_it_is(text):
    template = parse_template(literal(text))
    assert not template.references
    assert render_text(template, look_up) == text


class Watched:
    """Fails the test if anything is asked of it."""

    def __getattribute__(self, name):
        raise AssertionError(f"{name} was asked for")


@given(st.text(alphabet="{}_abcls.()[]'\"%$#!|", max_size=60))
@settings(max_examples=500)
def test_no_text_makes_a_template_do_more_than_look_references_up(text):
    asked = []

    def look(reference):
        asked.append(reference)
        return "x"

    try:
        template = parse_template(text)
    except TemplateError:
        return
    render_text(template, look)
    assert asked == [part for part in template.parts if isinstance(part, Reference)]


def test_objects_that_are_handed_through_are_not_looked_into():
    watched = Watched()
    assert render_value(parse_template("{{goal}}"), lambda _: watched) is watched


@pytest.mark.parametrize(
    "piece", ["\\", "{", "{{", "}}", '{{a["', "{{a.", "{{ ", "\\{{", "{{goal}}", "\\a", '{{a["\\"']
)
def test_parsing_is_linear_in_the_text(piece, steps_of):
    """Counted in lines that are run, not in time; what `re` looks at is bounded by itself."""
    few, many = (steps_of(piece * count) for count in (200, 2000))
    assert many < few * 13


@pytest.fixture
def steps_of():
    import sys

    def count(text):
        steps = 0

        def trace(frame, event, argument):
            nonlocal steps
            steps += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            parse_template(text)
        except TemplateError:
            pass
        finally:
            sys.settrace(before)
        return steps

    return count


def test_a_lone_reference_keeps_its_type():
    assert render_value(parse_template("{{input.list}}"), look_up) == [1, {"a": None}]
    assert render_value(parse_template(" {{input.list}}"), look_up) == ' [1,{"a":null}]'
    assert render_value(parse_template("{{goal}}"), lambda _: ABSENT) is None


def test_what_is_absent_leaves_nothing_in_text():
    assert render_text(parse_template("<{{goal}}>"), lambda _: ABSENT) == "<>"


def test_a_text_that_would_get_too_long_is_refused():
    template = parse_template("{{goal}}" * 9)
    piece = "x" * (MAX_RENDERED_CHARACTERS // 8)
    with pytest.raises(RenderError, match="longer than"):
        render_text(template, lambda _: piece)


def test_a_value_has_templates_at_any_depth():
    wrong = []
    value = parse_value({"a": ["{{goal}}", 1, None], "b": {"c": "x {{input.n}}"}}, wrong)
    assert wrong == []
    assert render_all(value, look_up) == {"a": ["tea", 1, None], "b": {"c": "x 3"}}
    assert [path for path, _ in templates_in(value)] == [("a", 0), ("b", "c")]


def test_every_wrong_text_of_a_value_is_said_with_its_path():
    wrong = []
    parse_value({"a": ["{{!}}"], "b": "{{?}}"}, wrong, ("outputs",))
    assert [path for path, _ in wrong] == [("outputs", "a", 0), ("outputs", "b")]
