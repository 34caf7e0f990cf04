"""Scores of a place: what counts there of what is known elsewhere."""

import copy
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.aggregator.signals.score_sums import DAY_MS, NOW_MS, arm, sums

from remora.learning.beta import Beta
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora_aggregator.signals.scoring import (
    Place,
    digest_of,
    goal_scores,
    scores_going_on,
)

SETTINGS = LearningSettings()


def scored(known, place=Place("team-a"), sharing=(), settings=SETTINGS, now_ms=NOW_MS):  # noqa: B008
    made = goal_scores("write", known, place, settings, now_ms, sharing=frozenset(sharing))
    return {score.arm.model: score for score in made.arms}


def test_arms_stand_in_the_order_of_their_keys():
    made = goal_scores(
        "write", [sums("b"), sums("a"), sums("c")], Place("team-a"), SETTINGS, NOW_MS
    )
    assert [score.arm.model for score in made.arms] == ["a", "b", "c"]


def test_a_namespace_has_the_evidence_of_all_its_workloads():
    found = scored([sums(good=3, workload="w"), sums(good=4, bad=1, workload="v")])["a"]
    assert (found.samples, found.posterior) == (8, Beta(8, 2))


@pytest.mark.parametrize(
    ("sharing", "learns"),
    [
        ([], False),
        (["team-b"], False),
        (["team-a"], False),
        (["team-a", "team-b"], True),
    ],
    ids=["nobody shares", "the other does", "this one does", "both do"],
)
def test_namespaces_learn_from_each_other_only_where_both_say_so(sharing, learns):
    known = [sums("a", good=1), sums("b", good=100, namespace="team-b")]
    found = scored(known, sharing=sharing)
    assert ("b" in found) is learns
    if learns:
        assert found["b"].samples == 0
        assert found["b"].posterior == Beta(1 + SETTINGS.prior_weight, 1)


def test_what_a_workload_knows_itself_counts_besides_what_its_namespace_knows():
    known = [sums(bad=5, workload="w"), sums(good=100, workload="v")]
    found = scored(known, Place("team-a", "w"))["a"]
    assert (found.samples, found.posterior) == (5, Beta(11, 6))


def test_a_workload_that_is_new_believes_what_its_namespace_and_the_cluster_know():
    known = [sums(good=100, workload="v"), sums(bad=100, namespace="team-b")]
    found = scored(known, Place("team-a", "w"), ["team-a", "team-b"])["a"]
    assert (found.samples, found.posterior) == (0, Beta(11, 11))


def test_no_reporter_decides_alone():
    others = [sums(good=1, reporter=f"{number:02x}") for number in range(20)]
    found = scored([*others, sums(bad=1_000, reporter="ff")])["a"]
    assert found.posterior.bad < 60


def test_nor_does_one_of_another_workload():
    others = [sums(good=1, workload="v", reporter=f"{number:02x}") for number in range(40)]
    known = [*others, sums(bad=1_000, workload="v", reporter="ff")]
    alone = scored(known, Place("team-a", "w"))["a"].posterior
    assert alone.mean > 0.35


def test_cost_and_latency_are_those_of_the_place_where_enough_is_known():
    mine = [sums(good=30, cost_usd="0.01", latency_ms=100.0)]
    others = [sums(good=30, workload="v", cost_usd="0.05", latency_ms=900.0)]
    found = scored([*mine, *others], Place("team-a", "w"))["a"]
    assert found.cost_usd == pytest.approx(0.01)
    few = [sums(good=10, cost_usd="0.01", latency_ms=100.0)]
    found = scored([*few, *others], Place("team-a", "w"))["a"]
    assert found.cost_usd == pytest.approx(0.04)


def test_an_arm_without_known_cost_has_none():
    found = scored([sums(good=5)])["a"]
    assert (found.cost_usd, found.latency_ms) == (None, None)


KNOWN = st.builds(
    sums,
    st.sampled_from("ab"),
    st.integers(0, 50),
    st.integers(0, 50),
    namespace=st.sampled_from(["team-a", "team-b", "team-c"]),
    workload=st.sampled_from(["w", "v", ""]),
    reporter=st.sampled_from(["", "01", "02"]),
    at_ms=st.integers(NOW_MS - 100 * DAY_MS, NOW_MS),
)
PLACES = st.builds(Place, st.sampled_from(["team-a", "team-b"]), st.sampled_from(["", "w"]))
SHARING = st.frozensets(st.sampled_from(["team-a", "team-b", "team-c"]))


@given(known=st.lists(KNOWN, max_size=12), place=PLACES, sharing=SHARING, seed=st.integers())
def test_scores_do_not_depend_on_the_order_of_sums_and_change_none(known, place, sharing, seed):
    before = copy.deepcopy(known)
    made = goal_scores("write", known, place, SETTINGS, NOW_MS, sharing=sharing)
    assert known == before
    random.Random(seed).shuffle(known)  # noqa: S311 - for tests
    again = goal_scores("write", known, place, SETTINGS, NOW_MS, sharing=sharing)
    assert digest_of(again) == digest_of(made)


@given(known=st.lists(KNOWN, max_size=12), sharing=SHARING)
def test_what_is_not_shared_is_not_seen(known, sharing):
    place = Place("team-a", "w")
    foreign = [one for one in known if one.namespace != "team-a"]
    own = [one for one in known if one.namespace == "team-a"]
    with_all = goal_scores("write", known, place, SETTINGS, NOW_MS, sharing=sharing - {"team-a"})
    alone = goal_scores("write", own, place, SETTINGS, NOW_MS)
    assert with_all == alone
    assert {s.arm.key for s in alone.arms} == {one.arm.key for one in own} or foreign


def pinned(good=80, bad=20, **fields):
    score = ArmScore(arm("a"), Beta(1 + good, 1 + bad), good + bad, **fields)
    return GoalScores("write", (score,))


def going_on(known, before=None, *, since_ms=NOW_MS - DAY_MS, settings=SETTINGS):
    made = scores_going_on(
        "write", before, known, "team-a", settings, since_ms=since_ms, now_ms=NOW_MS
    )
    return {score.arm.model: score for score in made.arms}


def test_going_on_from_a_version_adds_the_evidence_since():
    found = going_on([sums(good=5, bad=5), sums(good=3, workload="v")], pinned(cost_usd=0.5))["a"]
    assert (found.posterior, found.samples, found.cost_usd) == (Beta(89, 26), 113, 0.5)


def test_what_a_version_does_not_know_begins_anew():
    found = going_on([sums("b", good=5)], pinned())
    assert found["b"].posterior == Beta(6, 1)
    assert found["a"].posterior == Beta(81, 21)
    assert going_on([sums("b", good=5)])["b"].posterior == Beta(6, 1)


def test_evidence_from_before_never_counts_in_however_wide_a_bucket():
    since_ms = NOW_MS - DAY_MS
    around = sums(bad=100, at_ms=since_ms - 1_000)
    around.by_reporter[""].merge(sums(good=1, at_ms=since_ms + 1_000).by_reporter[""])
    around.by_reporter[""].merge(sums(good=7).by_reporter[""])
    around.by_reporter[""].pack(NOW_MS)
    assert len(around.by_reporter[""]) == 2
    assert going_on([around], pinned())["a"].posterior == Beta(88, 21)


def test_an_arm_that_is_unheard_of_since_grows_stale():
    fresh = going_on([], pinned())["a"]
    old = going_on([], pinned(), since_ms=NOW_MS - 8 * DAY_MS)["a"]
    assert (fresh.is_stale, old.is_stale) == (False, True)
    assert fresh.posterior.weight == 102
    assert old.posterior.weight == pytest.approx(SETTINGS.min_samples)


def test_digests_tell_what_decides_alike():
    one = goal_scores("write", [sums(good=5)], Place("team-a"), SETTINGS, NOW_MS)
    same = goal_scores("write", [sums(good=5)], Place("team-a"), SETTINGS, NOW_MS + 1_000)
    other = goal_scores("write", [sums(good=6)], Place("team-a"), SETTINGS, NOW_MS)
    assert digest_of(one) == digest_of(same) != digest_of(other)
    assert len(digest_of(one)) == 64
