"""When versions are made anew, and that no score is judged by the calls it stands on."""

import random
from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.aggregator.signals.score_sums import DAY_MS, NOW_MS, arm, sums

from remora.learning.evidence import Evidence, Source
from remora.learning.scores import GoalScores
from remora.learning.settings import LearningSettings
from remora.learning.versions import RouterVersion
from remora_aggregator.signals.refit import (
    LoggedAt,
    Unseen,
    cut_of,
    judged,
    last_due_ms,
    logged,
    unseen,
    without,
)
from remora_aggregator.signals.scoring import Place, goal_scores
from remora_aggregator.signals.trial import ArmTrial, JudgedTrial

SETTINGS = LearningSettings(exploration_rate=0.0)
KEYS = (arm("a").key, arm("b").key)


def version(number, *known, settings=SETTINGS):
    made = goal_scores("write", known, Place("team-a"), settings, NOW_MS)
    return RouterVersion(number, NOW_MS, {"write": made})


def trial(model, reward, at_ms, **fields):
    told = {"propensity": 0.5, "arms": KEYS, **fields}
    evidence = Evidence(Source.EXPLICIT, reward, 1.0, at_ms, "s")
    return JudgedTrial("team-a", ArmTrial("c", "write", arm(model), at_ms, **told), evidence)


def log_of(rates, calls=600, seed=1):
    """Calls that went evenly to two arms of these rates, one a second."""
    chance = random.Random(seed)  # noqa: S311 - for tests
    trials = []
    for number in range(calls):
        model = chance.choice("ab")
        reward = float(chance.random() < rates[model])
        trials.append(trial(model, reward, NOW_MS - DAY_MS + 1_000 * number))
    return [logged(one) for one in trials]


GOOD_A, GOOD_B = (
    version(1, sums("a", 90, 10), sums("b", 50, 50)),
    version(2, sums("a", 50, 50), sums("b", 90, 10)),
)


@pytest.mark.parametrize(
    ("rates", "result"),
    [
        ({"a": 0.5, "b": 0.9}, "accepted"),
        ({"a": 0.9, "b": 0.5}, "refused"),
    ],
    ids=["better", "worse"],
)
def test_a_version_is_judged_by_what_it_would_have_earned(rates, result):
    said = judged(log_of(rates), GOOD_A, Unseen(GOOD_B, GOOD_B))
    assert said.result == result
    low, high = said.interval
    assert low <= said.advantage <= high
    assert "%" in said.reason


def test_a_log_that_says_nothing_decides_nothing():
    empty = judged([], GOOD_A, Unseen(GOOD_B, GOOD_B))
    few = judged(log_of({"a": 0.5, "b": 0.9}, 20), GOOD_A, Unseen(GOOD_B, GOOD_B))
    one = judged(log_of({"a": 1.0, "b": 1.0}, 1), GOOD_A, Unseen(GOOD_B, GOOD_B))
    assert [said.result for said in (empty, few, one)] == ["undecided"] * 3
    assert "since version 1 was made" in empty.reason
    assert one.advantage is None


def test_each_half_is_judged_by_scores_that_do_not_know_it():
    """Scores of all calls would look good on them by chance alone; these look like chance."""
    log = log_of({"a": 0.5, "b": 0.5}, 400)
    cut_ms = cut_of(log)
    blind = RouterVersion(3, NOW_MS, {})
    knows_early = judged(log, blind, Unseen(early=GOOD_B, late=blind))
    knows_late = judged(log, blind, Unseen(early=blind, late=GOOD_B))
    early = [one for one in log if one.at_ms < cut_ms]
    late = [one for one in log if one.at_ms >= cut_ms]
    assert abs(len(early) - len(late)) <= 1
    of_early = judged(early, blind, Unseen(GOOD_B, GOOD_B)).advantage
    of_late = judged(late, blind, Unseen(GOOD_B, GOOD_B)).advantage
    assert knows_early.advantage == pytest.approx(of_early / 2, abs=0.02)
    assert knows_late.advantage == pytest.approx(of_late / 2, abs=0.02)


MOMENTS = st.lists(
    st.tuples(st.integers(0, 23), st.sampled_from("ab"), st.booleans(), st.sampled_from(["", "1"])),
    max_size=30,
)


@given(moments=MOMENTS, cut_hour=st.integers(1, 22))
def test_what_is_taken_out_leaves_what_there_would_be_without_it(moments, cut_hour):
    def known(hours):
        made = {}
        for hour, model, is_good, reporter in moments:
            at_ms = NOW_MS - DAY_MS + hour * 3_600_000
            one = sums(model, is_good, not is_good, reporter=reporter, at_ms=at_ms)
            kept = made.setdefault(model, sums(model))
            if hour in hours:
                for name, series in one.by_reporter.items():
                    kept.by_reporter.setdefault(name, type(series)()).merge(series)
        return list(made.values())

    def score(some):
        return goal_scores("write", some, Place("team-a"), SETTINGS, NOW_MS)

    everything, late = known(range(24)), known(range(cut_hour, 24))
    since = known(range(1, 24))
    without_early, without_late = unseen(everything, since, late, score)
    assert without_early == score(known([0, *range(cut_hour, 24)]))
    assert without_late == score(known(range(cut_hour)))
    assert score(without(everything, [])) == score(everything)


UNREADABLE = {
    "not judged": JudgedTrial("team-a", ArmTrial("c", "write", arm("a"), 1, propensity=0.5)),
    "of no known chance": trial("a", 1.0, 1, propensity=None),
    "not sure at all": JudgedTrial(
        "team-a",
        ArmTrial("c", "write", arm("a"), 1, propensity=0.5),
        Evidence(Source.INFERRED, 1.0, 0.0, 1, "s"),
    ),
}


@pytest.mark.parametrize("one", UNREADABLE.values(), ids=UNREADABLE)
def test_a_decision_that_tells_nothing_is_left_out(one):
    assert logged(one) is None


def test_a_decision_among_nothing_is_one_among_its_own_arm():
    found = logged(trial("a", 0.7, 5, arms=()))
    assert isinstance(found, LoggedAt)
    assert (found.at_ms, found.call.arms, found.call.reward) == (5, (KEYS[0],), 0.7)


@given(now_ms=st.integers(DAY_MS, 10**13), minute=st.integers(0, 1_439))
def test_the_last_time_of_day_lies_at_most_a_day_back(now_ms, minute):
    at = time(minute // 60, minute % 60)
    due_ms = last_due_ms(at, now_ms)
    assert 0 <= now_ms - due_ms < DAY_MS
    assert due_ms % DAY_MS == minute * 60_000


def test_a_goal_without_scores_is_decided_evenly():
    nothing = RouterVersion(1, 0, {"write": GoalScores("write", ())})
    said = judged(log_of({"a": 0.5, "b": 0.9}), nothing, Unseen(GOOD_B, GOOD_B))
    assert said.result == "accepted"
