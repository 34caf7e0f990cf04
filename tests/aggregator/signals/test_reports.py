"""What a report of a goal looks at, and when it advises to go back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.aggregator.signals.score_sums import DAY_MS, NOW_MS, counts, sums

from remora.learning.scores import GoalScores
from remora.learning.settings import LearningSettings
from remora_aggregator.signals.ports import VersionBook
from remora_aggregator.signals.reports import going_back, in_window
from remora_aggregator.signals.scoring import Place, goal_scores
from remora_aggregator.signals.versioning import FIRST, activated, proposed, rolled_back

SETTINGS = LearningSettings()
GOALS = {"write": GoalScores("write", ())}
HOUR_MS = 3_600_000


def told(known, place=Place("team-a"), since_ms=NOW_MS - DAY_MS, failures=()):  # noqa: B008
    scores = goal_scores("write", known, place, SETTINGS, NOW_MS, sharing={"team-a", "team-b"})
    return in_window(
        scores, known, place, dict(failures), VersionBook(), since_ms=since_ms, last_ms=5
    )


def test_what_others_share_is_no_part_of_a_report():
    found = told([sums("a", 3, 1), sums("b", 50, namespace="team-b")])
    assert [arm.score.arm.model for arm in found.arms] == ["a"]
    assert found.report.success_rate == 0.75
    assert (found.version, found.last_ms) == (0, 5)


def test_a_workload_has_its_own_report():
    known = [sums("a", 3, workload="w", calls=9), sums("a", 0, 3, workload="v")]
    assert told(known).arms[0][1:] == (counts(3, 3), 12)
    assert told(known, Place("team-a", "w")).arms[0][1:] == (counts(3, 0), 9)
    assert told(known, Place("team-a", "x")).arms == ()


@given(ages=st.lists(st.integers(0, 10), max_size=20), days=st.integers(1, 10))
def test_rates_are_of_the_window(ages, days):
    known = [sums("a", 1, at_ms=NOW_MS - age * DAY_MS - 1, workload=str(n))
             for n, age in enumerate(ages)]  # fmt: skip
    found = told(known, since_ms=NOW_MS - days * DAY_MS)
    inside = sum(age < days for age in ages)
    assert sum(arm.evidence.good for arm in found.arms) == inside
    assert found.report.status == ("healthy" if inside >= 20 else "insufficient_data")


def versions(since_ms, *, activations=2):
    book = VersionBook()
    for _ in range(activations):
        book = proposed(book, GOALS, FIRST, since_ms, activate=True)
    return book


AT_MS = NOW_MS - HOUR_MS
BEFORE, AFTER = {"at_ms": AT_MS - 60_000}, {"at_ms": AT_MS + 60_000}
CASES = {
    "worse": ([sums("a", 30, **BEFORE), sums("a", 0, 30, **AFTER)], True),
    "worse by another arm": ([sums("a", 30, **BEFORE), sums("b", 0, 30, **AFTER)], True),
    "as good": ([sums("a", 30, **BEFORE), sums("a", 28, 2, **AFTER)], False),
    "too little since": ([sums("a", 30, **BEFORE), sums("a", 0, 10, **AFTER)], False),
    "too little before": ([sums("a", 10, **BEFORE), sums("a", 0, 30, **AFTER)], False),
    "long before": (
        [sums("a", 30, at_ms=NOW_MS - 60 * DAY_MS), sums("a", 0, 30, **AFTER)], False,
    ),
    "of a neighbour": (
        [sums("a", 30, **BEFORE), sums("a", 0, 30, namespace="team-b", **AFTER)], False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("known", "advised"), CASES.values(), ids=CASES)
def test_it_is_advised_to_go_back_where_answers_got_much_worse(known, advised):
    found = going_back("write", known, "team-a", SETTINGS, versions(AT_MS))
    assert (found is not None) is advised
    if found is not None:
        assert (found.evidence["version"], found.evidence["version_before"]) == (2, 1)


def test_nobody_is_advised_to_go_back_to_nothing_or_twice():
    known, _ = CASES["worse"]
    first, second = versions(AT_MS, activations=1), versions(AT_MS, activations=3)
    assert going_back("write", known, "team-a", SETTINGS, first) is None
    assert going_back("write", known, "team-a", SETTINGS, second) is not None
    back = rolled_back(second, AT_MS)
    assert going_back("write", known, "team-a", SETTINGS, back) is None
    again = activated(back, 3, AT_MS)
    assert going_back("write", known, "team-a", SETTINGS, again) is not None
