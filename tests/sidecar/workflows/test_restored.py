"""Runs that go on after their process died, and the entries that they go on from."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sidecar.workflows.played import Played, plan_of, played

from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.inputs import Cancel, Pause, Resume
from remora_sidecar.workflows.saved import (
    CallIntended,
    CallSettled,
    Failure,
    ItemEnded,
    LifeBegan,
    RunTurned,
    StepEnded,
    entry_of,
    entry_value,
)

CHAIN = ({"id": "a"}, {"id": "b", "prompt": "{{steps.a.output}}"})


def revived(run: Played) -> Played:
    run.crash()
    run.begin()
    return run


def test_a_step_that_is_over_is_not_asked_again_and_its_answer_is_there():
    run = played(*CHAIN)
    run.answer(run.of("a")[0], "apples", "0.25")
    revived(run)
    (question,) = run.open.values()
    assert question.messages[0].text == "apples"
    run.answer(run.of("b")[0], "pie", "0.5")
    assert run.execution.outputs == {"b": "pie"}
    assert [s.status for s in run.execution.steps] == ["completed", "completed"]
    assert run.execution.steps[0].model == "balanced-0"


def test_a_call_that_died_with_its_process_is_reported_as_lost():
    run = played({"id": "a"})
    revived(run)
    run.answer(run.of("a")[0], "x", "0.25")
    value = run.execution.value()
    assert [c["status"] for c in value["steps"][0]["calls"]] == ["ok", "lost"]
    assert value["total_cost_usd"] is None
    assert value["known_cost_usd"] == "0.25"


def test_a_lost_call_whose_bill_is_found_is_billed():
    run = played({"id": "a"})
    lost = run.of("a")[0]
    run.saved.append(CallSettled(lost, Bill("found", cost_usd=Decimal("0.125")), "lost"))
    revived(run)
    run.answer(run.of("a")[0], "x", "0.25")
    assert run.execution.total_cost_usd == Decimal("0.375")
    assert run.execution.steps[0].spending.receipt_ids == ("found", "call0")


def test_what_was_spent_or_lost_before_counts_against_the_budget():
    steps = [{"id": f"s{n}", "tier": "fast"} for n in range(2)]
    run = played(*steps, budget={"max_cost_usd": "0.006"})
    run.answer(run.of("s0")[0], cost="0.002")
    revived(run)
    assert run.execution.status == "budget_exceeded"


def test_items_that_are_over_are_not_asked_again():
    run = played(
        {"id": "m", "prompt": "{{x}}", "map": {"over": "{{input.l}}", "as": "x", "concurrency": 1}},
        given={"l": ["p", "q", "r"]},
    )
    run.answer(next(iter(run.open)), "P")
    revived(run)
    assert [q.messages[0].text for q in run.open.values()] == ["q"]
    run.answer(next(iter(run.open)), "Q")
    run.answer(next(iter(run.open)), "R")
    assert run.execution.outputs == {"m": ["P", "Q", "R"]}


def test_keys_of_calls_are_new_in_every_life():
    run = played({"id": "a"})
    first = run.of("a")
    assert revived(run).of("a") != first


def test_a_paused_run_stays_paused():
    run = played({"id": "a"})
    run.tell(Pause())
    revived(run)
    assert run.open == {}
    run.tell(Resume())
    assert len(run.open) == 1


def test_a_cancelled_run_ends_at_once():
    run = played({"id": "a"})
    run.tell(Cancel())
    revived(run)
    assert run.execution.status == "cancelled"
    assert run.execution.steps[0].status == "cancelled"


def test_a_run_that_was_over_comes_to_the_same():
    run = played({"id": "a"})
    run.answer(run.of("a")[0], "x")
    before = run.execution
    revived(run)
    assert run.execution == before


def test_a_downgraded_run_stays_downgraded():
    later = [{"id": f"s{n}", "prompt": "{{steps.a.output}}"} for n in range(2)]
    run = played({"id": "a"}, *later, budget={"max_cost_usd": "0.05", "on_exceed": "downgrade"})
    run.answer(run.of("a")[0], cost="0.03")
    revived(run)
    assert {q.target.model for q in run.open.values()} == {"fast-0"}
    assert "budget_downgraded" not in run.types()


texts = st.text(max_size=5)
moneys = st.none() | st.decimals(min_value=0, max_value=9, places=12)
counts = st.none() | st.integers(0, 10**9)
bills = st.none() | st.builds(Bill, texts, texts, texts, moneys, counts, counts, st.integers(0, 9))
failures = st.none() | st.builds(Failure, texts, texts)
outputs = st.none() | texts | st.lists(st.integers()) | st.dictionaries(texts, st.booleans())
entries = st.one_of(
    st.builds(LifeBegan, st.integers(1, 9)),
    st.builds(
        CallIntended,
        texts,
        texts,
        st.none() | st.integers(0, 9),
        texts,
        texts,
        texts,
        moneys,
        st.integers(0, 9),
    ),
    st.builds(CallSettled, texts, bills, texts),
    st.builds(ItemEnded, texts, st.integers(0, 9), st.just("completed"), outputs, failures),
    st.builds(
        StepEnded,
        texts,
        st.just("failed"),
        outputs,
        st.integers(0, 9),
        texts,
        texts,
        texts,
        failures,
    ),
    st.builds(RunTurned, st.sampled_from(["paused", "failed"]), texts, failures, texts, texts),
)


@given(entries)
def test_an_entry_is_read_as_it_was_written(entry):
    assert entry_of(entry_value(entry)) == entry


def test_an_entry_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no kind of saved entry: 'later'"):
        entry_of({"kind": "later"})


class _Died(Exception):
    """The process of a run is no more."""


class _Mortal(Played):
    """Dies after so many commands, once."""

    left = 0

    def do(self, commands, stop_after=None):
        for place in range(len(commands)):
            super().do(commands[place : place + 1])
            self.left -= 1
            if self.left == 0:
                raise _Died

    def live(self) -> int:
        """Begin and play to the end, with a new life after death; gives the commands of all."""
        begin = self.left
        try:
            self.begin()
            self.play(said)
        except _Died:
            self.crash()
            self.begin()
            self.play(said)
        return begin - self.left


def said(question):
    if question.purpose == "judge":
        return '{"best": 2}'
    if question.form.type == "text":
        return "fine"
    return '{"ok": true}' if question.attempt == 2 or question.purpose == "repair" else "{"


MIXED = (
    {"id": "a", "strategy": "speculative", "timeout": "5s"},
    {"id": "m", "prompt": "{{x}}", "map": {"over": "{{input.l}}", "as": "x", "concurrency": 2}},
    {"id": "j", "output": "json", "prompt": "{{steps.a.output}}", "retry": {"attempts": 2}},
    {"id": "s", "condition": {"!!": [{"var": "input.never"}]}, "default": "D"},
    {
        "id": "p",
        "prompt": "{{steps.m.output}}",
        "strategy": {"kind": "parallel", "n": 3, "quorum": 2},
    },
    {"id": "b", "prompt": "{{steps.s.output}}", "strategy": {"kind": "parallel", "best": {}}},
)


def mortal(left: int) -> _Mortal:
    found = _Mortal(plan_of(*MIXED, given={"l": ["p", "q", "r"]}, budget={"max_cost_usd": 9}))
    found.left = left
    return found


def test_a_run_survives_a_death_after_any_of_its_commands():
    whole = mortal(10**6)
    commands = whole.live()
    assert whole.execution.status == "completed"
    assert commands > 40
    for number in range(1, commands):
        run = mortal(number)
        run.live()
        assert run.execution.outputs == whole.execution.outputs
        assert run.execution.status == "completed"
        assert run.execution.spending.known_usd == run.settled_usd
