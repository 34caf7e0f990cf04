"""When a failing provider's model is left alone, by a clock that the tests move."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from remora.policy.routing import Breaker as BreakerRule
from remora_sidecar.policy.breaker import Breaker, Circuit
from remora_sidecar.policy.breakers import Breakers

RULE = BreakerRule.model_validate(
    {
        "consecutiveFailures": 3,
        "errorPercent": 50,
        "minimumAttempts": 10,
        "window": "60s",
        "openFor": "30s",
    }
)


def fail(breaker, now_s, times=1):
    for _ in range(times):
        breaker.failed(breaker.begin(now_s), now_s)


def succeed(breaker, now_s, times=1):
    for _ in range(times):
        breaker.succeeded(breaker.begin(now_s), now_s)


def opened(now_s=0.0):
    breaker = Breaker(RULE)
    fail(breaker, now_s, 3)
    return breaker


def test_failures_in_a_row_open_the_circuit():
    breaker = Breaker(RULE)
    fail(breaker, 0, 2)
    assert breaker.may_try(0)

    fail(breaker, 0)
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.may_try(29.9)
    assert breaker.begin(29.9) is None
    assert breaker.retry_after_s(10.0) == 20.0
    assert breaker.may_try(30.0)


def test_a_success_between_failures_begins_the_row_anew():
    breaker = Breaker(RULE)
    for _ in range(3):
        fail(breaker, 0, 2)
        succeed(breaker, 0, 4)

    assert breaker.circuit is Circuit.CLOSED


@pytest.mark.parametrize(
    ("pairs", "circuit"), [(4, Circuit.CLOSED), (5, Circuit.OPEN)], ids=["too few", "enough"]
)
def test_a_share_of_failures_opens_the_circuit_once_there_are_enough_attempts(pairs, circuit):
    breaker = Breaker(RULE)
    for _ in range(pairs):
        succeed(breaker, 0)
        fail(breaker, 0)

    assert breaker.circuit is circuit


def test_failures_older_than_the_window_do_not_count():
    breaker = Breaker(RULE)
    for _ in range(4):
        fail(breaker, 0)
        succeed(breaker, 0)
    for _ in range(4):
        fail(breaker, 60)
        succeed(breaker, 60)

    assert breaker.circuit is Circuit.CLOSED


def test_one_probe_at_a_time_and_its_success_closes():
    breaker = opened()
    probe = breaker.begin(30)
    assert breaker.circuit is Circuit.PROBING
    assert breaker.begin(31) is None
    assert not breaker.may_try(1000)

    breaker.succeeded(probe, 31)
    assert breaker.circuit is Circuit.CLOSED
    fail(breaker, 31, 2)
    assert breaker.circuit is Circuit.CLOSED


def test_a_probe_that_fails_opens_for_the_whole_time_again():
    breaker = opened()
    breaker.failed(breaker.begin(30), 35)

    assert breaker.opened_total == 2
    assert not breaker.may_try(64.9)
    assert breaker.may_try(65)


def test_a_probe_that_nobody_waited_for_leaves_its_place_to_another():
    breaker = opened()
    breaker.abandoned(breaker.begin(30))

    assert breaker.circuit is Circuit.OPEN
    assert breaker.begin(30) is not None


def test_an_attempt_that_nobody_waited_for_counts_for_nothing():
    breaker = Breaker(RULE)
    fail(breaker, 0, 2)
    breaker.abandoned(breaker.begin(0))

    assert breaker.consecutive_failures == 2


@pytest.mark.parametrize("well", [True, False])
def test_attempts_from_before_it_opened_say_nothing_about_the_probe(well):
    breaker = Breaker(RULE)
    early = [breaker.begin(0) for _ in range(2)]
    fail(breaker, 0, 3)
    (breaker.succeeded if well else breaker.failed)(early[0], 10)
    assert breaker.circuit is Circuit.OPEN
    assert breaker.retry_after_s(10) == 20

    probe = breaker.begin(30)
    (breaker.succeeded if well else breaker.failed)(early[1], 31)
    breaker.abandoned(early[0])
    assert breaker.circuit is Circuit.PROBING
    breaker.succeeded(probe, 32)
    assert breaker.circuit is Circuit.CLOSED


def test_calls_that_fail_together_open_it_once():
    breaker = Breaker(RULE)
    for trial in [breaker.begin(0) for _ in range(20)]:
        breaker.failed(trial, 5)

    assert breaker.opened_total == 1
    assert breaker.may_try(35)


class BreakerMachine(RuleBasedStateMachine):
    """The breaker against a plain list of what happened since the circuit last turned."""

    trials = Bundle("trials")

    @initialize()
    def it_stands_closed(self):
        self.now_s = 0.0
        self.breaker = Breaker(RULE)
        self.open_until_s = None
        self.probe = None
        self.turn = 0
        self.results: list[tuple[float, bool]] = []

    @rule(seconds=st.sampled_from([0.5, 6, 30, 100]))
    def time_passes(self, seconds):
        self.now_s += seconds

    @rule(target=trials, times=st.integers(1, 4))
    def attempts_begin(self, times):
        may = self.open_until_s is None or (self.probe is None and self.now_s >= self.open_until_s)
        assert self.breaker.may_try(self.now_s) == may
        trial = self.breaker.begin(self.now_s)
        assert (trial is not None) == may
        if may and self.open_until_s is not None:
            self.probe = trial
        return trial, self.turn

    def turned(self, open_until_s):
        self.open_until_s, self.probe, self.results = open_until_s, None, []
        self.turn += 1

    @rule(begun=consumes(trials), well=st.booleans())
    def an_attempt_ends(self, begun, well):
        trial, turn = begun
        if trial is None:
            return
        (self.breaker.succeeded if well else self.breaker.failed)(trial, self.now_s)
        if turn != self.turn:
            return
        if self.probe is trial:
            self.turned(None if well else self.now_s + 30)
            return
        self.results.append((self.now_s, well))
        row = [was_well for _, was_well in self.results[-3:]]
        oldest = (self.now_s // 6 - 9) * 6
        counted = [was_well for at_s, was_well in self.results if at_s >= oldest]
        if not well and (
            (len(row) == 3 and not any(row))
            or (len(counted) >= 10 and counted.count(False) * 2 >= len(counted))
        ):
            self.turned(self.now_s + 30)

    @rule(begun=consumes(trials))
    def nobody_waits_any_more(self, begun):
        trial, turn = begun
        if trial is not None:
            self.breaker.abandoned(trial)
            if turn == self.turn and self.probe is trial:
                self.probe = None

    @invariant()
    def it_stands_as_the_list_says(self):
        closed = Circuit.CLOSED if self.open_until_s is None else Circuit.OPEN
        assert self.breaker.circuit is (closed if self.probe is None else Circuit.PROBING)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def test_each_model_of_each_provider_has_its_own_circuit():
    breakers = Breakers(RULE)
    fail(breakers.of("openai", "gpt-4o", 0), 0, 3)

    assert not breakers.may_try("openai", "gpt-4o", 1)
    assert breakers.may_try("openai", "gpt-4.1", 1)
    assert breakers.may_try("azure", "gpt-4o", 1)
    [view] = breakers.view()
    assert view == ("openai", "gpt-4o", Circuit.OPEN, 3, 1)


def test_circuits_stay_as_they_are_unless_their_rule_changes():
    breakers = Breakers(RULE)
    fail(breakers.of("openai", "gpt-4o", 0), 0, 3)
    breakers.apply(RULE)
    assert not breakers.may_try("openai", "gpt-4o", 1)

    breakers.apply(BreakerRule())
    assert breakers.may_try("openai", "gpt-4o", 1)


def test_breakers_are_bounded_and_those_that_say_nothing_go_first():
    breakers = Breakers(RULE, limit=10)
    fail(breakers.of("openai", "bad", 0), 0, 3)
    for number in range(100):
        breakers.of("openai", f"model-{number}", 0)

    assert len(breakers) == 10
    assert not breakers.may_try("openai", "bad", 1)
