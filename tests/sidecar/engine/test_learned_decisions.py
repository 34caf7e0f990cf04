"""Learned routing as policy meets it: goals, risks, receipts, budgets. No socket, no clock."""

import json
import random

import pytest

from remora.learning import Arm, ArmScore, Beta, GoalScores, LearningSettings
from remora.policy import load_documents
from remora.records import Attribution, Usage
from remora.testing.clock import ManualClock
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.sessions import Session
from remora_sidecar.engine.situation import Situation
from remora_sidecar.engine.steering import Refused
from remora_sidecar.engine.target import Target
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.policy import snapshot_from_documents
from remora_sidecar.policy.score_book import ScoreSnapshot
from remora_sidecar.settings import SidecarSettings
from remora_sidecar.steering_opening import open_steering

PRICES = PriceBook()
HOST, CHAT = "api.openai.com", "/v1/chat/completions"
COLD = {"model": "gpt-4o", "parameters": {"temperature": 0}}
CANDIDATES = ({"model": "gpt-4o"}, {"model": "gpt-4o-mini"})


def learned(*candidates, **more):
    router = {"policy": "learned", "candidates": candidates or CANDIDATES, **more}
    return {"routes": [{"name": "r", "router": router}]}


def snapshot(goal, **means):
    arms = tuple(
        ArmScore(Arm("openai", model), Beta(mean * 1_000, (1 - mean) * 1_000), 1_000)
        for model, mean in means.items()
    )
    return ScoreSnapshot(GoalScores(goal, arms, LearningSettings()), f"digest of {goal}")


class Desk:
    """Asks policy about calls."""

    def __init__(self, spec):
        """Begin with a policy; choices repeat."""
        policy = {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": "p"},
            "spec": spec,
        }
        text = json.dumps(policy)
        self.policy = snapshot_from_documents(load_documents({"p.yaml": text}), {})
        rules, settings = self.policy.rulebook.rules, SidecarSettings(mode="explicit")
        self.clock = ManualClock()
        self.steering = open_steering(settings, rules, self.clock, PRICES, EngineMetrics())
        self.steering.routers.learned._chance = random.Random(5)  # noqa: S311 - repeats
        self.book = self.steering.routers.learned.book
        self.notes = []

    def situation(self, *, goal="", risk="low", sealed="", path=CHAT, **asked):
        asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **asked}
        body = json.dumps(asked).encode()
        head = RequestHead("POST", HOST, path, "", ((b"Host", HOST.encode()),))
        request = DIALECTS["openai-chat"].read_request(head, body)
        provider = self.policy.tls_provider(HOST)
        return Situation(
            rulebook=self.policy.rulebook,
            own=Leg(provider, Target("https", HOST, 443, path), head, request, body),
            dialect=DIALECTS["openai-chat"],
            attribution=Attribution(session_id="s", goal=goal),
            view=RequestView(head, body),
            sealed=sealed,
            session=Session("s", 0),
            note=self.notes.append,
            pod=self.steering.pod,
            now_unix_ns=0,
            condition_failed=lambda: None,
            goal=goal,
            risk=risk,
        )

    def decide(self, **asked):
        """Ask about one call; gives where it goes and the receipt."""
        situation = self.situation(**asked)
        found = self.steering.course(situation)
        return found, found.receipt(None), situation


TRANSLATE = [{"role": "user", "content": "Translate this into French: good morning"}]

GOALS = {
    "the router's before the call's": ({"goal": "policy"}, {"goal": "header"}, "policy"),
    "the call's before the rules": ({}, {"goal": "header", "messages": TRANSLATE}, "header"),
    "the rules where nobody says it": ({}, {"messages": TRANSLATE}, "translation"),
    "what no rule knows": ({}, {}, "general"),
    "the router's of a sealed call": (
        {"goal": "policy"}, {"goal": "header", "sealed": "it is signed"}, "policy",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("router", "asked", "goal"), GOALS.values(), ids=GOALS)
def test_a_learned_route_settles_what_its_calls_are_for(router, asked, goal):
    _, _, situation = Desk(learned(**router)).decide(**asked)
    assert situation.goal == goal


@pytest.mark.parametrize("said", ["", "header"], ids=["nobody says it", "the call says it"])
def test_other_routes_leave_the_goal_as_it_is(said):
    spec = {"routes": [{"name": "r", "router": {"policy": "random", "candidates": CANDIDATES}}]}
    _, _, situation = Desk(spec).decide(goal=said, messages=TRANSLATE)
    assert situation.goal == said


RISKS = [
    ("low", "low", "low"), ("low", "high", "high"), ("high", "low", "high"),
    (None, "medium", "medium"), ("medium", "low", "medium"), (None, "low", "low"),
]  # fmt: skip


@pytest.mark.parametrize(("router", "call", "risk"), RISKS)
def test_a_call_raises_the_risk_and_never_lowers_it(router, call, risk):
    rule = learned(risk=router) if router else learned()
    _, receipt, _ = Desk(rule).decide(risk=call)
    assert receipt.risk == risk


def test_the_receipt_tells_how_likely_each_was_and_why():
    desk = Desk(learned(*CANDIDATES, {"provider": "groq", "model": "m"}, goal="g",
                        explorationRate=0))  # fmt: skip
    desk.book.take(snapshot("g", **{"gpt-4o": 0.9, "gpt-4o-mini": 0.3}))
    found, receipt, _ = desk.decide()

    assert [option.model for option in found.legs] == ["gpt-4o"]
    assert (receipt.router, receipt.propensity, receipt.risk) == ("learned", 1.0, "low")
    assert (receipt.reason, receipt.scores) == ("exploitation", "digest of g")
    shown = {c.model: (c.score, c.propensity, c.note, c.filtered_out_by) for c in
             receipt.candidates}  # fmt: skip
    assert shown == {
        "gpt-4o": (pytest.approx(0.9), 1.0, "", ""),
        "gpt-4o-mini": (pytest.approx(0.3), 0.0, "worse", ""),
        "m": (None, None, "", "credential"),
    }


def test_one_model_with_other_parameters_is_told_apart():
    found, receipt, _ = Desk(learned({"model": "gpt-4o"}, COLD, risk="high")).decide()
    assert [c.parameters for c in receipt.candidates] == ["", '{"temperature":0}']
    assert found.legs[0].parameters.text in ("", '{"temperature":0}')


def test_what_was_chosen_falls_back_as_the_route_says():
    spec = learned(COLD, risk="high")
    spec["routes"][0]["fallback"] = [{"model": "gpt-4o"}, {"model": "gpt-4o"}]
    found, receipt, _ = Desk(spec).decide()
    assert [one.key for one in found.legs] == ['openai/gpt-4o {"temperature":0}', "openai/gpt-4o"]
    assert receipt.fallback == ("openai/gpt-4o", "openai/gpt-4o")
    assert receipt.propensity == 1.0


def test_a_call_that_a_budget_sends_elsewhere_has_no_propensity():
    budget = {"name": "b", "per": "pod", "maxCostUSD": "0.0005", "onExceed": "downgrade",
              "downgradeTo": "gpt-4.1-nano"}  # fmt: skip
    desk = Desk({**learned({"model": "gpt-4o"}, {"model": "gpt-4.1"}), "budgets": [budget]})
    found, receipt, _ = desk.decide(max_tokens=100)
    assert found.legs[0].model == "gpt-4.1-nano"
    assert receipt.propensity is None
    assert [c.propensity for c in receipt.candidates] == [0.5, 0.5]


def test_who_keeps_failing_is_not_chosen_and_named_with_its_parameters():
    desk = Desk(learned(COLD, {"model": "gpt-4o-mini"}, goal="g"))
    breaker = desk.steering.breakers.of("openai", "gpt-4o", desk.clock.monotonic_s())
    for _ in range(5):
        breaker.failed(breaker.begin(desk.clock.monotonic_s()), desk.clock.monotonic_s())
    found, receipt, _ = desk.decide()
    assert found.legs[0].model == "gpt-4o-mini"
    dropped = [c for c in receipt.candidates if c.filtered_out_by]
    assert [(c.filtered_out_by, c.parameters) for c in dropped] == [
        ("circuit_open", '{"temperature":0}')
    ]
    assert receipt.propensity == 1.0


def test_a_sealed_call_goes_as_it_is_and_nothing_was_chosen():
    found, receipt, _ = Desk(learned(COLD, goal="g")).decide(sealed="it is signed")
    assert found.legs[0].parameters.text == ""
    assert (receipt.propensity, receipt.reason, receipt.risk) == (None, "", "")


def test_random_and_weighted_routers_tell_the_chance_of_every_candidate():
    for router in (
        {"policy": "random", "candidates": CANDIDATES},
        {"policy": "weighted", "candidates": [{**one, "weight": 3} for one in CANDIDATES]},
    ):
        _, receipt, _ = Desk({"routes": [{"name": "r", "router": router}]}).decide()
        assert [c.propensity for c in receipt.candidates] == [0.5, 0.5]


# Budgets know what parameters ask for.


def estimated_tokens(parameters, **asked):
    desk = Desk(learned({"model": "gpt-4o", "parameters": parameters}))
    situation = desk.situation(**asked)
    (offer,) = situation.sorted(situation.route.router.candidates).offers
    return desk.steering.budgeting._amount(situation, offer).tokens


def test_an_output_limit_that_policy_sets_is_what_budgets_reckon_with():
    plain = estimated_tokens({"temperature": 0}, max_tokens=50)
    assert estimated_tokens({"max_tokens": 500}, max_tokens=50) == plain + 450
    assert estimated_tokens({"n": 3}, max_tokens=50) == plain + 100


def test_a_strict_budget_holds_for_what_policy_sets():
    budget = {"name": "b", "per": "pod", "maxTokens": 2_000, "strict": True}
    long = {"model": "gpt-4o", "parameters": {"max_tokens": 5_000}}
    for candidate, is_let in ((long, False), ({"model": "gpt-4o"}, True)):
        found, _, _ = Desk({**learned(candidate), "budgets": [budget]}).decide(max_tokens=50)
        assert isinstance(found, Refused) is not is_let


def test_prices_of_candidates_are_told_from_what_was_used():
    found, _, _ = Desk(learned()).decide()
    receipt = found.receipt(Usage(input_tokens=10, output_tokens=5))
    assert all(c.est_cost_usd > 0 for c in receipt.candidates)
