"""Runs within budgets: what is refused, waits, is moved to cheaper models, or only said."""

from decimal import Decimal

import pytest
from tests.sidecar.workflows.played import played, price

from remora.workflows.budget import Budget
from remora_sidecar.workflows.envelope import Envelope
from remora_sidecar.workflows.inputs import BudgetFreed, Cancel, Pause, Resume
from remora_sidecar.workflows.question import Target

# A question of a fast model is reckoned at 1024 tokens of answer for 2 USD a million, and little
# more for the prompt: 0.0021; of a balanced one at 0.0205, of a high one at 0.205.
TWO = ({"id": "a", "tier": "fast"}, {"id": "b", "tier": "fast", "prompt": "{{steps.a.output}}"})


def test_a_run_that_would_pass_its_limit_ends_with_what_is_there():
    run = played(
        *TWO,
        budget={"max_cost_usd": "0.003"},
        outputs={"a": "{{steps.a.output}}", "b": "{{steps.b.output}}", "c": "{{steps.b.status}}"},
    )
    run.answer(run.of("a")[0], "apples", "0.002")
    execution = run.execution
    assert execution.status == "budget_exceeded"
    assert execution.failure.message.startswith(
        "max_cost_usd 0.003 of the workflow would be passed"
    )
    assert execution.outputs == {"a": "apples", "b": None, "c": "failed"}
    assert execution.steps[0].spending.receipt_ids == ("call0",)
    assert "budget_exceeded" in run.types()


def test_calls_in_flight_go_on_when_nothing_new_begins():
    run = played(*TWO, {"id": "c", "tier": "fast"}, budget={"max_cost_usd": "0.0045"})
    run.answer(run.of("a")[0], "x", "0.003")
    assert run.run.is_finished is False
    assert run.abandoned == set()
    run.answer(run.of("c")[0], "still paid")
    execution = run.execution
    assert execution.status == "budget_exceeded"
    assert {s.step_id: s.status for s in execution.steps}["c"] == "completed"


def test_a_call_that_may_fit_later_waits_for_calls_in_flight():
    steps = [{"id": f"s{n}", "tier": "fast"} for n in range(3)]
    run = played(*steps, budget={"max_cost_usd": "0.005"})
    assert len(run.open) == 2
    run.answer(run.of("s0")[0], cost="0.0001")
    assert [q.step_id for q in run.open.values()] == ["s1", "s2"]
    assert run.play().status == "completed"


def test_a_pause_between_tries_ends_when_nothing_new_begins():
    first = {
        "id": "a",
        "tier": "fast",
        "retry": {"attempts": 3, "initial": "5s"},
        "on_failure": "skip",
    }
    run = played(
        first,
        {"id": "b", "tier": "fast"},
        {"id": "c", "prompt": "{{steps.b.output}}"},
        budget={"max_cost_usd": "0.006"},
    )
    run.fail(run.of("a")[0])
    assert run.waits
    run.answer(run.of("b")[0], cost="0.001")
    assert run.waits == {}
    assert run.execution.status == "budget_exceeded"


def test_the_callers_budget_and_the_workflows_own_both_hold():
    run = played(
        {"id": "a", "tier": "fast"},
        run_budget=Budget(max_cost_usd=Decimal("0.001")),
        budget={"max_cost_usd": "9"},
    )
    assert run.execution.status == "budget_exceeded"
    assert "of the run would" in run.execution.failure.message


DOWN = {"max_cost_usd": "0.05", "on_exceed": "downgrade"}


def test_what_remains_is_moved_to_cheaper_models_and_this_is_said_once():
    later = [{"id": f"s{n}", "tier": "balanced", "prompt": "{{steps.a.output}}"} for n in range(2)]
    run = played({"id": "a", "tier": "balanced"}, *later, budget=DOWN)
    run.answer(run.of("a")[0], cost="0.04")
    assert [q.target.model for q in run.open.values()] == ["fast-0", "fast-0"]
    assert all(q.wish.downgraded for q in run.open.values())
    assert run.types().count("budget_downgraded") == 1
    execution = run.play()
    assert execution.status == "completed"
    assert execution.downgraded == ("workflow",)


def test_where_cheaper_models_do_not_fit_either_it_ends():
    run = played(
        {"id": "a", "tier": "high"}, budget={"max_cost_usd": "0.001", "on_exceed": "downgrade"}
    )
    assert run.execution.status == "budget_exceeded"
    assert run.types() == [
        "step_started",
        "budget_downgraded",
        "budget_exceeded",
        "step_failed",
        "final",
    ]


def test_a_model_that_is_named_is_not_replaced():
    run = played({"id": "a", "model": "mine"}, budget=DOWN)
    assert run.execution.status == "budget_exceeded"


def test_a_steps_own_budget_downgrades_this_step_alone():
    own = {"max_cost_usd": "0.01", "on_exceed": "downgrade"}
    run = played({"id": "a", "budget": own}, {"id": "b"})
    assert {q.step_id: q.target.model for q in run.open.values()} == {
        "a": "fast-0",
        "b": "balanced-0",
    }


def test_a_steps_own_budget_fails_the_step_and_its_policy_decides():
    run = played({"id": "a", "budget": {"max_cost_usd": "0.01"}, "on_failure": "skip"}, {"id": "b"})
    execution = run.play()
    assert execution.status == "completed"
    assert execution.steps[0].failure.code == "budget_exceeded"


def test_a_step_that_has_to_succeed_within_its_budget_ends_the_run():
    run = played({"id": "a", "budget": {"max_cost_usd": "0.01"}})
    assert run.execution.status == "budget_exceeded"
    assert run.execution.failed_step == "a"


def test_a_budget_that_warns_says_so_once_and_goes_on():
    steps = [{"id": f"s{n}"} for n in range(3)]
    run = played(*steps, budget={"max_cost_usd": "0.001", "on_exceed": "warn"})
    assert len(run.open) == 3
    assert run.types().count("budget_warning") == 1
    said = next(e for e in run.events if e["type"] == "budget_warning")
    assert (said["scope"], said["limit"], said["allowed"]) == ("workflow", "max_cost_usd", "0.001")
    assert run.play().status == "completed"


def test_an_unknown_price_can_not_be_held_to_a_limit_of_cost():
    run = played({"id": "a"}, budget={"max_cost_usd": "9"}, choose=lambda wish: [Target("p", "m")])
    assert "price of the model is unknown" in run.execution.failure.message


def test_an_unknown_price_is_moved_to_a_model_whose_price_is_known():
    def choose(wish):
        return [
            Target("p", "m"),
            *([Target("p", "k", "fast", price("fast"))] if wish.downgraded else []),
        ]

    run = played({"id": "a"}, budget={"max_cost_usd": "9", "on_exceed": "downgrade"}, choose=choose)
    assert [q.target.model for q in run.open.values()] == ["k"]


def test_a_verifier_without_room_waits_for_the_draft():
    run = played(
        {"id": "a", "tier": "fast", "strategy": "speculative"}, budget={"max_cost_usd": "0.003"}
    )
    assert [q.purpose for q in run.open.values()] == ["draft"]
    run.answer(run.key("draft"), "x", "0.0001")
    assert [q.purpose for q in run.open.values()] == ["verify"]


def test_a_draft_stands_where_there_is_no_money_for_the_verifier():
    run = played(
        {"id": "a", "tier": "high", "strategy": "speculative", "budget": {"max_cost_usd": "0.01"}}
    )
    run.answer(run.key("draft"), "drafted")
    assert run.execution.outputs == {"a": "drafted"}
    assert run.execution.status == "completed"


def test_runs_of_one_task_share_its_budget():
    task = Envelope("task", Budget(max_cost_usd=Decimal("0.003")))
    one = played({"id": "a", "tier": "fast"}, task=task)
    two = played({"id": "a", "tier": "fast"}, task=task)
    assert len(one.open) == 1
    assert two.open == {}
    one.answer(one.of("a")[0], cost="0.0001")
    two.tell(BudgetFreed())
    assert len(two.open) == 1
    two.answer(two.of("a")[0], cost="0.0001")
    assert (task.spent_usd, task.reserved_usd) == (Decimal("0.0002"), 0)


@pytest.mark.parametrize("policy", ["block", "downgrade"])
def test_a_run_ends_when_its_time_is_over(policy):
    run = played({"id": "a"}, budget={"max_latency_ms": 500, "on_exceed": policy})
    key = run.of("a")[0]
    (deadline,) = run.waits
    run.fire(deadline)
    assert run.abandoned == {key}
    run.close(key)
    assert run.execution.status == "budget_exceeded"
    assert run.execution.failure.message.startswith("max_latency_ms 500 of the workflow")
    assert run.execution.total_latency_ms == 500


def test_a_run_that_only_warns_of_time_goes_on():
    run = played({"id": "a"}, budget={"max_latency_ms": 500, "on_exceed": "warn"})
    run.fire(next(iter(run.waits)))
    assert run.types()[-1] == "budget_warning"
    assert run.play().status == "completed"


def test_a_step_ends_when_its_time_is_over():
    run = played(
        {"id": "a", "budget": {"max_latency_ms": 500}, "on_failure": "default", "default": "D"}
    )
    key = run.of("a")[0]
    run.fire(next(iter(run.waits)))
    run.close(key)
    assert run.execution.outputs == {"a": "D"}


def test_time_stands_still_while_a_run_is_paused():
    run = played({"id": "a"}, budget={"max_latency_ms": 500})
    run.now_ms += 300
    run.tell(Pause())
    run.now_ms += 10_000
    (deadline,) = run.waits
    run.fire(deadline)
    assert run.abandoned == set()
    run.tell(Resume())
    assert run.waits[deadline] - run.now_ms == 200
    run.fire(deadline)
    assert len(run.abandoned) == 1


def test_time_that_gets_short_moves_calls_to_faster_models():
    run = played(
        {"id": "a", "tier": "high"}, budget={"max_latency_ms": 100_000, "on_exceed": "downgrade"}
    )
    (question,) = run.open.values()
    assert question.target.model == "balanced-0"


def test_a_run_that_is_blocked_can_still_be_cancelled():
    run = played(*TWO, {"id": "c", "tier": "fast"}, budget={"max_cost_usd": "0.0045"})
    run.answer(run.of("a")[0], "x", "0.003")
    run.tell(Cancel())
    (key,) = run.abandoned
    run.close(key)
    assert run.execution.status == "budget_exceeded"
