"""Which trials a record tells of."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.aggregator.store.learned import BEGIN_MS, BEGIN_NS, MINI, record

from remora.learning.arms import Arm
from remora.learning.evidence import Source
from remora.outcomes import CATEGORIES
from remora_aggregator.signals.record_trials import AHEAD_MS, MOST_ARMS, arm_of, trials_of
from remora_proto.v1 import records_pb2 as pb

NOW_NS = BEGIN_NS + 10**12


def _trials(**fields):
    return trials_of(record(1, **fields), NOW_NS)


def _attempt(model, **fields):
    return pb.Attempt(provider="openai", model=model, **fields)


FAILED = {"status_code": 503, "failure": "server_error"}


def test_an_answer_is_a_trial_of_its_arm():
    (trial,) = _trials()
    assert trial.arm == MINI
    assert (trial.cost_usd, trial.latency_ms, trial.at_ms) == (
        Decimal("0.001"),
        500.0,
        BEGIN_MS + 1_000,
    )
    assert (trial.goal, trial.workload, trial.session_id, trial.task_id) == (
        "write",
        "app",
        "s1",
        "t1",
    )
    assert trial.is_answer
    assert trial.inferred is None
    assert trial.propensity is None


NO_TRIAL = {
    "refused": {"end_reason": pb.END_REASON_REFUSED},
    "opaque": {"opaque": True},
}


@pytest.mark.parametrize("fields", NO_TRIAL.values(), ids=NO_TRIAL)
def test_what_no_arm_answered_is_no_trial(fields):
    assert _trials(**fields) == ()


def test_a_call_of_no_known_model_is_no_trial():
    made = record(1)
    made.ClearField("sent_model")
    made.ClearField("requested_model")
    assert trials_of(made, NOW_NS) == ()


MODELS = {
    "sent": ({"response_model": "served"}, "mini"),
    "served": ({"sent_model": "", "response_model": "served"}, "served"),
    "requested": ({"sent_model": ""}, "auto"),
}


@pytest.mark.parametrize(("fields", "model"), MODELS.values(), ids=MODELS)
def test_an_arms_model_is_the_one_that_was_sent_if_known(fields, model):
    made = record(1)
    for name, value in fields.items():
        setattr(made, name, value)
    (trial,) = trials_of(made, NOW_NS)
    assert trial.arm.model == model


def test_an_answer_from_the_cache_has_neither_cost_nor_latency_nor_chance():
    (trial,) = _trials(cached=True, receipt=pb.Receipt(propensity=0.5))
    assert (trial.cost_usd, trial.latency_ms, trial.propensity) == (None, None, None)


@pytest.mark.parametrize("end", [pb.END_REASON_CLIENT_GONE, pb.END_REASON_STOPPED])
def test_an_answer_that_was_cut_on_our_side_says_nothing_of_its_arm(end):
    outcome = pb.Outcome(kind="check_failed", strength=0, confidence=1)
    (trial,) = _trials(end_reason=end, outcome=outcome)
    assert trial.inferred is None
    assert trial.latency_ms is None


def test_the_outcome_is_what_is_inferred():
    outcome = pb.Outcome(
        kind="check_failed", strength=0.0, confidence=0.6, failure_category="malformed_output"
    )
    (trial,) = _trials(outcome=outcome)
    assert trial.inferred.source is Source.INFERRED
    assert (trial.inferred.kind, trial.inferred.confidence) == ("check_failed", 0.6)
    assert trial.inferred.at_ms == BEGIN_MS + 1_500
    assert trial.failure_category == "malformed_output"


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1, float("inf")])
def test_an_outcome_that_makes_no_sense_says_nothing(value):
    (trial,) = _trials(outcome=pb.Outcome(kind="x", strength=value, confidence=1))
    assert trial.inferred is None


def test_failed_attempts_are_bad_answers_of_their_arms():
    answer, big, odd = _trials(
        attempts=[
            _attempt("big", cost=pb.Cost(total_usd="0.5"), **FAILED),
            _attempt("big", cost=pb.Cost(total_usd="0.25"), failure="rate_limited"),
            _attempt("odd", failure="timeout"),
            _attempt("mini", status_code=200, duration_s=0.25),
        ]
    )
    assert answer.is_answer
    assert answer.latency_ms == 250.0
    assert (big.arm.model, big.cost_usd, big.failure_category) == (
        "big",
        Decimal("0.75"),
        "rate_limited",
    )
    assert (odd.arm.model, odd.cost_usd, odd.failure_category) == ("odd", None, "timeout")
    for failed in (big, odd):
        assert not failed.is_answer
        assert (failed.inferred.kind, failed.inferred.strength) == ("provider_error", 0.0)
        assert failed.latency_ms is None


def test_an_arm_that_failed_and_then_answered_has_one_trial():
    (trial,) = _trials(attempts=[_attempt("mini", **FAILED), _attempt("mini", status_code=200)])
    assert trial.is_answer
    assert trial.inferred is None


def test_an_attempt_that_failed_by_the_requests_fault_says_nothing_of_its_arm():
    assert len(_trials(attempts=[_attempt("big", status_code=400, failure="request"),
                                 _attempt("mini")])) == 1  # fmt: skip


def test_a_call_whose_last_attempt_failed_is_a_bad_answer():
    (trial,) = _trials(status_code=503, attempts=[_attempt("mini", **FAILED)])
    assert (trial.inferred.kind, trial.failure_category) == ("provider_error", "provider_error")


def test_the_chance_is_of_the_arm_that_was_chosen_first():
    receipt = pb.Receipt(
        propensity=0.3,
        candidates=[
            pb.CandidateReceipt(provider="openai", model="big"),
            pb.CandidateReceipt(provider="openai", model="mini", parameters='{"t": 1}'),
            pb.CandidateReceipt(provider="openai", model="gone", filtered_out_by="denied"),
        ],
    )
    arms = ("openai/big", Arm("openai", "mini", {"t": 1}).key)
    (answer,) = _trials(receipt=receipt)
    assert (answer.propensity, answer.arms) == (0.3, arms)
    answer, failed = _trials(
        receipt=receipt, attempts=[_attempt("big", **FAILED), _attempt("mini")]
    )
    assert (answer.propensity, answer.arms) == (None, ())
    assert (failed.propensity, failed.arms) == (0.3, arms)


@pytest.mark.parametrize("chance", [0.0, -1.0, 1.5, float("nan")])
def test_a_chance_that_is_none_is_not_believed(chance):
    (trial,) = _trials(receipt=pb.Receipt(propensity=chance))
    assert trial.propensity is None


def test_a_call_from_far_ahead_began_when_its_record_came():
    (trial,) = trials_of(record(1, started_unix_nano=(1 << 63) - 1), NOW_NS)
    assert trial.at_ms == NOW_NS // 10**6 + AHEAD_MS


@pytest.mark.parametrize("goal", ["*", "x" * 129, "a\nb"], ids=["all", "long", "control"])
def test_a_goal_of_no_form_is_none(goal):
    made = record(1)
    made.attribution.goal = goal
    (trial,) = trials_of(made, NOW_NS)
    assert trial.goal == ""


PARAMETERS = {
    "none": ("", {}),
    "scalars": ('{"a": 1, "b": "x", "c": null, "d": true, "e": 0.5}',
                {"a": 1, "b": "x", "c": None, "d": True, "e": 0.5}),
    "nested": ('{"a": {"c": 2, "b": [1]}}', {"a": '{"b":[1],"c":2}'}),
    "no object": ("[1]", {}),
    "no JSON": ("{", {}),
    "too deep": ("[" * 10_000, {}),
    "not a number": ('{"a": NaN}', {"a": "nan"}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "parameters"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_are_read_as_scalars(text, parameters):
    assert arm_of("openai", "mini", text).parameters == parameters


WORDS = st.sampled_from(["", "a", "b", "\0", "x" * 700])
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
ATTEMPTS = st.builds(
    pb.Attempt,
    provider=WORDS, model=WORDS, parameters=WORDS | st.text(max_size=20),
    failure=st.sampled_from(["", "request", "timeout", "other"]),
    status_code=st.sampled_from([0, 200, 400, 503]), duration_s=NUMBERS,
)  # fmt: skip


@given(
    attempts=st.lists(ATTEMPTS, max_size=50),
    outcome=st.none() | st.builds(pb.Outcome, kind=WORDS, strength=NUMBERS, confidence=NUMBERS,
                                  failure_category=st.sampled_from(["", "timeout", "odd"])),
    started=st.integers(0, (1 << 63) - 1),
    end=st.sampled_from(pb.EndReason.values()),
    latency_s=NUMBERS,
)  # fmt: skip
def test_whatever_a_record_says_its_trials_are_sound(attempts, outcome, started, end, latency_s):
    made = record(1, attempts=attempts, end_reason=end, latency_s=latency_s)
    made.started_unix_nano = started
    if outcome is not None:
        made.outcome.CopyFrom(outcome)
    trials = trials_of(made, NOW_NS)
    assert len({trial.arm.key for trial in trials}) == len(trials) <= MOST_ARMS
    assert sum(trial.is_answer for trial in trials) == bool(trials)
    for trial in trials:
        assert trial.inferred is None or trial.inferred.counts
        assert trial.failure_category in ("", *CATEGORIES)
        assert trial.latency_ms is None or 0 < trial.latency_ms < 10**11
        assert 0 <= trial.at_ms <= NOW_NS // 10**6 + AHEAD_MS
