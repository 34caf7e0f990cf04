"""Choices by scores: what a router makes of what is known, and that it tells its chances."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning import Arm, ArmScore, Beta, GoalScores, LearningSettings
from remora.policy.routing import Route, Router
from remora.providers import ProviderRegistry
from remora_sidecar.dialects.parameters import parameters
from remora_sidecar.policy.latencies import Latencies
from remora_sidecar.policy.learned import MAX_KEPT, Learned
from remora_sidecar.policy.routers import Choosing, Offer, Routers
from remora_sidecar.policy.score_book import (
    ANY_GOAL,
    MAX_GOALS,
    ScoreBook,
    ScoreSnapshot,
    Wanted,
    wanted_by,
)

OPENAI = ProviderRegistry.builtin().get("openai")
N = 40_000


def router(*candidates, **more):
    written = [{"model": one} if isinstance(one, str) else one for one in candidates or ("a", "b")]
    return Router.model_validate({"policy": "learned", "candidates": written, **more})


def offers_of(rule):
    return tuple(
        Offer(OPENAI, one.model, one, parameters(one.parameters)) for one in rule.candidates
    )


def score(model, good=1.0, bad=1.0, *, parameters=None, **more):
    arm = Arm("openai", model, parameters or {})
    samples = more.pop("samples", good + bad - 2)
    return ArmScore(arm, Beta(good, bad), samples, **more)


def snapshot(goal="g", *arms, settings=None, digest="d1"):
    return ScoreSnapshot(GoalScores(goal, arms, settings or LearningSettings()), digest)


@pytest.fixture
def book():
    return ScoreBook()


@pytest.fixture
def learned(book):
    return Learned(book, random.Random(7))  # noqa: S311 - repeats


def choose(learned, rule, *, goal="g", risk="low", offers=None):
    return learned.choose("r", rule, offers or offers_of(rule), goal, risk)


def test_without_scores_every_candidate_is_as_likely(learned):
    found = choose(learned, router("a", "b", "c", "d"))
    assert found.propensities == pytest.approx((0.25,) * 4)
    assert found.means == (0.5,) * 4
    assert (found.digest, found.notes) == ("", ("",) * 4)


def test_what_is_known_to_be_better_is_likelier(book, learned):
    book.take(snapshot("g", score("a", 90, 10), score("b", 10, 90)))
    found = choose(learned, router(explorationRate=0.1))
    assert found.propensities == pytest.approx((0.95, 0.05))
    assert found.means == (0.9, 0.1)
    assert found.notes == ("", "worse")
    assert found.digest == "d1"


def test_scores_of_another_goal_say_nothing(book, learned):
    book.take(snapshot("g", score("a", 90, 10), score("b", 10, 90)))
    found = choose(learned, router(), goal="other")
    assert (found.propensities, found.digest) == ((0.5, 0.5), "")


def test_one_model_with_other_parameters_is_another_arm(book, learned):
    cold = {"model": "a", "parameters": {"temperature": 0, "top_p": 0.5}}
    known = score("a", 90, 10, parameters={"top_p": 0.5, "temperature": 0})
    book.take(snapshot("g", score("a", 10, 90), known))
    found = choose(learned, router("a", cold, explorationRate=0))
    assert found.means == (0.1, 0.9)
    assert found.chosen == 1


def test_only_candidates_that_can_be_taken_are_chosen_from(book, learned):
    rule = router("a", "b", "c", explorationRate=0)
    arms = score("a", 95, 5), score("b", 50, 50), score("c", 5, 95)
    book.take(snapshot("g", *arms))
    found = choose(learned, rule, offers=offers_of(rule)[1:])
    assert len(found.propensities) == 2
    assert found.chosen == 0


def test_an_arm_that_is_not_known_may_be_anything(book, learned):
    book.take(snapshot("g", score("a", 60, 40)))
    found = choose(learned, router(explorationRate=0))
    assert found.means[1] == 0.5
    assert 0.1 < found.propensities[1] < 0.5


POLICY_OVER_SNAPSHOT = {
    "the router says": ({"explorationRate": 0.4}, 0.4),
    "the router says nothing": ({}, 0.2),
    "the router says none": ({"explorationRate": 0}, 0.0),
}


@pytest.mark.parametrize(("said", "rate"), POLICY_OVER_SNAPSHOT.values(), ids=POLICY_OVER_SNAPSHOT)
def test_what_policy_says_of_deciding_goes_before_what_came_with_the_scores(
    book, learned, said, rate
):
    settings = LearningSettings(exploration_rate=0.2)
    arms = score("a", 900, 100), score("b", 100, 900)
    book.take(snapshot("g", *arms, settings=settings))
    assert choose(learned, router(**said)).propensities[1] == pytest.approx(rate / 2)


def test_a_new_snapshot_decides_the_next_call(book, learned):
    rule = router(explorationRate=0)
    offers = offers_of(rule)
    book.take(snapshot("g", score("a", 95, 5), score("b", 5, 95)))
    assert {choose(learned, rule, offers=offers).chosen for _ in range(50)} == {0}
    book.take(snapshot("g", score("a", 5, 95), score("b", 95, 5), digest="d2"))
    found = [choose(learned, rule, offers=offers) for _ in range(50)]
    assert {(one.chosen, one.digest) for one in found} == {(1, "d2")}


def test_a_changed_policy_decides_the_next_call(book, learned):
    book.take(snapshot("g", score("a", 95, 5), score("b", 5, 95)))
    assert choose(learned, router(explorationRate=0)).propensities == (1.0, 0.0)
    learned.forget()
    assert choose(learned, router(explorationRate=1)).propensities == (0.5, 0.5)


UNLIKE = st.tuples(st.floats(1, 60), st.floats(1, 60), st.booleans())


@given(
    st.lists(UNLIKE, min_size=1, max_size=6),
    st.sampled_from(["low", "medium", "high"]),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_the_chances_that_are_told_sum_to_one_and_hold_for_what_is_chosen(arms, risk, rate, seed):
    names = [f"m{number}" for number in range(len(arms))]
    known = [
        score(name, good, bad, is_stale=stale)
        for name, (good, bad, stale) in zip(names, arms, strict=True)
    ]
    book = ScoreBook()
    book.take(snapshot("g", *known))
    learned = Learned(book, random.Random(seed))  # noqa: S311 - repeats
    found = choose(learned, router(*names, explorationRate=rate), risk=risk)
    assert sum(found.propensities) == pytest.approx(1)
    assert found.propensity == found.propensities[found.chosen] > 0
    assert len(found.means) == len(found.notes) == len(arms)


FREQUENCIES = {
    "nothing known": (),
    "a leader and a rival": (score("a", 60, 40), score("b", 55, 45), score("c", 20, 80)),
    "little known": (score("a", 3, 1), score("b", 2, 2), score("c", 1, 3)),
}


@pytest.mark.parametrize("arms", FREQUENCIES.values(), ids=FREQUENCIES)
@pytest.mark.parametrize("risk", ["low", "medium"])
def test_choices_come_as_often_as_their_propensities_say(book, learned, arms, risk):
    if arms:
        book.take(snapshot("g", *arms))
    rule = router("a", "b", "c", explorationRate=0.15)
    offers = offers_of(rule)
    first = choose(learned, rule, offers=offers, risk=risk)
    counts = Counter(choose(learned, rule, offers=offers, risk=risk).chosen for _ in range(N))
    for arm, chance in enumerate(first.propensities):
        # Five standard deviations: the seed is fixed, and stays within them.
        allowed = 5 * (chance * (1 - chance) / N) ** 0.5
        assert counts[arm] / N == pytest.approx(chance, abs=allowed + 1e-12)


@pytest.mark.parametrize("known", [True, False], ids=["scores", "no scores"])
def test_at_high_risk_nothing_is_left_to_chance(book, learned, known):
    if known:
        book.take(snapshot("g", score("a", 55, 45), score("b", 60, 40)))
    rule = router(explorationRate=1)
    offers = offers_of(rule)
    found = [choose(learned, rule, offers=offers, risk="high") for _ in range(10_000)]
    assert {(one.reason, one.propensity) for one in found} == {("exploitation", 1.0)}
    assert len({one.chosen for one in found}) == 1
    assert learned.decisions["exploration"] == learned.decisions["thompson"] == 0


def test_at_medium_risk_nobody_explores(learned):
    for _ in range(1_000):
        choose(learned, router(explorationRate=1), risk="medium")
    assert learned.decisions["exploration"] == 0
    assert learned.decisions["thompson"] + learned.decisions["exploitation"] == 1_000


def test_ever_new_goals_and_candidates_fill_no_memory(book, learned):
    for number in range(MAX_KEPT + 50):
        choose(learned, router(f"a{number}", "b"), goal=f"unknown {number}")
        book.take(snapshot(f"g{number}", score("a", 2, 1)))
        choose(learned, router(), goal=f"g{number}")
    assert len(learned._last) <= MAX_KEPT
    assert len(learned._kept) <= MAX_KEPT


def test_a_router_tells_a_choice_with_all_that_its_receipt_shows(book):
    book.take(snapshot("g", score("a", 90, 10), score("b", 10, 90)))
    routers = Routers(Latencies(), random.Random(1), book)  # noqa: S311 - repeats
    rule = router(explorationRate=0)
    nobody = lambda *_: pytest.fail("nobody needs to know")  # noqa: E731
    choice = routers.choose(
        Choosing("r", rule, offers_of(rule), nobody, nobody, nobody, nobody, 0.0, "g", "medium")
    )
    assert (choice.chosen, choice.propensity, choice.propensities) == (0, 1.0, (1.0, 0.0))
    assert (choice.scores, choice.notes) == ((0.9, 0.1), ("", "worse"))
    assert (choice.reason, choice.risk, choice.digest) == ("exploitation", "medium", "d1")


# What policy asks for.


def routes(*routers):
    return [Route(name=f"r{number}", router=rule) for number, rule in enumerate(routers)]


WANTED = {
    "nothing": ([], ()),
    "no learning": ([Router.model_validate({"policy": "random", "candidates": [{"model": "a"}]})],
                    ()),
    "a goal": ([router(goal="g")], (Wanted("g", (), False),)),
    "any goal": ([router(updates="gated")], (Wanted(ANY_GOAL, (), True),)),
    "with what policy says": (
        [router(goal="g", explorationRate=0, minSamples=3, rollbackThreshold=0.2, staleness="1m",
                band=0.1, updates="live")],
        (Wanted("g", (("exploration_rate", 0), ("min_samples", 3), ("rollback_threshold", 0.2),
                      ("staleness_ms", 60_000), ("band", 0.1)), False),),
    ),
    "the first of several with one goal": (
        [router(goal="g", band=0.1), router(goal="h"), router(goal="g", band=0.2)],
        (Wanted("g", (("band", 0.1),), False), Wanted("h", (), False)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("routers", "wanted"), WANTED.values(), ids=WANTED)
def test_what_routes_learn_by_is_asked_for(routers, wanted):
    assert wanted_by(routes(*routers)) == wanted


def test_only_a_policy_that_asks_for_something_else_is_asked_for_anew(book):
    asked = []
    book.asks_anew = lambda: asked.append(book.wanted)
    first = routes(router(goal="g"))
    book.apply(first, across_namespaces=False)
    book.apply(routes(router("x", "y", goal="g")), across_namespaces=False)
    assert len(asked) == 1
    book.apply(first, across_namespaces=True)
    book.apply([], across_namespaces=True)
    assert len(asked) == 3
    assert asked[-1] == ()


def test_all_that_is_known_is_replaced_at_once(book):
    book.take(snapshot("a"))
    book.take_all([snapshot("b"), snapshot("c")])
    assert [one.scores.goal for one in book.snapshots()] == ["b", "c"]
    assert book.get("a") is None


def test_a_book_holds_so_many_goals_and_those_stay_up_to_date(book):
    for number in range(MAX_GOALS + 5):
        book.take(snapshot(f"g{number}"))
    newest = snapshot("g0", digest="new")
    book.take(newest)
    assert len(book) == MAX_GOALS
    assert book.get("g0") is newest
    assert book.get(f"g{MAX_GOALS}") is None
