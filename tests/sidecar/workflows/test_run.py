"""Whole runs by hand: order, conditions, skipping, mapping, failing, pausing, cancelling."""

from decimal import Decimal

import pytest
from tests.sidecar.workflows.played import played

from remora_sidecar.workflows.inputs import Answered, BudgetFreed, Cancel, Held, Pause, Resume


def test_steps_that_do_not_wait_for_each_other_are_asked_at_once():
    run = played({"id": "a"}, {"id": "b"}, {"id": "c", "prompt": "{{steps.a.output}}"})
    assert sorted(q.step_id for q in run.open.values()) == ["a", "b"]


def test_a_step_begins_once_those_it_refers_to_are_over():
    run = played({"id": "a"}, {"id": "c", "prompt": "Of {{steps.a.output}}."})
    run.answer(run.of("a")[0], "apples")
    (question,) = run.open.values()
    assert question.messages[-1].text == "Of apples."


def test_a_run_comes_to_outputs_costs_latency_and_receipts():
    run = played(
        {"id": "a"},
        {"id": "b", "prompt": "{{steps.a.output}}"},
        outputs={"x": "{{steps.b.output}}"},
    )
    run.now_ms += 40
    run.answer(run.of("a")[0], "one", "0.0000000000000000000000000001")
    run.now_ms += 2
    run.answer(run.of("b")[0], "two", "12345678901234567890.5")
    execution = run.execution
    assert execution is not None
    assert execution.outputs == {"x": "two"}
    assert execution.status == "completed"
    assert execution.total_cost_usd == Decimal("12345678901234567890.5000000000000000000000000001")
    assert execution.total_latency_ms == 42
    value = execution.value()
    assert value["total_cost_usd"] == "12345678901234567890.5000000000000000000000000001"
    assert [s["step_id"] for s in value["steps"]] == ["a", "b"]
    assert value["steps"][0]["model_id"] == "balanced-0"
    assert value["steps"][0]["latency_ms"] == 40
    assert value["steps"][1]["receipt_ids"] == ["call1"]
    assert value["total_tokens"] == 20


def test_events_have_the_published_fields():
    run = played({"id": "a"})
    run.now_ms += 7
    run.answer(run.of("a")[0], "x", "0.25")
    started, completed, final = run.events
    assert started == {"type": "step_started", "step_id": "a"}
    assert completed["type"] == "step_completed"
    assert completed["step_id"] == "a"
    assert completed["model_id"] == "balanced-0"
    assert completed["latency_ms"] == 7
    assert completed["cost_usd"] == "0.25"
    assert final["type"] == "final"
    assert final["result"]["outputs"] == {"a": "x"}
    assert final["result"]["total_cost_usd"] == "0.25"


def test_an_unknown_cost_makes_the_sum_unknown():
    run = played({"id": "a"}, {"id": "b"})
    run.answer(run.of("a")[0], "x", None)
    run.answer(run.of("b")[0], "x", "0.5")
    assert run.execution is not None
    value = run.execution.value()
    assert value["total_cost_usd"] is None
    assert value["known_cost_usd"] == "0.5"
    assert value["unpriced_calls"] == 1


SKIPPER = {"id": "a", "condition": {"==": [{"var": "input.go"}, True]}}


def test_a_condition_that_does_not_hold_skips_a_step_and_those_that_need_it():
    run = played(SKIPPER, {"id": "b", "prompt": "{{steps.a.output}}"}, {"id": "c"}, given={})
    assert run.of("c")
    execution = run.play()
    assert [s.status for s in execution.steps] == ["skipped", "completed", "skipped"]
    assert execution.status == "completed"
    assert execution.outputs == {"b": None, "c": "fine"}
    assert run.types().count("step_skipped") == 2


def test_a_condition_that_holds_lets_a_step_run():
    run = played(SKIPPER, given={"go": True})
    assert run.play().steps[0].status == "completed"


def test_a_skipped_step_with_a_default_leaves_it_for_others():
    run = played(
        {**SKIPPER, "default": "D"}, {"id": "b", "prompt": "{{steps.a.output}}!"}, given={}
    )
    assert run.open[run.of("b")[0]].messages[0].text == "D!"
    execution = run.play()
    assert [s.status for s in execution.steps] == ["defaulted", "completed"]


def test_a_dependent_with_a_default_is_not_without():
    run = played(SKIPPER, {"id": "b", "prompt": "{{steps.a.output}}!", "default": "E"}, given={})
    assert run.execution is not None
    assert run.execution.outputs == {"b": "E"}


def test_a_step_that_asks_for_a_status_is_not_skipped_with_the_other():
    run = played(
        {"id": "a", "on_failure": "skip"},
        {"id": "b", "condition": {"==": [{"var": "steps.a.status"}, "failed"]}},
    )
    run.fail(run.of("a")[0])
    assert run.of("b")


def test_a_condition_that_can_not_be_told_fails_its_step():
    run = played({"id": "a", "condition": {"+": [{"var": "input.x"}, 1]}}, given={"x": "y"})
    assert run.execution is not None
    assert run.execution.status == "failed"
    assert run.execution.failure.code == "condition"


def test_a_failed_step_fails_the_run_and_abandons_what_runs():
    run = played({"id": "a"}, {"id": "b"}, {"id": "c", "prompt": "{{steps.b.output}}"})
    other = run.of("b")[0]
    run.fail(run.of("a")[0])
    assert run.abandoned == {other}
    assert run.execution is None
    run.close(other, "0.125")
    assert run.execution.status == "failed"
    assert run.execution.failed_step == "a"
    assert [s.status for s in run.execution.steps] == ["failed", "cancelled", "not_started"]
    assert run.execution.total_cost_usd == Decimal("0.125")


@pytest.mark.parametrize(
    ("policy", "status", "output"),
    [
        ({"on_failure": "skip"}, "failed", None),
        ({"on_failure": "default", "default": 1}, "defaulted", 1),
    ],
    ids=["skip", "default"],
)
def test_a_failure_leaves_what_the_policy_says(policy, status, output):
    run = played({"id": "a", "output": "json", **policy})
    run.fail(run.of("a")[0])
    assert run.execution.status == "completed"
    assert run.execution.steps[0].status == status
    assert run.execution.outputs == {"a": output}


MAPPED = {
    "id": "m",
    "prompt": "{{x}}",
    "map": {"over": "{{input.list}}", "as": "x", "concurrency": 2},
}


def test_a_mapped_step_asks_so_many_at_once_and_keeps_the_order():
    run = played(MAPPED, given={"list": ["p", "q", "r"]})
    assert [q.messages[0].text for q in run.open.values()] == ["p", "q"]
    run.answer(run.key("/1/1/answer"), "Q")
    assert [q.messages[0].text for q in run.open.values()] == ["p", "r"]
    run.answer(run.key("/2/1/answer"), "R")
    run.answer(run.key("/0/1/answer"), "P")
    assert run.execution.outputs == {"m": ["P", "Q", "R"]}


def test_a_mapped_step_over_nothing_is_over_at_once():
    run = played(MAPPED, given={"list": []})
    assert run.execution.outputs == {"m": []}


@pytest.mark.parametrize(
    ("policy", "output"),
    [({"on_failure": "skip"}, ["Q"]), ({"on_failure": "default", "default": "D"}, ["D", "Q"])],
    ids=["skip", "default"],
)
def test_a_failed_item_leaves_what_the_policy_says(policy, output):
    run = played({**MAPPED, **policy}, given={"list": ["p", "q"]})
    run.fail(run.key("/0/1/answer"))
    run.answer(run.key("/1/1/answer"), "Q")
    assert run.execution.outputs == {"m": output}


def test_a_failed_item_fails_the_run_and_abandons_the_others():
    run = played(MAPPED, given={"list": ["p", "q", "r"]})
    run.fail(run.key("/0/1/answer"))
    (left,) = run.abandoned
    run.close(left)
    assert run.execution.status == "failed"


@pytest.mark.parametrize(
    ("given", "code"),
    [({"list": "no"}, "bad_list"), ({"list": list(range(101))}, "bad_list"), ({}, "template")],
    ids=["no list", "too long", "absent"],
)
def test_a_list_that_can_not_be_mapped_fails_before_anything_is_spent(given, code):
    run = played(MAPPED, given=given)
    assert run.execution.failure.code == code
    assert run.billed == []


def test_a_reference_without_a_value_fails_its_step():
    run = played({"id": "a", "prompt": "{{input.absent}}"}, given={})
    assert run.execution.failure.code == "template"


def test_an_output_without_a_value_fails_the_run_and_the_others_stay():
    run = played(
        {"id": "a"}, outputs={"x": "{{input.absent}}", "y": "{{steps.a.output}}"}, given={}
    )
    execution = run.play()
    assert execution.status == "failed"
    assert execution.failure.code == "outputs"
    assert execution.outputs == {"x": None, "y": "fine"}


def test_defaults_of_the_input_are_filled_in():
    schema = {"type": "object", "properties": {"n": {"type": "string", "default": "N"}}}
    run = played({"id": "a", "prompt": "{{input.n}}"}, input=schema, given={})
    assert run.open[run.of("a")[0]].messages[0].text == "N"


def test_a_paused_run_asks_nothing_and_goes_on_when_resumed():
    run = played({"id": "a"}, {"id": "b", "prompt": "{{steps.a.output}}"})
    run.tell(Pause())
    run.answer(run.of("a")[0])
    assert run.open == {}
    assert run.execution is None
    run.tell(Resume())
    assert run.of("b")
    assert run.types() == ["step_started", "paused", "step_completed", "resumed", "step_started"]


def test_a_call_that_was_refused_since_its_task_is_paused_is_asked_again():
    run = played({"id": "a"})
    key = run.of("a")[0]
    del run.open[key]
    run.tell(Held(key))
    assert run.run.is_paused
    assert run.open == {}
    run.tell(Resume())
    assert run.of("a") == [f"{key}+1"]
    assert run.play().status == "completed"


def test_pausing_twice_and_resuming_what_runs_change_nothing():
    run = played({"id": "a"})
    run.tell(Resume())
    run.tell(Pause())
    run.tell(Pause())
    assert run.types().count("paused") == 1


def test_a_cancelled_run_abandons_its_calls_and_bills_what_they_took():
    run = played({"id": "a"}, {"id": "b"})
    run.tell(Cancel("enough"))
    assert len(run.abandoned) == 2
    for key in list(run.open):
        run.close(key, "0.25")
    assert run.execution.status == "cancelled"
    assert run.execution.failure.message == "enough"
    assert run.execution.total_cost_usd == Decimal("0.5")


def test_a_paused_run_can_be_cancelled():
    run = played({"id": "a"}, {"id": "b", "prompt": "{{steps.a.output}}"})
    run.tell(Pause())
    run.answer(run.of("a")[0])
    run.tell(Cancel())
    assert run.execution.status == "cancelled"
    assert run.execution.outputs == {"b": None}


def test_an_answer_that_comes_after_its_call_was_abandoned_is_billed_and_no_more():
    run = played({"id": "a"})
    key = run.of("a")[0]
    run.tell(Cancel())
    bill = run.bill(key, "0.5")
    del run.open[key]
    run.tell(Answered(key, "late", bill))
    assert run.execution.steps[0].status == "cancelled"
    assert run.execution.total_cost_usd == Decimal("0.5")


def test_nothing_follows_the_end():
    run = played({"id": "a"})
    run.play()
    assert run.run.is_finished
    assert run.run.handle(Cancel(), 5) == []
    assert run.run.handle(BudgetFreed(), 5) == []


def test_a_call_that_takes_too_long_is_given_up_and_tried_again():
    run = played({"id": "a", "timeout": "2s", "retry": {"attempts": 2, "initial": "100ms"}})
    first = run.of("a")[0]
    run.fire(f"{first}!")
    assert run.abandoned == {first}
    run.close(first, "0.5")
    (pause,) = run.waits
    run.fire(pause)
    run.answer(run.of("a")[0], "late but good", "0.25")
    assert run.execution.outputs == {"a": "late but good"}
    assert run.execution.total_cost_usd == Decimal("0.75")
    assert [call.status for call in run.execution.steps[0].calls] == ["abandoned", "ok"]


def test_pauses_between_tries_grow():
    run = played({"id": "a", "retry": {"attempts": 4, "initial": "100ms", "max": "300ms"}})
    pauses = []
    while run.execution is None:
        run.fail(run.of("a")[0])
        if run.waits:
            (key,) = run.waits
            pauses.append(run.waits[key] - run.now_ms)
            run.fire(key)
    assert pauses == [100, 200, 300]
    assert run.execution.failure.code == "provider_error"


def test_a_failure_that_another_try_can_not_help_is_not_tried_again():
    run = played({"id": "a", "retry": {"attempts": 4}})
    run.fail(run.of("a")[0], "unauthorized", may_retry=False)
    assert run.execution.status == "failed"


def test_a_call_whose_model_can_not_be_reached_moves_to_the_next_model():
    run = played({"id": "a"})
    run.fail(run.of("a")[0], may_move=True)
    (question,) = run.open.values()
    assert question.target.model == "balanced-1"
    run.fail(run.of("a")[0], may_move=True)
    run.fail(run.of("a")[0], may_move=True)
    assert run.execution.status == "failed"
    assert len(run.execution.steps[0].calls) == 3


def test_a_step_for_which_there_is_no_model_fails_and_says_so():
    run = played({"id": "a"}, choose=lambda wish: [])
    assert run.execution.failure.code == "no_model"
    assert "tier balanced" in run.execution.failure.message
