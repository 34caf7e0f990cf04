from dataclasses import replace

import pytest

from remora.learning import Arm, ArmScore, Beta, Counts, GoalScores, History, LearningSettings
from remora.learning.versions import Difference, differences, should_roll_back

A = ArmScore(Arm("p", "a"), Beta(9, 3), samples=10, cost_usd=0.01)
B = ArmScore(Arm("p", "b"), Beta(5, 5), samples=8)
SCORES = {"g": GoalScores("g", (A, B))}


def history(*goals: dict[str, GoalScores]) -> History:
    made = History()
    for number, scores in enumerate(goals):
        made = made.proposed(scores, made_ms=number, note=f"refit {number}")
    return made


def test_versions_count_up_and_come_into_force_when_somebody_says_so():
    made = history(SCORES, {})
    assert [version.number for version in made.versions] == [1, 2]
    assert made.in_force is None
    assert made.activated(2).in_force == 2


def test_rolling_back_puts_in_force_what_was_before():
    made = history(SCORES, {}, SCORES).activated(1).activated(3).activated(2)
    back = made.rolled_back()
    assert (back.in_force, back.rolled_back().in_force) == (3, 1)
    assert made.in_force == 2


def test_activating_what_is_in_force_is_no_step():
    made = history(SCORES, {}).activated(1).activated(2)
    assert made.activated(2) is made


@pytest.mark.parametrize("step", [lambda h: h.rolled_back(), lambda h: h.activated(9)])
def test_there_is_no_going_to_what_never_was(step):
    with pytest.raises(LookupError, match="no router version"):
        step(history(SCORES).activated(1))


def test_versions_that_decide_alike_have_one_digest():
    one, other = history(SCORES, dict(SCORES)).versions
    changed = history({"g": GoalScores("g", (replace(A, posterior=Beta(9, 4)), B))}).versions[0]
    assert one.digest == other.digest != changed.digest


def test_differences_name_goal_arm_and_field():
    settings = LearningSettings(exploration_rate=0.2)
    newer = GoalScores("g", (replace(A, posterior=Beta(19, 3), samples=20),), settings)
    old, new = history(SCORES, {"g": newer}).versions
    assert differences(old, new) == [
        Difference("g", "", "exploration_rate", 0.1, 0.2),
        Difference("g", "p/a", "good", 9, 19),
        Difference("g", "p/a", "samples", 10, 20),
        Difference("g", "p/b", "arm", 0.5, None),
    ]
    assert differences(old, old) == []


def test_goals_that_came_or_went_are_differences():
    old, new = history({}, SCORES).versions
    came = differences(old, new)
    assert Difference("g", "p/a", "arm", None, 0.75) in came
    assert [d.before for d in differences(new, old) if d.field == "arm"] == [0.75, 0.5]


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [((80, 20), (40, 60), True), ((80, 20), (60, 40), False), ((80, 20), (0, 5), False)],
    ids=["fell far", "fell a little", "too little is known"],
)
def test_a_version_under_which_answers_got_much_worse_should_go(before, after, answer):
    counts = [Counts(good * 1_000_000, bad * 1_000_000) for good, bad in (before, after)]
    assert should_roll_back(*counts, threshold=0.3, min_samples=20) is answer
