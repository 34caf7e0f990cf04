import math
import random

import pytest

from remora.learning.offpolicy import Logged, advantages, evaluate

QUALITY = {"a": 0.4, "b": 0.7, "c": 0.6}
LOGGING = {"a": 0.6, "b": 0.1, "c": 0.3}


def log_of(calls: int, seed: int = 1, logging: dict[str, float] = LOGGING) -> list[Logged]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    arms = chance.choices(list(logging), list(logging.values()), k=calls)
    return [
        Logged("g", arm, logging[arm], float(chance.random() < QUALITY[arm]), tuple(QUALITY))
        for arm in arms
    ]


def always(arm: str):
    return lambda _: {arm: 1.0}


def logging_policy(_) -> dict[str, float]:
    return LOGGING


@pytest.mark.parametrize("arm", QUALITY)
def test_estimates_come_to_what_another_policy_would_have_earned(arm):
    found = evaluate(log_of(20_000), always(arm))
    for estimate in (found.ips, found.snips, found.doubly_robust):
        assert estimate.mean == pytest.approx(QUALITY[arm], abs=0.04)
        assert estimate.low < estimate.mean < estimate.high


@pytest.mark.parametrize("name", ["ips", "snips", "doubly_robust"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(name):
    held = 0
    for seed in range(200):
        estimate = getattr(evaluate(log_of(400, seed), always("b")), name)
        held += estimate.low <= QUALITY["b"] <= estimate.high
    assert held / 200 >= 0.9


def test_the_corrected_estimates_are_narrower_than_plain_inverse_propensities():
    found = evaluate(log_of(5_000), always("b"))
    widths = [e.high - e.low for e in (found.ips, found.snips, found.doubly_robust)]
    assert widths[1] < widths[0]
    assert widths[2] < widths[0]


def test_a_policy_that_logged_is_worth_all_its_calls():
    log = log_of(2_000)
    found = evaluate(log, logging_policy)
    mean = sum(call.reward for call in log) / len(log)
    assert found.effective_calls == pytest.approx(2_000)
    assert found.ips.mean == found.snips.mean == pytest.approx(mean)
    assert found.doubly_robust.mean == pytest.approx(mean, abs=0.01)


def test_a_policy_far_from_the_log_is_worth_few_calls():
    assert evaluate(log_of(2_000), always("b")).effective_calls == pytest.approx(200, abs=60)


def test_what_the_log_never_did_is_said():
    log = log_of(500, logging={"a": 0.5, "c": 0.5})
    found = evaluate(log, lambda _: {"a": 0.25, "b": 0.75})
    assert found.unsupported == pytest.approx(0.75)
    nothing = evaluate(log, always("b"))
    assert nothing.effective_calls == 0
    assert math.isnan(nothing.snips.mean)


def test_unsure_rewards_count_for_less():
    sure = [Logged("g", "a", 1.0, 1.0, ("a",))] * 10
    unsure = [Logged("g", "a", 1.0, 0.0, ("a",), confidence=0.1)] * 10
    assert evaluate([*sure, *unsure], always("a")).ips.mean == pytest.approx(10 / 11)


def test_two_policies_are_compared_call_by_call():
    log = log_of(5_000)
    gain = advantages(log, always("b"), always("a"))
    assert gain.low < 0.3 < gain.high
    assert advantages(log, always("a"), always("a")) == (0.0, 0.0, 0.0)


def test_one_call_says_nothing_of_how_sure_it_is():
    assert evaluate(log_of(1), logging_policy).ips.high == math.inf


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ([], "the log is empty"),
        ([Logged("g", "a", 0.0, 1.0, ("a",))], "call 0: propensity 0.0"),
        ([Logged("g", "a", 0.5, 1.0, ("a",), confidence=2)], "confidence 2"),
    ],
)
def test_a_log_that_can_say_nothing_is_refused(log, told):
    with pytest.raises(ValueError, match=told):
        evaluate(log, always("a"))
