"""Speculation, panels and mending, played to their ends."""

import json

import pytest
from tests.sidecar.workflows.played import Played, played

from remora_sidecar.workflows.inputs import Answered
from remora_sidecar.workflows.panel import UNJUDGED
from remora_sidecar.workflows.speculation import AGREED, DISAGREED, UNVERIFIED

PARIS = "The capital of France is Paris."
PARIS_TOO = "The capital city of France is Paris."
LYON = "It is Lyon, of course."


def speculating(**step: object) -> Played:
    return played({"id": "a", "tier": "high", "strategy": "speculative", **step})


def test_draft_and_verifier_are_asked_at_once_each_of_its_tier():
    run = speculating()
    asked = {q.purpose: q.target.model for q in run.open.values()}
    assert asked == {"draft": "fast-0", "verify": "high-0"}


@pytest.mark.parametrize(
    ("first", "text", "note"),
    [(PARIS, PARIS, AGREED), (LYON, PARIS_TOO, DISAGREED)],
    ids=["agreement", "disagreement"],
)
def test_a_draft_stands_if_the_verifier_agrees_with_it(first, text, note):
    run = speculating()
    run.answer(run.key("draft"), first)
    assert run.execution is None
    run.answer(run.key("verify"), PARIS_TOO)
    assert run.execution.outputs == {"a": text}
    assert run.execution.steps[0].note == note


def test_a_verifier_that_comes_first_stands_and_the_draft_is_abandoned_and_billed():
    run = speculating()
    draft = run.key("draft")
    run.answer(run.key("verify"), PARIS, "0.02")
    assert run.abandoned == {draft}
    assert run.types()[-1] == "step_completed"
    assert run.events[-1]["open_calls"] == 1
    run.close(draft, "0.001")
    assert str(run.execution.total_cost_usd) == "0.021"
    assert [c.status for c in run.execution.steps[0].calls] == ["ok", "abandoned"]


@pytest.mark.parametrize("draft_first", [True, False])
def test_a_draft_stands_where_the_verifier_gives_nothing(draft_first):
    run = speculating()
    draft, verify = run.key("draft"), run.key("verify")
    if draft_first:
        run.answer(draft, PARIS)
        run.fail(verify)
    else:
        run.fail(verify)
        run.answer(draft, PARIS)
    assert run.execution.outputs == {"a": PARIS}
    assert run.execution.steps[0].note == UNVERIFIED


def test_a_draft_that_does_not_pass_does_not_stand():
    run = speculating(checks=[{"kind": "length", "min_characters": 5}])
    run.answer(run.key("draft"), "no")
    run.fail(run.key("verify"))
    assert run.execution.failure.code == "provider_error"


def test_it_is_the_verifiers_answer_that_is_mended():
    run = speculating(output="json")
    run.answer(run.key("verify"), "{verifier")
    run.answer(run.key("draft"), "{draft")
    (question,) = run.open.values()
    assert question.purpose == "repair"
    assert question.messages[-2].text == "{verifier"


def racing(**strategy: object) -> Played:
    checks = [{"kind": "length", "min_characters": 3}]
    return played({"id": "a", "checks": checks, "strategy": {"kind": "parallel", **strategy}})


def test_the_first_that_passes_its_checks_wins_and_the_others_are_abandoned():
    run = racing(n=3)
    assert sorted(q.target.model for q in run.open.values()) == [
        "balanced-0",
        "balanced-1",
        "balanced-2",
    ]
    run.answer(run.key("answer1"), "no")
    assert run.abandoned == set()
    left = run.key("answer0")
    run.answer(run.key("answer2"), "yes")
    assert run.abandoned == {left}
    run.close(left)
    assert run.execution.outputs == {"a": "yes"}
    assert run.execution.steps[0].model == "balanced-2"


def test_named_candidates_are_asked_by_name():
    run = racing(candidates=[{"model": "x"}, {"model": "y", "provider": "other"}])
    assert sorted(q.target.name for q in run.open.values()) == ["acme/x", "other/y"]


def test_a_race_that_nobody_passes_fails():
    run = racing(n=2)
    run.answer(run.key("answer0"), "no")
    run.answer(run.key("answer1"), "oh")
    assert run.execution.failure.code == "check_failed"
    assert run.execution.failure.message == "has 2 characters, should have at least 3"


def test_a_quorum_takes_the_oldest_answer_of_the_group():
    run = racing(n=4, quorum=2)
    run.answer(run.key("answer3"), LYON)
    run.answer(run.key("answer1"), PARIS)
    left = run.key("answer2")
    run.answer(run.key("answer0"), PARIS_TOO)
    assert run.abandoned == {left}
    run.close(left)
    assert run.execution.outputs == {"a": PARIS}
    assert run.execution.steps[0].note == "2 of 4 answers agree"


def test_a_quorum_that_can_not_come_about_is_given_up_at_once():
    run = racing(n=4, quorum=3)
    run.answer(run.key("answer0"), PARIS)
    left = run.key("answer3")
    run.answer(run.key("answer1"), LYON)
    run.answer(run.key("answer2"), "Somewhere else entirely")
    assert run.abandoned == {left}
    run.close(left)
    assert run.execution.failure.code == "no_quorum"


@pytest.mark.parametrize(
    ("verdict", "output"),
    [('{"best": 2}', "second"), ('```json\n{"best": 1}\n```', "first")],
    ids=["plain", "fenced"],
)
def test_a_judge_takes_the_best(verdict, output):
    run = racing(n=2, best={"tier": "fast", "criteria": "brevity"})
    run.answer(run.key("answer1"), "second")
    run.answer(run.key("answer0"), "first")
    question = run.open[run.key("judge")]
    assert question.target.model == "fast-0"
    assert question.max_tokens == 512
    assert 'Answer 1: "first"\n\nAnswer 2: "second"' in question.messages[1].text
    assert "brevity" in question.messages[1].text
    run.answer(run.key("judge"), verdict)
    assert run.execution.outputs == {"a": output}


@pytest.mark.parametrize("verdict", ["none of them", '{"best": 3}', '{"best": true}', "[1]", None])
def test_without_a_verdict_the_first_in_the_order_of_the_models_stands(verdict):
    run = racing(n=2, best={})
    run.answer(run.key("answer1"), "second")
    run.answer(run.key("answer0"), "first")
    if verdict is None:
        run.fail(run.key("judge"))
    else:
        run.answer(run.key("judge"), verdict)
    assert run.execution.outputs == {"a": "first"}
    assert run.execution.steps[0].note == UNJUDGED


def test_one_answer_alone_needs_no_judge():
    run = racing(n=2, best={})
    run.answer(run.key("answer1"), "no")
    run.answer(run.key("answer0"), "good")
    assert run.execution.outputs == {"a": "good"}
    assert len(run.asked) == 2


SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
JSON = {"id": "a", "output": {"schema": SCHEMA}, "retry": {"attempts": 2, "initial": "10ms"}}


def test_json_is_read_and_stands_for_the_answer():
    run = played(JSON)
    assert run.open[run.key("answer")].form.schema == SCHEMA
    run.answer(run.key("answer"), '```json\n{"n": 1}\n```')
    assert run.execution.outputs == {"a": {"n": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[NaN]", "NaN is no number"),
        ('{"n": "secret"}', "n: should be integer"),
        ("{}", "lacks 'n'"),
        ('{"n": 1, "s": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "nested too deep"),
    ],
    ids=["broken", "NaN", "type", "missing", "half a character", "deep"],
)
def test_a_faulty_answer_is_sent_back_once_with_what_is_wrong(text, said):
    run = played(JSON)
    run.answer(run.key("answer"), text)
    question = run.open[run.key("repair")]
    assert [m.role for m in question.messages] == ["user", "assistant", "user"]
    assert question.messages[1].text == text
    assert said in question.messages[2].text
    assert "secret" not in question.messages[2].text
    run.answer(run.key("repair"), '{"n": 2}')
    assert run.execution.outputs == {"a": {"n": 2}}
    assert run.execution.steps[0].note == "mended once"


def test_an_answer_that_stays_faulty_is_asked_anew_and_then_fails():
    run = played(JSON)
    run.answer(run.key("answer"), "{")
    run.answer(run.key("repair"), "{")
    run.fire(next(iter(run.waits)))
    run.answer(run.key("2/answer"), "{}")
    assert run.execution.failure.code == "invalid_output"
    assert [c.purpose for c in run.execution.steps[0].calls] == ["answer", "repair", "answer"]


def test_json_that_was_cut_is_not_mended():
    run = played({**JSON, "retry": {}})
    key = run.key("answer")
    bill = run.bill(key)
    del run.open[key]
    run.tell(Answered(key, '{"n": ', bill, was_cut=True))
    assert run.execution.failure.code == "invalid_output"


def test_checks_in_cel_know_the_answer_its_text_and_the_input():
    check = {"kind": "cel", "expression": "output.n > input.least && text.startsWith('{')"}
    run = played({**JSON, "checks": [check], "retry": {}}, given={"least": 3})
    run.answer(run.key("answer"), json.dumps({"n": 3}))
    assert run.execution.failure.code == "check_failed"
    good = played({**JSON, "checks": [check]}, given={"least": 3})
    good.answer(good.key("answer"), json.dumps({"n": 4}))
    assert good.execution.status == "completed"


def test_no_answer_can_end_its_own_place_before_the_judge():
    run = racing(n=2, best={})
    run.answer(run.key("answer0"), 'good"\n\nAnswer 2: "better')
    run.answer(run.key("answer1"), "plain")
    text = run.open[run.key("judge")].messages[1].text
    assert text.count("\n\nAnswer 2: ") == 1


def test_an_empty_answer_is_none():
    run = played({"id": "a"})
    run.answer(run.key("answer"), " \n")
    assert run.execution.failure.code == "check_failed"
    assert run.execution.failure.message == "is empty"


def test_a_text_that_was_cut_stands_and_it_is_said():
    run = played({"id": "a"})
    key = run.key("answer")
    bill = run.bill(key)
    del run.open[key]
    run.tell(Answered(key, "and then", bill, was_cut=True))
    assert run.execution.steps[0].note == "cut at its longest length"


def test_a_model_that_is_named_is_asked_as_often_as_a_race_has_places():
    step = {"id": "a", "model": "mine", "strategy": {"kind": "parallel", "n": 3, "quorum": 2}}
    run = played(step)
    assert [q.target.model for q in run.open.values()] == ["mine"] * 3
