import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning import Arm, ArmScore, Beta, Chooser, Counts, GoalScores, LearningSettings
from remora.learning.change import Shift
from remora.learning.decision import MAX_TABLES, why

NEVER = LearningSettings(exploration_rate=0)


def arm(name: str, good: float, bad: float, **facts: object) -> ArmScore:
    known = {"posterior": Beta(1 + good, 1 + bad), "samples": good + bad}
    return ArmScore(Arm("openai", name), **(known | facts))


def goal(*arms: ArmScore, settings: LearningSettings = NEVER) -> GoalScores:
    return GoalScores("summaries", arms, settings)


def seeded(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311 - no secret


FIRM_BEST = arm("best", 900, 100, cost_usd=0.02)
FIRM_TIE = arm("tie", 890, 110, cost_usd=0.01)
FIRM_WORSE = arm("worse", 700, 300, cost_usd=0.001)
FALLEN = Shift(5, Counts(90_000_000, 10_000_000), Counts(20_000_000, 20_000_000))

scored = st.builds(
    lambda good, bad, cost, latency: arm("x", good, bad, cost_usd=cost, latency_ms=latency),
    st.floats(0, 400),
    st.floats(0, 400),
    st.none() | st.floats(0.001, 1),
    st.none() | st.floats(1, 9_000),
)


def test_at_first_all_arms_are_as_likely():
    chooser = Chooser(goal(*[arm(name, 0, 0) for name in "abcd"]))
    assert chooser.choose(seeded()).propensities == pytest.approx([0.25] * 4)


def test_the_propensity_is_how_often_an_arm_is_taken():
    scores = goal(arm("a", 12, 8), arm("b", 14, 6), arm("c", 9, 4), settings=LearningSettings())
    chooser, chance = Chooser(scores), seeded()
    taken = Counter(chooser.choose(chance).arm for _ in range(40_000))
    for position, propensity in enumerate(chooser.choose(chance).propensities):
        assert taken[position] / 40_000 == pytest.approx(propensity, abs=0.01)


@given(
    st.lists(scored, min_size=1, max_size=8), st.sampled_from(["low", "medium", "high"]), st.data()
)
def test_propensities_sum_to_one_and_the_chosen_arm_has_its_own(arms, risk, data):
    chooser = Chooser(goal(*arms, settings=LearningSettings()))
    among = data.draw(st.sets(st.integers(0, len(arms) - 1), min_size=1).map(sorted))
    decision = chooser.choose(seeded(data.draw(st.integers(0, 9))), risk=risk, among=among)
    assert sum(decision.propensities) == pytest.approx(1)
    assert decision.propensity == decision.propensities[decision.arm] > 0
    assert decision.arm in among
    assert all(decision.propensities[n] == 0 for n in range(len(arms)) if n not in among)


@given(st.lists(scored, min_size=1, max_size=8))
def test_cost_never_makes_up_for_quality(arms):
    """What is taken if nothing is left to chance is within the band of the best known arm."""
    table = Chooser(goal(*arms)).table(tuple(range(len(arms))), "high")
    known = [a for a in arms if a.samples >= NEVER.min_samples] or arms
    best = max(a.posterior.mean for a in known)
    assert arms[table.greedy].posterior.mean >= (1 - NEVER.band) * best - 1e-9


def test_of_arms_as_good_the_cheaper_is_taken():
    decision = Chooser(goal(FIRM_BEST, FIRM_TIE, FIRM_WORSE)).choose(seeded())
    assert decision.arm == 1
    assert decision.notes == ("tied", "", "worse")


def test_an_arm_outside_of_the_band_is_not_taken_however_cheap():
    decision = Chooser(goal(FIRM_BEST, replace(FIRM_WORSE, cost_usd=0.0))).choose(seeded())
    assert decision.propensities == (1.0, 0.0)


def test_at_the_same_cost_the_faster_is_taken():
    slow = replace(FIRM_BEST, latency_ms=900.0)
    fast = replace(FIRM_TIE, cost_usd=0.02, latency_ms=300.0)
    assert Chooser(goal(slow, fast)).choose(seeded()).arm == 1


def test_what_costs_nobody_knows_is_never_the_cheapest():
    unknown = replace(FIRM_TIE, cost_usd=None)
    assert Chooser(goal(FIRM_BEST, unknown)).choose(seeded()).arm == 0


def test_without_costs_and_latencies_the_best_is_taken():
    blind = [replace(score, cost_usd=None) for score in (FIRM_BEST, FIRM_TIE)]
    assert Chooser(goal(*blind)).table((0, 1), "high").greedy == 0


def test_an_arm_that_is_hardly_known_is_not_taken_for_being_cheap():
    lucky = arm("lucky", 10, 0, cost_usd=0.0001)
    chooser = Chooser(goal(FIRM_BEST, lucky))
    assert chooser.table((0, 1), "high").greedy == 0
    assert chooser.choose(seeded()).propensities[0] > 0


def test_at_high_risk_nothing_is_left_to_chance():
    scores = goal(arm("a", 3, 3), arm("b", 30, 10), settings=LearningSettings(exploration_rate=0.5))
    chooser, chance = Chooser(scores), seeded()
    decisions = {chooser.choose(chance, risk="high") for _ in range(200)}
    assert {(d.arm, d.propensity, d.is_exploration) for d in decisions} == {(1, 1.0, False)}


def test_forced_exploration_holds_at_low_risk_alone():
    settings = LearningSettings(exploration_rate=0.4)
    chooser = Chooser(goal(FIRM_BEST, FIRM_WORSE, settings=settings))
    assert chooser.choose(seeded(), risk="low").propensities == pytest.approx((0.8, 0.2))
    assert chooser.choose(seeded(), risk="medium").propensities == (1.0, 0.0)


def test_exploration_goes_to_what_is_little_known_or_stale_first():
    settings = LearningSettings(exploration_rate=0.3)
    stale = replace(FIRM_WORSE, is_stale=True)
    chooser = Chooser(goal(FIRM_BEST, FIRM_WORSE, stale, settings=settings))
    assert chooser.choose(seeded()).propensities == pytest.approx((0.7, 0.0, 0.3))


def test_a_newcomer_that_began_badly_gets_another_chance():
    unlucky = arm("unlucky", 0, 5)
    chances = Chooser(goal(FIRM_BEST, unlucky)).choose(seeded()).propensities
    assert chances[1] == pytest.approx(NEVER.newcomer_chance, rel=0.05)
    assert Chooser(goal(FIRM_BEST, arm("known", 0, 30))).choose(seeded()).propensities[1] == 0


def test_an_arm_that_fell_far_is_rolled_back():
    fallen = arm("fallen", 20, 20, shift=FALLEN)
    decision = Chooser(goal(fallen, arm("other", 12, 10))).choose(seeded())
    assert decision.propensities == (0.0, 1.0)
    assert decision.notes == ("rolled-back", "")


@pytest.mark.parametrize(
    "scores",
    [
        goal(arm("fallen", 20, 20, shift=FALLEN)),
        goal(arm("fallen", 20, 20, shift=FALLEN), arm("worse", 5, 95)),
        goal(arm("fallen", 20, 20, shift=FALLEN, is_stale=True), arm("other", 12, 10)),
        goal(
            arm("fell a little", 20, 20, shift=FALLEN._replace(after=Counts(4, 1))), arm("o", 9, 9)
        ),
    ],
    ids=["no other", "the other is worse", "long ago", "not far"],
)
def test_a_fallen_arm_is_taken_where_that_is_no_worse(scores):
    assert Chooser(scores).choose(seeded()).propensities[0] > 0


def test_an_arm_that_is_not_available_is_not_taken_and_said():
    decision = Chooser(goal(FIRM_BEST, FIRM_TIE, FIRM_WORSE)).choose(seeded(), among=[0, 2])
    assert decision.arm == 0
    assert decision.notes == ("", "unavailable", "worse")


def test_no_arm_at_all_is_an_error_that_names_the_goal():
    chooser = Chooser(goal(FIRM_BEST))
    with pytest.raises(ValueError, match="'summaries' has no arm"):
        chooser.choose(seeded(), among=[])
    with pytest.raises(ValueError, match="has no arm"):
        Chooser(goal())


def test_a_seed_makes_the_same_decisions():
    chooser = Chooser(goal(arm("a", 5, 3), arm("b", 4, 3), arm("c", 3, 3)))
    one, other = seeded(3), seeded(3)
    assert [chooser.choose(one) for _ in range(50)] == [chooser.choose(other) for _ in range(50)]


def test_tables_are_made_once_for_a_set_of_arms_and_are_bounded():
    chooser = Chooser(goal(*[arm(str(number), 5, 5) for number in range(8)]))
    assert chooser.table((0, 1)) is chooser.table((0, 1))
    first = chooser.table((0, 1))
    for mask in range(1, MAX_TABLES + 10):
        chooser.table(tuple(n for n in range(8) if mask >> n & 1))
    assert chooser.table((0, 1)) == first


def test_people_are_told_why():
    scores = goal(FIRM_BEST, FIRM_TIE)
    told = why(scores, Chooser(scores).choose(seeded(), risk="high"))
    assert told == (
        "openai/tie: the best that is known, about as good as openai/best and preferred for cost"
        " or latency (88.9% of 1000 answers good)"
    )
