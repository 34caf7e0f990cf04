"""What policy makes of calls, as tables: no socket, no engine, and a clock that the tests move."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.errors import UpstreamError
from remora.policy import load_documents
from remora.records import Attribution, EndReason, Origin, Usage
from remora.testing.clock import ManualClock
from remora_sidecar.dialects.base import AnswerFacts
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.observation import BodyCapture, Observation, Waiting
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.sessions import Session
from remora_sidecar.engine.steering import Refused
from remora_sidecar.engine.target import Target
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.policy import snapshot_from_documents
from remora_sidecar.policy.failures import Failure
from remora_sidecar.settings import SidecarSettings
from remora_sidecar.steering_opening import open_steering

PRICES = PriceBook()
HOST, CHAT = "api.openai.com", "/v1/chat/completions"
WHO = Attribution(session_id="s1", task_id="t1", agent_id="a1")


def snapshot_of(spec):
    policy = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": "p"},
        "spec": spec,
    }
    return snapshot_from_documents(load_documents({"p.yaml": json.dumps(policy)}), {})


class Desk:
    """Asks policy about calls, one after the other."""

    def __init__(self, spec):
        """Begin with a policy."""
        self.clock = ManualClock()
        self.policy = snapshot_of(spec)
        rules = self.policy.rulebook.rules
        settings = SidecarSettings(mode="explicit")
        self.steering = open_steering(settings, rules, self.clock, PRICES, EngineMetrics())
        self.session = Session("s1", 0)

    def change(self, spec):
        """Go by another policy."""
        self.policy = snapshot_of(spec)
        self.steering.apply(self.policy.rulebook)

    def decide(
        self, model="gpt-4o", *, who=WHO, sealed="", path=CHAT, dialect="openai-chat", **more
    ):
        """Ask about one call; gives what policy made of it and what was seen of the call."""
        asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
        body = json.dumps({k: v for k, v in asked.items() if v is not None}).encode()
        head = RequestHead("POST", HOST, path, "", ((b"Host", HOST.encode()),))
        request = DIALECTS[dialect].read_request(head, body)
        provider = self.policy.tls_provider(HOST)
        own = Leg(provider, Target("https", HOST, 443, path), head, request, body)
        seen = self._seen(who, request, body)
        situation = self.steering.situation(
            self.policy.rulebook, own, DIALECTS[dialect], seen, self.session, sealed
        )
        found = self.steering.course(situation)
        seen.receipt = found.receipt
        return found, seen

    def _seen(self, who, request, body):
        clock = self.clock
        return Observation(
            call_id="0" * 32,
            clock=clock,
            started_unix_ns=clock.now_unix_ns(),
            started_s=clock.monotonic_s(),
            origin=Origin(),
            attribution=who,
            provider="openai",
            price_id="openai",
            dialect="openai-chat",
            method="POST",
            url="",
            request_capture=BodyCapture(0),
            response_capture=BodyCapture(0),
            capture="metadata",
            waiting=Waiting(clock),
            request=request,
            request_body=body,
        )

    def finish(self, course, seen, *, ttft_s=None, used=(1, 1), failures=(), status=200):
        """Let a call end: after these failed tries, with this status and usage."""
        option = course.legs[0]
        seen.goes_to(option.provider, seen.request._replace(model=option.model))
        for failure in failures:
            seen.attempt_failed(500, failure, None, None, None)
        seen.attempt_ended(status)
        seen.status_code, seen.first_output_s = status, ttft_s
        usage = Usage(input_tokens=used[0], output_tokens=used[1]) if used else None
        record = seen.record(PRICES, AnswerFacts(usage=usage), EndReason.COMPLETED)
        self.steering.finishing(course).call(record)
        return record

    def keys(self, model="gpt-4o", **asked):
        """Where a call may go, in order; the code, if nowhere."""
        found, _ = self.decide(model, **asked)
        return found.refusal.code if isinstance(found, Refused) else [o.key for o in found.legs]


def to(*models, policy="round-robin", **more):
    candidates = [{"model": one} if isinstance(one, str) else one for one in models]
    return {"policy": policy, "candidates": candidates, **more}


def route(**fields):
    return {"routes": [{"name": "r", **fields}]}


def openai(*models):
    return [f"openai/{model}" for model in models]


DENY = {"models": {"deny": ["gpt-4o"]}}
GROQ = {"provider": "groq", "model": "m"}
GROQS_KEY = {"credentials": [{"provider": "groq", "secretRef": {"name": "k", "key": "k"}}]}

DECIDED = {
    "no rule": ({}, {}, openai("gpt-4o")),
    "a rule that says nothing of it": ({"requireTask": True}, {}, openai("gpt-4o")),
    "no route that takes it": (
        route(match={"models": ["o1"]}, router=to("a")), {}, openai("gpt-4o"),
    ),
    "a route that only paces": (route(retry={}), {}, openai("gpt-4o")),
    "a router": (route(router=to("a", "b")), {}, openai("a")),
    "a router and what comes next": (
        route(router=to("a"), fallback=[{"model": "b"}, {"model": "c"}]), {}, openai("a", "b", "c"),
    ),
    "what comes next alone": (route(fallback=[{"model": "b"}]), {}, openai("gpt-4o", "b")),
    "the chosen one is not tried twice": (
        route(router=to("a"), fallback=[{"model": "a"}, {"model": "b"}]), {}, openai("a", "b"),
    ),
    "the asked one is not tried twice": (
        route(fallback=[{"model": "gpt-4o"}, {"model": "b"}]), {}, openai("gpt-4o", "b"),
    ),
    "one candidate written twice": (route(router=to("a", "a")), {}, openai("a")),
    "another provider with a key": (
        {**route(router=to(GROQ)), **GROQS_KEY}, {}, ["groq/m"],
    ),
    "another provider without a key": (route(router=to(GROQ)), {}, "NO_CANDIDATE"),
    "another provider without a key, and one more": (
        route(router=to(GROQ, "a")), {}, openai("a"),
    ),
    "only what comes next can be taken": (
        route(router=to(GROQ), fallback=[{"model": "b"}]), {}, openai("b"),
    ),
    "nothing that comes next can be taken": (
        route(router=to("a"), fallback=[GROQ]), {}, openai("a"),
    ),
    "a denied model": (DENY, {}, "MODEL_DENIED"),
    "a denied model that a router changes": (
        {**route(router=to("a")), **DENY}, {}, openai("a"),
    ),
    "a denied model that a route only paces": ({**route(retry={}), **DENY}, {}, "MODEL_DENIED"),
    "a denied model with what comes next": (
        {**route(fallback=[{"model": "b"}]), **DENY}, {}, openai("b"),
    ),
    "all candidates denied": (
        {**route(router=to("gpt-4o", "gpt-4o")), **DENY}, {}, "MODEL_DENIED",
    ),
    "candidates denied and without key": (
        {**route(router=to("gpt-4o", GROQ)), **DENY}, {}, "NO_CANDIDATE",
    ),
    "no condition holds": (
        route(router=to({"model": "a", "condition": "false"}, policy="conditional")),
        {}, openai("gpt-4o"),
    ),
    "no condition holds, and what comes next": (
        route(
            router=to({"model": "a", "condition": "false"}, policy="conditional"),
            fallback=[{"model": "b"}],
        ),
        {}, openai("gpt-4o", "b"),
    ),
    "no condition holds for a denied model": (
        {**route(router=to({"model": "a", "condition": "false"}, policy="conditional")), **DENY},
        {}, "MODEL_DENIED",
    ),
    "a condition on the task": (
        route(
            router=to(
                {"model": "a", "condition": 'task.id == "t2"'},
                {"model": "b", "condition": 'task.id == "t1"'},
                policy="conditional",
            )
        ),
        {}, openai("b"),
    ),
    "a sealed request": (
        route(router=to("a"), fallback=[{"model": "b"}]), {"sealed": "it is signed"},
        openai("gpt-4o"),
    ),
    "a sealed request for a denied model": (
        {**route(router=to("a")), **DENY}, {"sealed": "it is signed"}, "MODEL_DENIED",
    ),
    "no task where one is wanted": (
        {"requireTask": True}, {"who": Attribution(session_id="s")}, "TASK_REQUIRED",
    ),
    "a large body": ({"maxRequestBody": "10"}, {}, "BODY_TOO_LARGE"),
    "a body of the size that is taken": ({"maxRequestBody": "1Ki"}, {}, openai("gpt-4o")),
    "embeddings, which the route does not name": (
        route(router=to("a")), {"path": "/v1/embeddings", "dialect": "openai-embeddings"},
        openai("gpt-4o"),
    ),
    "embeddings, which the route names": (
        route(match={"operations": ["embeddings"]}, router=to("a")),
        {"path": "/v1/embeddings", "dialect": "openai-embeddings"}, openai("a"),
    ),
    "no model where some are denied": (DENY, {"model": None}, "MODEL_DENIED"),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "asked", "decided"), DECIDED.values(), ids=DECIDED)
def test_policy_says_where_a_call_may_go(spec, asked, decided):
    assert Desk(spec).keys(**asked) == decided


RECEIPTS = {
    "random": (to("gpt-4o", "gpt-4o-mini", policy="random", seed=1), 0.5, [None, None]),
    "weighted": (
        to({"model": "gpt-4o", "weight": 3}, {"model": "gpt-4o-mini", "weight": 0},
           policy="weighted"),
        1.0, [1.0, 0.0],
    ),
    "round-robin": (to("gpt-4o", "gpt-4o-mini"), None, [None, None]),
    "fastest": (to("gpt-4o", "gpt-4o-mini", policy="fastest"), None, [None, None]),
    "sticky": (to("gpt-4o", "gpt-4o-mini", policy="sticky", by="session"), None, [None, None]),
    "conditional": (to("gpt-4o", "gpt-4o-mini", policy="conditional"), None, [None, None]),
}  # fmt: skip


@pytest.mark.parametrize(("router", "propensity", "scores"), RECEIPTS.values(), ids=RECEIPTS)
def test_a_receipt_tells_how_it_was_chosen(router, propensity, scores):
    found, _ = Desk(route(router=router, fallback=[{"model": "o3"}])).decide()
    receipt = found.receipt(None)

    assert (receipt.policy, receipt.rule, receipt.router) == ("p", "r", router["policy"])
    assert receipt.propensity == propensity
    assert [c.score for c in receipt.candidates] == scores
    assert [c.model for c in receipt.candidates] == ["gpt-4o", "gpt-4o-mini"]
    assert all(c.est_cost_usd > 0 for c in receipt.candidates)
    assert receipt.fallback == ("openai/o3",)
    assert (receipt.credential, receipt.refused_by) == ("agent", "")


def test_a_receipt_of_the_cheapest_has_the_prices_that_decided():
    desk = Desk(route(router=to("gpt-4o", "gpt-4o-mini", "nobody-knows-it", policy="cheapest")))
    found, _ = desk.decide(max_tokens=500)
    priced = {c.model: (c.score, c.est_cost_usd) for c in found.receipt(None).candidates}

    assert [option.model for option in found.legs] == ["gpt-4o-mini"]
    assert priced["nobody-knows-it"] == (None, None)
    assert priced["gpt-4o"][0] == float(priced["gpt-4o"][1]) > priced["gpt-4o-mini"][0]


def test_the_estimate_grows_with_what_the_call_asks_for():
    desk = Desk(route(router=to("gpt-4o")))

    def estimated_usd(**asked):
        return desk.decide(**asked)[0].receipt(None).candidates[0].est_cost_usd

    assert estimated_usd(max_tokens=10) < estimated_usd(max_tokens=20)
    assert estimated_usd(max_tokens=10, n=2) > estimated_usd(max_tokens=10)
    long = [{"role": "user", "content": "word " * 1_000}]
    assert estimated_usd(max_tokens=10, messages=long) > estimated_usd(max_tokens=10)


def test_a_receipt_names_what_was_dropped_and_why():
    spec = {**route(router=to(GROQ, "gpt-4o"), fallback=[GROQ]), **DENY}
    found, _ = Desk(spec).decide()

    assert isinstance(found, Refused)
    receipt = found.receipt(None)
    assert {(c.provider, c.model, c.filtered_out_by) for c in receipt.candidates} == {
        ("groq", "m", "credential"),
        ("openai", "gpt-4o", "model_denied"),
    }
    assert receipt.refused_by == "NO_CANDIDATE"
    assert "groq/m (credential)" in found.refusal.message


@pytest.mark.parametrize(
    ("credentials", "whose"),
    [
        ([], "agent"),
        ([{"provider": "openai", "secretRef": {"name": "k", "key": "k"}}], "policy"),
        ([{"provider": "*", "onlyFrom": "policy"}], "none"),
    ],
)
def test_a_receipt_says_whose_key_is_sent(credentials, whose):
    found, _ = Desk({**route(router=to("a")), "credentials": credentials}).decide()
    assert found.receipt(None).credential == whose


class TestFastest:
    """Who answers fast gets the calls; who fails is no faster than who is slow."""

    SPEC = route(router=to("gpt-4o", "gpt-4o-mini", policy="fastest"))

    def chosen(self, desk):
        found, seen = desk.decide()
        return found.legs[0].model, found, seen

    def answered(self, desk, ttft_s, **how):
        model, found, seen = self.chosen(desk)
        desk.finish(found, seen, ttft_s=ttft_s, **how)
        return model

    def test_each_is_measured_once_and_then_the_faster_one_is_taken(self):
        desk = Desk(self.SPEC)
        assert self.answered(desk, 2.0) == "gpt-4o"
        assert self.answered(desk, 1.0) == "gpt-4o-mini"
        assert [self.answered(desk, 1.0) for _ in range(3)] == ["gpt-4o-mini"] * 3

    def test_one_that_is_not_measured_lately_is_tried_again(self):
        desk = Desk(self.SPEC)
        self.answered(desk, 2.0)
        self.answered(desk, 1.0)
        for _ in range(4):
            desk.clock.advance(100)
            assert self.answered(desk, 1.0) in ("gpt-4o", "gpt-4o-mini")
        # Only the faster one was renewed meanwhile.
        desk.clock.advance(100)
        assert self.answered(desk, 0.5) in ("gpt-4o", "gpt-4o-mini")

    @pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
    def test_one_that_fails_does_not_stay_the_one_to_be_measured(self, status):
        desk = Desk(self.SPEC)
        assert self.answered(desk, None, status=status, used=None) == "gpt-4o"
        assert self.answered(desk, 9.0) == "gpt-4o-mini"
        assert self.answered(desk, 9.0) == "gpt-4o-mini"

    def test_a_request_that_is_at_fault_itself_says_nothing(self):
        desk = Desk(self.SPEC)
        assert self.answered(desk, None, status=400, used=None) == "gpt-4o"
        assert self.answered(desk, 1.0) == "gpt-4o"

    def test_a_kept_connection_that_was_closed_says_nothing(self):
        desk = Desk(self.SPEC)
        model, found, seen = self.chosen(desk)
        seen.goes_to(found.legs[0].provider, seen.request._replace(model=model))
        seen.reused_connection = True
        seen.no_answer(UpstreamError("closed", kind="disconnected"))
        seen.reused_connection = False
        desk.finish(found, seen, ttft_s=1.0)
        assert self.answered(desk, 1.0) == model

    def test_time_that_failed_tries_took_is_not_measured(self):
        desk = Desk(self.SPEC)
        self.answered(desk, 1.0)
        self.answered(desk, 40.0, failures=[Failure.TIMEOUT])
        expected_s = desk.steering.latencies.expected_s(
            "openai", "gpt-4o-mini", desk.clock.monotonic_s()
        )
        assert expected_s == 30.0


def test_a_conversation_sticks_to_its_model_as_it_grows():
    desk = Desk(route(router=to("a", "b", "c", policy="sticky")))
    said = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    first = desk.keys(messages=said)
    for turn in range(5):
        said = [
            *said,
            {"role": "assistant", "content": "x"},
            {"role": "user", "content": str(turn)},
        ]
        assert desk.keys(messages=said) == first


def test_turns_and_sequences_go_on_over_a_changed_policy():
    desk = Desk(route(router=to("a", "b", "c")))
    assert desk.keys() == openai("a")
    desk.change({**route(router=to("a", "b", "c")), "models": {"deny": ["x"]}})
    assert desk.keys() == openai("b")


def budget(**fields):
    return {"name": "b", "per": "pod", **fields}


def budgets(*several, **one):
    return {"budgets": [*several, *([budget(**one)] if one else [])]}


CHEAPER = route(router=to("gpt-4o", "gpt-4o-mini"))
DEAR = {"maxCostUSD": "0.0003"}
"""Less than 100 tokens of GPT-4o cost, more than as many of its small kind do."""

BUDGETED = {
    "enough money": (budgets(maxCostUSD="1"), openai("gpt-4o"), ["ok"]),
    "enough tokens": (budgets(maxTokens=1_000), openai("gpt-4o"), ["ok"]),
    "no tokens left": (budgets(maxTokens=50), "BUDGET_EXCEEDED", ["block"]),
    "no money left": (budgets(maxCostUSD="0.0001"), "BUDGET_EXCEEDED", ["block"]),
    "enough money, no tokens": (
        budgets(maxCostUSD="1", maxTokens=50), "BUDGET_EXCEEDED", ["block"],
    ),
    "a warning": (budgets(maxTokens=50, onExceed="warn"), openai("gpt-4o"), ["warn"]),
    "per call": (budgets(per="call", maxTokens=50), "BUDGET_EXCEEDED", ["block"]),
    "per task": (budgets(per="task", maxTokens=50), "BUDGET_EXCEEDED", ["block"]),
    "per session": (budgets(per="session", maxTokens=50), "BUDGET_EXCEEDED", ["block"]),
    "per agent": (budgets(per="agent", maxTokens=50), "BUDGET_EXCEEDED", ["block"]),
    "per namespace": (budgets(per="namespace", maxTokens=50), "BUDGET_EXCEEDED", ["block"]),
    "downgraded to a named model": (
        budgets(**DEAR, onExceed="downgrade", downgradeTo="gpt-4o-mini"),
        openai("gpt-4o-mini"), ["downgrade"],
    ),
    "downgraded to a candidate": (
        {**CHEAPER, **budgets(**DEAR, onExceed="downgrade")}, openai("gpt-4o-mini"), ["downgrade"],
    ),
    "downgraded to what comes next": (
        {**route(fallback=[{"model": "gpt-4o-mini"}]), **budgets(**DEAR, onExceed="downgrade")},
        openai("gpt-4o-mini"), ["downgrade"],
    ),
    "nothing to downgrade to": (
        budgets(**DEAR, onExceed="downgrade"), "BUDGET_EXCEEDED", ["block"],
    ),
    "a downgrade that does not fit either": (
        budgets(maxCostUSD="0.000001", onExceed="downgrade", downgradeTo="gpt-4o-mini"),
        "BUDGET_EXCEEDED", ["block"],
    ),
    "a downgrade to a denied model": (
        {**budgets(**DEAR, onExceed="downgrade", downgradeTo="gpt-4o-mini"),
         "models": {"deny": ["*mini"]}},
        "BUDGET_EXCEEDED", ["block"],
    ),
    "one of two blocks": (
        budgets(budget(maxTokens=1_000), {**budget(maxTokens=50), "name": "second"}),
        "BUDGET_EXCEEDED", ["ok", "block"],
    ),
    "one warns and one is fine": (
        budgets(budget(maxTokens=50, onExceed="warn"), {**budget(maxTokens=1_000), "name": "2nd"}),
        openai("gpt-4o"), ["warn", "ok"],
    ),
    "strict, and the call says how much": (
        budgets(maxTokens=1_000, strict=True), openai("gpt-4o"), ["ok"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "decided", "results"), BUDGETED.values(), ids=BUDGETED)
def test_budgets_say_whether_a_call_may_go(spec, decided, results):
    found, _ = Desk(spec).decide(max_tokens=100)
    if isinstance(found, Refused):
        assert found.refusal.code == decided
        per_call = spec["budgets"][0]["per"] == "call"
        assert found.refusal.status == (402 if per_call else 429)
    else:
        assert [option.key for option in found.legs] == decided
    assert [one.result for one in found.receipt(None).budgets] == results


def test_a_budget_counts_by_what_it_is_for():
    desk = Desk(budgets(per="task", maxTokens=150))
    other = Attribution(session_id="s1", task_id="t2")
    assert desk.keys(max_tokens=100) == openai("gpt-4o")
    assert desk.keys(max_tokens=100) == "BUDGET_EXCEEDED"
    assert desk.keys(max_tokens=100, who=other) == openai("gpt-4o")


def test_a_window_begins_anew_at_the_hour_it_names():
    desk = Desk(budgets(maxTokens=150, window="1h"))
    desk.clock.advance(600)
    assert desk.keys(max_tokens=100) == openai("gpt-4o")
    refused, _ = desk.decide(max_tokens=100)
    assert refused.refusal.details["resets_at"] == "2026-01-01T01:00:00+00:00"

    desk.clock.advance(2_999)
    assert desk.keys(max_tokens=100) == "BUDGET_EXCEEDED"
    desk.clock.advance(1)
    assert desk.keys(max_tokens=100) == openai("gpt-4o")


def test_what_a_call_really_used_is_what_counts():
    desk = Desk(budgets(maxTokens=300))
    for _ in range(5):
        found, seen = desk.decide(max_tokens=100)
        record = desk.finish(found, seen, used=(10, 20))
    (row,) = desk.steering.budgeting.ledger.rows()
    assert row.spent_tokens == 150
    assert record.receipt.budgets[0].spent_tokens == 4 * 30
    assert Decimal(row.spent_picousd or 0) >= 0


def test_a_rate_has_room_again_after_the_time_it_says():
    desk = Desk({"rates": [{"name": "slow", "requestsPerMinute": 2}]})
    assert [desk.keys() for _ in range(2)] == [openai("gpt-4o")] * 2
    refused, _ = desk.decide()
    assert refused.refusal.code == "RATE_LIMITED"
    desk.clock.advance(refused.refusal.retry_after_s - 0.01)
    assert desk.keys() == "RATE_LIMITED"
    desk.clock.advance(0.02)
    assert desk.keys() == openai("gpt-4o")


def test_a_call_that_a_rate_refuses_holds_no_money():
    desk = Desk({
        **budgets(maxTokens=1_000), "rates": [{"name": "slow", "requestsPerMinute": 1}],
    })  # fmt: skip
    found, seen = desk.decide(max_tokens=100)
    desk.finish(found, seen, used=(1, 1))
    for _ in range(20):
        assert desk.keys(max_tokens=100) == "RATE_LIMITED"
    desk.clock.advance(60)
    assert desk.keys(max_tokens=900) == openai("gpt-4o")


MODELS = st.sampled_from(["gpt-4o", "gpt-4o-mini", "o1", "x"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(MODELS, min_size=1, max_size=4),
    st.lists(MODELS, max_size=3),
    st.lists(MODELS, max_size=2),
    MODELS,
    st.sampled_from(["random", "round-robin", "cheapest", "fastest", "sticky"]),
)
def test_no_call_ever_goes_to_a_denied_model_nor_twice_to_one(
    candidates, fallback, denied, asked, policy
):
    spec = {
        **route(router=to(*candidates, policy=policy), fallback=[{"model": m} for m in fallback]),
        "models": {"deny": denied},
    }
    found, _ = Desk(spec).decide(asked)
    receipt = found.receipt(None)
    if isinstance(found, Refused):
        assert set(candidates) | set(fallback) <= set(denied)
        assert receipt.refused_by == "MODEL_DENIED"
    else:
        models = [option.model for option in found.legs]
        assert not set(models) & set(denied)
        assert len(models) == len(set(models))
        assert set(models) <= set(candidates) | set(fallback)
    dropped = {c.model for c in receipt.candidates if c.filtered_out_by}
    assert dropped == (set(candidates) | set(fallback)) & set(denied)
