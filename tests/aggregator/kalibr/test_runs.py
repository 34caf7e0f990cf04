"""Runs: in whatever order outcomes and corrections come, and however often."""

from hypothesis import given
from hypothesis import strategies as st

from remora.learning.arms import Arm
from remora_aggregator.signals.kalibr_runs import (
    Report,
    Run,
    Spent,
    Verdict,
    begun_by,
    corrected,
    reported,
    trials_of,
    with_spent,
)

X, Y = Arm("openai", "x"), Arm("openai", "y")
RUN = Run("0" * 32, "g", 5, arm=X, path_id="p", propensity=0.5, arms=("openai/x", "openai/y"))

VERDICTS = st.builds(
    Verdict, st.none() | st.booleans(), st.none() | st.floats(0, 1),
    st.none() | st.sampled_from(["timeout", "user_unsatisfied"]),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.just("report"), st.sampled_from([X, Y]), VERDICTS)
    | st.tuples(st.just("correct"), st.none(), VERDICTS)
    | st.tuples(st.just("spent"), st.sampled_from([X, Y]), st.floats(1, 100)),
    max_size=8,
)


def after(run, steps):
    for number, (what, arm, said) in enumerate(steps):
        if what == "report":
            run = reported(run, Report(arm, said, 100 + number))
        elif what == "correct":
            run = corrected(run, said, 100 + number)
        else:
            run = with_spent(run, Spent("openai", arm.model, None, said))
    return run


@given(STEPS)
def test_each_arm_has_one_trial_and_one_answers_at_most(steps):
    run = after(RUN, steps)
    trials = trials_of(run)
    assert len({trial.arm.key for trial in trials}) == len(trials)
    assert sum(trial.is_answer for trial in trials) <= 1
    for trial in trials:
        assert trial.propensity == (0.5 if trial.arm == X else None)
        assert trial.at_ms == 5


@given(STEPS)
def test_said_again_at_once_nothing_changes(steps):
    run = RUN
    for step in steps:
        once = after(run, [step])
        if step[0] != "report" or step[2].said:
            assert after(once, [step]) == once
        run = once


@given(STEPS)
def test_what_is_said_later_is_dated_later(steps):
    run = RUN
    for step in steps:
        next_run = after(run, [step])
        if trials_of(next_run) != trials_of(run) and run.tried:
            assert next_run.said_ms > run.said_ms
        run = next_run


@given(STEPS)
def test_a_decision_may_come_after_all_that_is_said_of_it(steps):
    bare = Run("0" * 32, "g", 9)
    late = begun_by(after(bare, steps), RUN)
    assert (late.arm, late.path_id, late.at_ms) == (X, "p", 5)
    early = {t.arm.key: t.inferred and t.inferred.strength for t in trials_of(after(RUN, steps))}
    told = {t.arm.key: t.inferred and t.inferred.strength for t in trials_of(late)}
    assert told == early


def test_a_model_that_gave_no_answer_is_not_what_corrections_are_about():
    run = reported(RUN, Report(X, Verdict(False, category="timeout"), 1))
    run = reported(run, Report(Y, Verdict(True), 2))
    run = corrected(run, Verdict(success=False), 3)
    assert {t.arm.model: (t.is_answer, t.inferred.strength, t.failure_category)
            for t in trials_of(run)} == {
        "x": (False, 0.0, "timeout"), "y": (True, 0.0, "unknown"),
    }  # fmt: skip


def test_a_score_that_was_given_for_success_does_not_soften_a_rejection():
    run = reported(RUN, Report(X, Verdict(True, 0.9), 1))
    (trial,) = trials_of(corrected(run, Verdict(success=False), 2))
    assert trial.inferred.strength == 0.0
    (trial,) = trials_of(corrected(run, Verdict(False, 0.3), 2))
    assert trial.inferred.strength == 0.3
