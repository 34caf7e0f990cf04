"""References against schemas of the input and of steps, before anything runs."""

import pytest

OBJECT = {
    "type": "object",
    "required": ["title", "points"],
    "properties": {
        "title": {"type": "string", "maxLength": 80},
        "points": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/Point"}},
        "note": {"type": ["string", "null"]},
        "either": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"a": {}}}]},
        "free": {"type": "object"},
        "map": {"type": "object", "additionalProperties": {"type": "number"}},
        "pair": {"type": "array", "prefixItems": [{"type": "number"}], "items": {"type": "string"}},
        "all": {"allOf": [{"properties": {"x": {}}}, {"properties": {"y": {}}}]},
        "tree": {"$ref": "#"},
    },
    "$defs": {"Point": {"type": "object", "properties": {"text": {"type": "string"}}}},
}
MAKER = {"id": "maker", "output": {"type": "json", "schema": OBJECT}}
TEXT = {"id": "text"}
MAPPED = {
    "id": "mapped",
    "map": {"over": "{{steps.maker.output.points}}", "as": "point"},
    "prompt": "{{point.text}}",
    "output": {"type": "json", "schema": OBJECT["$defs"]["Point"]},
}

GOOD = [
    "goal",
    "input",
    "input.anything.at.all",
    "steps.maker.output",
    "steps.maker.outputs",
    "steps.maker.status",
    "steps.text.output",
    "steps.maker.output.title",
    "steps.maker.outputs.title",
    "steps.maker.outputs.points[2].text",
    "steps.maker.outputs.points.0",
    "steps.maker.outputs.either.a",
    "steps.maker.outputs.free.any.thing",
    "steps.maker.outputs.map.any",
    "steps.maker.outputs.pair[1]",
    "steps.maker.outputs.all.x",
    "steps.maker.outputs.all.y",
    "steps.maker.outputs.tree.tree.title",
    "steps.mapped.output",
    "steps.mapped.output[5].text",
]
BAD = {
    "step.a": "did you mean 'steps'",
    "steps.nope.output": "there is no step 'nope'",
    "steps.text": "say which",
    "steps.text.answer": "say which",
    "steps.text.outputs": "answers in text",
    "steps.text.output.x": "'x' is asked of what is string",
    "steps.text.output[0]": "item 0 is asked of what is string",
    "steps.text.status.x": "'x' is asked of what is string",
    "steps.maker.output.titel": "did you mean 'title'",
    "steps.maker.outputs.title.x": "asked of what is string",
    "steps.maker.outputs.points.text": "'text' is asked of what is array",
    "steps.maker.outputs.points[3]": "at most 3",
    "steps.maker.outputs.points[0].txt": "did you mean 'text'",
    "steps.maker.outputs.either.b": "'b' is asked of what is string",
    "steps.maker.outputs.map.any.more": "asked of what is number",
    "steps.maker.outputs.pair[1].x": "asked of what is string",
    "steps.mapped.outputs": "it has no outputs",
    "steps.mapped.output.text": "its output is a list",
    "steps.mapped.output[0].txt": "did you mean 'text'",
    "point": "'point' is not known here",
    "item": "'item' is not known here",
}


@pytest.mark.parametrize("reference", GOOD)
def test_a_reference_that_leads_somewhere_is_taken(problems, reference):
    assert problems(MAKER, TEXT, MAPPED, {"id": "a", "prompt": f"{{{{{reference}}}}}"}) == []


@pytest.mark.parametrize(("reference", "said"), BAD.items(), ids=BAD)
def test_a_reference_that_leads_nowhere_is_said(problems, reference, said):
    found = problems(MAKER, TEXT, MAPPED, {"id": "a", "prompt": f"{{{{{reference}}}}}"})
    assert len(found) == 1
    assert found[0].startswith(f"steps[3].prompt: {reference}: ")
    assert said in found[0]


PLACES = {
    "system": {"system": "{{nope}}"},
    "messages[0].content": {"messages": [{"role": "user", "content": "{{nope}}"}]},
    "messages[0].attachments[0].url": {
        "messages": [
            {
                "role": "user",
                "content": "",
                "attachments": [{"kind": "image", "url": "{{nope}}"}],
            }
        ]
    },
    "map.over": {"map": {"over": "{{nope}}"}},
    "condition": {"condition": {"var": "nope"}},
}


@pytest.mark.parametrize(("place", "fields"), PLACES.items(), ids=PLACES)
def test_references_are_followed_wherever_they_may_stand(problems, place, fields):
    [found] = problems({"id": "a", **fields})
    assert found.startswith(f"steps[0].{place}: nope: 'nope' is not known here")


def test_the_goal_is_a_field_of_the_input(problems):
    schema = {"type": "object", "properties": {"topic": {"type": "string"}}}
    [found] = problems({"id": "a", "prompt": "{{goal}} {{input.topic}}"}, input=schema)
    assert "no field 'goal' is in the schema; known are topic" in found


def test_a_list_is_mapped_over_and_nothing_else(problems):
    assert problems({"id": "a", "map": {"over": "{{input.l}}"}, "prompt": "{{item.x}}"}) == []
    [found] = problems(TEXT, {"id": "a", "map": {"over": "{{steps.text.output}}"}})
    assert "should be a list, but is string" in found


def test_items_have_the_type_that_the_list_says(problems):
    mapped = {"id": "m", "map": {"over": "{{steps.maker.output.points}}"}, "prompt": "{{item.txt}}"}
    [found] = problems(MAKER, mapped)
    assert "did you mean 'text'" in found


def test_a_mapped_step_may_be_mapped_over_again(problems):
    again = {"id": "b", "map": {"over": "{{steps.mapped.output}}"}, "prompt": "{{item.txt}}"}
    [found] = problems(MAKER, MAPPED, again)
    assert "did you mean 'text'" in found


def test_an_attachment_comes_from_text(problems):
    message = {"role": "user", "content": "", "attachments": [{"kind": "image", "url": ""}]}
    message["attachments"][0]["url"] = "{{steps.maker.outputs.points}}"
    [found] = problems(MAKER, {"id": "a", "messages": [message]})
    assert "should be text, but is array" in found


def test_references_in_conditions_are_dependencies(compiled):
    made = compiled({"id": "a"}, {"id": "b", "condition": {"var": "steps.a.output"}})
    assert made.graph.dependencies["b"] == {"a"}


def test_a_step_that_only_asks_how_another_ended_is_not_skipped_with_it(compiled):
    made = compiled(
        {"id": "a", "on_failure": "skip"},
        {"id": "b", "condition": {"==": [{"var": "steps.a.status"}, "failed"]}},
        {"id": "c", "depends_on": ["a"]},
    )
    assert made.graph.dependencies["b"] == {"a"}
    assert made.steps["b"].needs == frozenset()
    assert made.steps["c"].needs == {"a"}


def test_what_may_be_absent_is_known(compiled):
    made = compiled(
        MAKER, {"id": "a", "prompt": "{{steps.maker.outputs.note}} {{steps.maker.outputs.title}}"}
    )
    assert [str(reference) for reference in made.optional] == ["steps.maker.outputs.note"]
