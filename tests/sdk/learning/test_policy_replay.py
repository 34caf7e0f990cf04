"""What a policy's routes would have made of logged calls; the logs are of policies we know."""

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.learning.arms import Arm
from remora.learning.beta import Beta
from remora.learning.logged_decision import LoggedDecision, arm_named
from remora.learning.offpolicy import evaluate
from remora.learning.policy_replay import KnownScores, LeftOut, PolicyReplay
from remora.learning.policy_worth import worth_of
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora.policy.spec import CallRules

QUALITY = {"openai/small": 0.55, "openai/large": 0.8, "groq/llama": 0.65}
ARMS = tuple(QUALITY)
CANDIDATES = [{"model": "small"}, {"model": "large"}, {"provider": "groq", "model": "llama"}]


def rules(*routes, **more):
    return CallRules.model_validate({"routes": routes, **more})


def routed(policy, candidates=CANDIDATES, *, name="r", match=None, **router):
    made = {"name": name, "router": {"policy": policy, "candidates": candidates, **router}}
    return made if match is None else {**made, "match": match}


def weighted(*weights):
    pairs = zip(CANDIDATES, weights, strict=True)
    return rules(routed("weighted", [{**one, "weight": weight} for one, weight in pairs]))


def decision(arm="openai/small", *, number=1, arms=ARMS, goal="g", model="small", **fields):
    made = {"propensity": 0.5, "reward": 1.0, "confidence": 1.0, "started_unix_ns": number}
    return LoggedDecision(
        f"{number:032x}", goal, arm, arms, requested_model=model, **{**made, **fields}
    )


def chances(policy, call=None, log=(), scores=None, **options):
    call = call or decision()
    known = KnownScores(scores or {}, {})
    replay = PolicyReplay(policy, [call, *log], known, **options)
    return replay.chances(call.goal, call.requested_model, call.arms)


def why(policy, call=None, **options):
    found = chances(policy, call, **options)
    assert isinstance(found, LeftOut)
    return found.why


def scored(**rates):
    arms = [
        ArmScore(arm_named(key), Beta(1 + 200 * rate, 1 + 200 * (1 - rate)), 200, cost_usd=cost)
        for key, (rate, cost) in rates.items()
    ]
    return {"g": GoalScores("g", tuple(arms))}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (rules(routed("random")), dict.fromkeys(ARMS, 1 / 3)),
        (rules(routed("round-robin")), dict.fromkeys(ARMS, 1 / 3)),
        (weighted(1, 3, 0), {"openai/small": 0.25, "openai/large": 0.75, "groq/llama": 0.0}),
        (rules(routed("sticky", [{"model": "large"}])), {"openai/large": 1.0}),
        (rules(routed("cheapest")), {"groq/llama": 1.0}),
        (rules(routed("fastest")), {"openai/large": 1.0}),
        (rules(), {"openai/small": 1.0}),
        (rules({"name": "r"}), {"openai/small": 1.0}),
        (rules(routed("random", match={"models": ["other*"]})), {"openai/small": 1.0}),
        (rules(routed("random", match={"operations": ["embeddings"]})), {"openai/small": 1.0}),
        (rules(routed("random"), models={"deny": ["small"]}),
         {"openai/large": 0.5, "groq/llama": 0.5}),
        (rules(routed("random", [{"model": "x1"}]) | {"fallback": [{"model": "large"}]},
               models={"deny": ["x*"]}), {"openai/large": 1.0}),
    ],
    ids=["random", "round-robin", "weighted", "single", "cheapest", "fastest", "no-route",
         "no-router", "other-model", "other-operation", "denied", "fallback"],
)  # fmt: skip
def test_a_call_goes_where_the_route_would_send_it(policy, expected):
    seen = [
        decision("openai/small", cost_usd=Decimal(3), latency_ms=30.0),
        decision("openai/large", cost_usd=Decimal(2), latency_ms=10.0),
        decision("groq/llama", cost_usd=Decimal(1), latency_ms=20.0),
    ]
    assert chances(policy, log=seen) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("policy", "call", "told"),
    [
        (rules(routed("sticky", by="session")), None, "what a call sticks to is not in the log"),
        (rules(routed("conditional")), None, "its conditions need the request"),
        (rules(routed("plugin", plugin="mine")), None, "a plugin chooses"),
        (rules(routed("random", match={"condition": "true"})), None, "route 'r' has a condition"),
        (rules(models={"deny": ["small"]}), None, "denies the model 'small'"),
        (rules(routed("random"), models={"deny": ["*"]}), None, "it could go to nobody"),
        (rules(), decision(model=""), "does not say which provider's model"),
        (rules(routed("random")), decision("a/x", arms=("a/x", "b/x"), model="x"),
         "does not say which provider's model"),
    ],
    ids=["sticky", "conditional", "plugin", "condition", "denied", "all-denied", "no-model",
         "two-providers"],
)  # fmt: skip
def test_what_a_log_can_not_tell_is_left_out_and_said(policy, call, told):
    assert told in why(policy, call)


def test_the_first_route_has_the_call_whatever_stands_behind_it():
    first = routed("random", [{"model": "large"}], name="first", match={"models": ["sm*"]})
    behind = routed("sticky", name="behind")
    assert chances(rules(first, behind)) == {"openai/large": 1.0}
    assert "behind" in why(rules(first, behind), decision(model="other"))


def test_the_operation_is_what_one_says():
    policy = rules(routed("random", match={"operations": ["embeddings"]}))
    assert chances(policy, operation="embeddings") == pytest.approx(dict.fromkeys(ARMS, 1 / 3))


def test_a_candidate_that_this_call_could_not_go_to_is_not_taken():
    few = decision(arms=("openai/small", "openai/large"))
    policy = rules(routed("random"))
    assert chances(policy, few, [decision()]) == {"openai/small": 0.5, "openai/large": 0.5}
    only = rules(routed("random", [{"provider": "groq", "model": "llama"}]))
    assert "could go to nobody" in why(only, few, log=[decision()])


def test_a_candidate_that_was_never_offered_is_taken_and_said():
    policy = rules(routed("random", [{"model": "small"}, {"model": "new"}]))
    replay = PolicyReplay(policy, [decision(), decision(number=2)]).replayed()
    assert replay.never_offered == {"openai/new": pytest.approx(0.5)}
    (worth,) = worth_of(replay)
    assert worth.evaluation.unsupported == pytest.approx(0.5)
    assert worth.finding == "too_little_known"


def test_parameters_make_an_arm_of_their_own():
    warm, cold = ('openai/small {"temperature":1}', 'openai/small {"temperature":0}')
    call = decision(warm, arms=(warm, cold))
    policy = rules(routed("random", [{"model": "small"}]))
    assert chances(policy, call) == {"openai/small": 1.0}


@pytest.mark.parametrize(
    "arm",
    [
        Arm("openai", "gpt-4o"),
        Arm("hf", "org/model"),
        Arm("openai", "gpt-4o", {"temperature": 0.2, "stop": " {"}),
        Arm("odd", "a {b}"),
        Arm("odd", 'a {"b":1} c', {"x": "{}"}),
    ],
    ids=lambda arm: arm.key,
)
def test_an_arms_name_reads_back(arm):
    assert arm_named(arm.key) == arm


def test_a_learned_router_goes_by_its_own_settings_and_the_scores_there_are():
    scores = scored(**{"openai/small": (0.5, 0.1), "openai/large": (0.9, 0.3)})
    candidates = CANDIDATES[:2]
    greedy = rules(routed("learned", candidates, explorationRate=0.0))
    assert chances(greedy, scores=scores) == {"openai/small": 0.0, "openai/large": 1.0}
    curious = rules(routed("learned", candidates, explorationRate=0.5))
    assert chances(curious, scores=scores) == {"openai/small": 0.25, "openai/large": 0.75}
    careful = rules(routed("learned", candidates, explorationRate=0.5, risk="high"))
    assert chances(careful, scores=scores) == {"openai/small": 0.0, "openai/large": 1.0}


def test_a_wide_band_takes_the_cheaper_arm():
    scores = scored(**{"openai/small": (0.6, 0.1), "openai/large": (0.8, 0.3)})
    router = routed("learned", CANDIDATES[:2], explorationRate=0.0, band=0.5)
    assert chances(rules(router), scores=scores)["openai/small"] == pytest.approx(1.0)


def test_settings_that_the_policy_leaves_open_are_those_of_the_goal():
    arms = scored(**{"openai/small": (0.5, 0.1), "openai/large": (0.9, 0.3)})["g"].arms
    scores = {"g": GoalScores("g", arms, LearningSettings(exploration_rate=0.2))}
    found = chances(rules(routed("learned", CANDIDATES[:2])), scores=scores)
    assert found["openai/small"] == pytest.approx(0.1)


def test_a_gated_router_goes_by_the_version_in_force():
    live = scored(**{"openai/small": (0.9, 0.1), "openai/large": (0.5, 0.1)})
    force = scored(**{"openai/small": (0.5, 0.1), "openai/large": (0.9, 0.1)})
    call = decision()
    for updates, best in (("live", "openai/small"), ("gated", "openai/large")):
        router = routed("learned", CANDIDATES[:2], explorationRate=0.0, updates=updates)
        replay = PolicyReplay(rules(router), [call], KnownScores(live, force))
        assert replay.chances("g", "small", ARMS)[best] == pytest.approx(1.0)


def test_a_learned_router_that_nothing_is_known_for_chooses_evenly():
    found = chances(rules(routed("learned")))
    assert found == pytest.approx(dict.fromkeys(ARMS, 1 / 3), abs=0.01)


@given(
    st.sampled_from(["random", "round-robin", "weighted", "cheapest", "fastest", "learned"]),
    st.lists(st.sampled_from(["small", "large", "other"]), min_size=1, max_size=3, unique=True),
    st.sets(st.sampled_from(["openai/small", "openai/large", "openai/other"]), min_size=1),
)
def test_chances_are_those_of_one_choice(policy, models, arms):
    weights = {"weight": 1} if policy == "weighted" else {}
    candidates = [{"model": model, **weights} for model in models]
    call = decision(sorted(arms)[0], arms=tuple(sorted(arms)))
    found = chances(rules(routed(policy, candidates)), call)
    if not isinstance(found, LeftOut):
        assert sum(found.values()) == pytest.approx(1)
        assert set(found) <= {f"openai/{model}" for model in models}


def simulated(weights, calls, seed):
    """Log the calls of a weighted policy over arms of known quality."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    shares = dict(zip(ARMS, (weight / sum(weights) for weight in weights), strict=True))
    taken = chance.choices(ARMS, weights, k=calls)
    return [
        decision(
            arm, number=number, propensity=shares[arm], reward=float(chance.random() < QUALITY[arm])
        )
        for number, arm in enumerate(taken)
    ]


def evaluated(policy, log):
    return worth_of(PolicyReplay(policy, log).replayed())[0]


LOGGING = (5, 3, 2)


@settings(max_examples=40)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(50, 400), st.integers(0, 2**32))
def test_the_policy_that_logged_earns_what_was_earned(weights, calls, seed):
    log = simulated(weights, calls, seed)
    found = evaluated(weighted(*weights), log)
    for estimate in (found.evaluation.ips, found.evaluation.snips, found.evaluation.doubly_robust):
        assert estimate.low <= found.earned.mean <= estimate.high
    # The draw of arms alone moves it: by five deviations at most.
    assert abs(found.gain.mean) <= 5 / 1.96 * (found.gain.high - found.gain.mean)
    assert found.evaluation.effective_calls == pytest.approx(calls)


@pytest.mark.parametrize(
    ("better", "worse"),
    [((0, 1, 0), (1, 0, 0)), ((1, 8, 1), (8, 1, 1)), ((0, 1, 1), (1, 0, 1))],
    ids=["fixed", "mixed", "two-of-three"],
)
def test_a_better_policy_ranks_higher(better, worse):
    log = simulated(LOGGING, 3_000, seed=7)
    good, bad = evaluated(weighted(*better), log), evaluated(weighted(*worse), log)
    assert good.evaluation.doubly_robust.mean > bad.evaluation.doubly_robust.mean
    assert good.finding == "better"
    assert bad.gain.mean < good.gain.mean


def test_a_worse_policy_is_found_out():
    log = simulated((1, 8, 1), 3_000, seed=3)
    assert evaluated(weighted(1, 0, 0), log).finding == "worse"


def test_what_makes_no_difference_is_called_so():
    assert evaluated(weighted(*LOGGING), simulated(LOGGING, 500, 1)).finding == (
        "no_difference_known"
    )


@pytest.mark.parametrize("weights", [(0, 1, 0), (1, 6, 3)], ids=["fixed", "mixed"])
def test_the_doubly_robust_interval_holds_the_truth(weights):
    policy = weighted(*weights)
    truth = sum(
        weight / sum(weights) * QUALITY[arm] for arm, weight in zip(ARMS, weights, strict=True)
    )
    held = 0
    for seed in range(200):
        replay = PolicyReplay(policy, simulated(LOGGING, 400, seed)).replayed()
        estimate = evaluate(replay.log, replay.policy).doubly_robust
        held += estimate.low <= truth <= estimate.high
    assert held / 200 >= 0.9


def test_goals_are_judged_apart_where_there_are_several():
    log = [decision(goal=goal, number=number) for goal in "ab" for number in range(5)]
    whole, *goals = worth_of(PolicyReplay(rules(routed("random")), log).replayed())
    assert whole.evaluation.calls == 10
    assert [(worth.goal, worth.evaluation.calls) for worth in goals] == [("a", 5), ("b", 5)]


def test_calls_that_are_left_out_are_counted_by_why():
    policy = rules(routed("sticky", match={"models": ["a"]}), routed("random", name="other"))
    log = [decision(model=model, number=number) for number, model in enumerate("aabc")]
    replay = PolicyReplay(policy, log).replayed()
    assert list(replay.left_out.values()) == [2]
    assert len(replay.log) == 2
