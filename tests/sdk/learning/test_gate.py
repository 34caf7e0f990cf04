import random
import re

import pytest

from remora.learning import Arm, ArmScore, Beta, GoalScores, LearningSettings, RouterVersion
from remora.learning.gate import GateRules, judge, policy_of
from remora.learning.offpolicy import Logged

QUALITY = {"p/a": 0.5, "p/b": 0.8}
RULES = GateRules()


def version(a: float, b: float, *, explore: float = 0.1) -> RouterVersion:
    """Make one that believes in shares of good answers, each after a hundred."""
    arms = tuple(
        ArmScore(Arm("p", name), Beta(1 + 100 * share, 1 + 100 * (1 - share)), samples=100)
        for name, share in (("a", a), ("b", b))
    )
    return RouterVersion(
        1, 0, {"g": GoalScores("g", arms, LearningSettings(exploration_rate=explore))}
    )


def log_of(calls: int, share_of_b: float = 0.5, seed: int = 2) -> list[Logged]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    log = []
    for _ in range(calls):
        arm = "p/b" if chance.random() < share_of_b else "p/a"
        propensity = share_of_b if arm == "p/b" else 1 - share_of_b
        good = float(chance.random() < QUALITY[arm])
        log.append(Logged("g", arm, propensity, good, tuple(QUALITY)))
    return log


BETTER, WORSE = version(0.5, 0.8), version(0.8, 0.5)


@pytest.mark.parametrize(
    ("old", "new", "log", "result", "told"),
    [
        (WORSE, BETTER, log_of(2_000), "accepted", r"\+2\d\.\d%"),
        (BETTER, WORSE, log_of(2_000), "refused", r"-2\d\.\d%"),
        (BETTER, BETTER, log_of(2_000), "accepted", r"\+0\.0%"),
        (WORSE, BETTER, log_of(60), "undecided", "100 are needed"),
        (WORSE, BETTER, log_of(2_000, share_of_b=0), "undecided", "never made 95%"),
    ],
    ids=["better", "worse", "the same", "a short log", "nothing is known of its choices"],
)
def test_a_version_replaces_another_only_if_the_log_bears_it_out(old, new, log, result, told):
    verdict = judge(log, policy_of(old), policy_of(new), RULES)
    assert verdict.result == result
    assert re.search(told, verdict.reason)


def test_a_version_decides_as_its_scores_do():
    policy = policy_of(BETTER)
    assert policy(log_of(1)[0]) == pytest.approx({"p/b": 0.95, "p/a": 0.05}, abs=0.01)


def test_only_arms_that_the_call_could_go_to_are_chosen():
    call = Logged("g", "p/a", 1.0, 1.0, ("p/a",))
    assert policy_of(BETTER)(call) == {"p/a": 1.0}


def test_of_a_goal_that_it_does_not_know_a_version_chooses_evenly():
    call = Logged("another", "p/a", 1.0, 1.0, ("p/a", "p/b"))
    assert policy_of(BETTER)(call) == {"p/a": 0.5, "p/b": 0.5}


def test_what_may_be_lost_is_as_the_rules_say():
    log = log_of(2_000)
    lenient = judge(log, policy_of(BETTER), policy_of(WORSE), GateRules(may_lose=0.5))
    assert lenient.result == "accepted"
