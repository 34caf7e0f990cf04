"""What the sidecar asks of models itself: through its own proxy, within a limit, never itself."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sidecar.signals.answers import CHAT, KEY, SECRET_TEXT, asked_of, completion

from remora.testing.double_answer import Answer, Fault, FaultKind, json_answer
from remora_sidecar.signals.own_calls import NotAnswered, OwnCalls, Question, Why
from remora_sidecar.signals.spending import Limit, Spending

DAY_MS = 86_400_000
MESSAGES = [{"role": "user", "content": f"{SECRET_TEXT}?"}]


def calls_of(running: Any) -> OwnCalls:
    calls: OwnCalls = running.sidecar.parts.evaluator._judge._calls
    return calls


def question(**changed: Any) -> Question:
    fields = {
        "agent_id": "remora-test",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "messages": MESSAGES,
        "limit": Limit("test", Decimal(1), DAY_MS),
    }
    return Question(**(fields | changed))


async def refused(running: Any, asked: Question) -> NotAnswered:
    with pytest.raises(NotAnswered) as caught:
        await calls_of(running).ask(asked)
    assert SECRET_TEXT not in str(caught.value)
    return caught.value


async def test_a_question_gets_its_answer_with_what_it_cost(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.route("POST", CHAT, completion("Yes."))
        answer = await calls_of(running).ask(question(schema={"type": "object"}))
        (record,) = await running.records(1)
        (asked,) = running.double.requests
    assert answer.text == "Yes."
    assert answer.cost_usd == record.cost.total_usd > 0
    assert answer.call_id == record.call_id
    assert (record.attribution.agent_id, record.origin.mode) == ("remora-test", "explicit")
    assert record.attribution.session_id.startswith("sess_")
    assert asked.head.header("authorization") == f"Bearer {KEY}"
    assert asked_of(asked)["response_format"]["json_schema"]["schema"] == {"type": "object"}


async def test_a_goal_and_parameters_are_passed_on(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.route("POST", CHAT, completion("Yes."))
        await calls_of(running).ask(question(goal="mood", parameters={"temperature": 0}))
        (record,) = await running.records(1)
    assert record.attribution.goal == "mood"
    assert record.outcome is None
    assert asked_of(running.double.requests[0])["temperature"] == 0


async def test_what_policy_says_holds_for_the_sidecar_as_well(evaluating: Any) -> None:
    async with evaluating(models={"deny": ["gpt-4o-mini"]}) as running:
        error = await refused(running, question())
        (record,) = await running.records(1)
        assert running.double.requests == []
    assert error.why is Why.FAILED
    assert record.receipt.refused_by


async def test_once_the_limit_is_spent_nobody_is_asked(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.route("POST", CHAT, completion("Yes."))
        calls = calls_of(running)
        once = await calls.ask(question())
        limit = Limit("tight", Decimal("0.0013"), DAY_MS)
        asked = 0
        error = None
        while error is None and asked < 20:
            try:
                await calls.ask(question(limit=limit))
                asked += 1
            except NotAnswered as refusal:
                error = refusal
        assert error is not None
        assert error.why is Why.LIMIT
        assert 0 < asked < 20
        spent = calls.spending.spent_usd(limit, running.sidecar.parts.clock.now_unix_ns() // 10**6)
        assert spent == asked * once.cost_usd <= limit.max_usd
        assert len(running.double.requests) == asked + 1
        counted = running.metric(
            "remora_own_calls_unanswered_total", agent="remora-test", reason="limit"
        )
        assert counted == 1


async def test_what_was_spent_is_known_after_a_restart(evaluating: Any) -> None:
    limit = Limit("kept", Decimal(1), DAY_MS)
    async with evaluating() as running:
        running.double.route("POST", CHAT, completion("Yes."))
        answer = await calls_of(running).ask(question(limit=limit))
    async with evaluating() as running:
        now_ms = running.sidecar.parts.clock.now_unix_ns() // 10**6
        assert calls_of(running).spending.spent_usd(limit, now_ms) == answer.cost_usd


async def test_a_model_without_a_price_is_not_asked(evaluating: Any) -> None:
    async with evaluating() as running:
        error = await refused(running, question(model="model-that-nobody-sells"))
        assert error.why is Why.UNPRICED
        assert "price" in str(error)
        assert running.double.requests == []


async def test_without_a_limit_only_budgets_hold(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.route("POST", CHAT, completion("Yes."))
        answer = await calls_of(running).ask(question(model="unpriced", limit=None))
        assert answer.text == "Yes."


async def test_where_a_route_leads_to_a_model_without_a_price_the_window_is_closed(
    evaluating: Any,
) -> None:
    router = {"policy": "random", "candidates": [{"model": "model-that-nobody-sells"}]}
    async with evaluating(routes=[{"name": "all", "router": router}]) as running:
        body = json.loads(completion("Yes.").body)
        body["model"] = "model-that-nobody-sells"
        running.double.route("POST", CHAT, json_answer(json.dumps(body).encode()))
        answer = await calls_of(running).ask(question())
        assert answer.cost_usd is None
        assert (await refused(running, question())).why is Why.LIMIT


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (json_answer(b'{"error": {"message": "x"}}', status=500), Why.FAILED),
        (json_answer(b"no JSON"), Why.FAILED),
        (json_answer(b'{"choices": []}'), Why.FAILED),
        (completion(None), Why.FAILED),
        (Answer(200, (), b'{"a": "b"}', fault=Fault(FaultKind.RESET, 3)), Why.FAILED),
        (completion("x" * 300_000), Why.FAILED),
    ],
    ids=["an error", "no JSON", "no choice", "no text", "cut", "too large"],
)
async def test_an_answer_that_is_none_says_why(evaluating: Any, answer: Answer, why: Why) -> None:
    async with evaluating() as running:
        running.double.route("POST", CHAT, answer)
        assert (await refused(running, question())).why is why


async def test_a_provider_that_says_nothing_is_given_up(evaluating: Any) -> None:
    stalled = Answer(200, (), b'{"a": "b"}', fault=Fault(FaultKind.STALL, 3))
    async with evaluating() as running:
        running.double.route("POST", CHAT, stalled)
        error = await refused(running, question(timeout_s=0.3))
        assert error.why is Why.TIMEOUT


async def test_a_provider_that_policy_does_not_intercept_is_not_asked(evaluating: Any) -> None:
    async with evaluating(intercept=["openai"]) as running:
        error = await refused(running, question(provider="groq"))
        assert error.why is Why.UNKNOWN_PROVIDER


async def test_sessions_of_its_own_are_never_forgotten(evaluating: Any) -> None:
    async with evaluating() as running:
        running.double.route("POST", CHAT, completion("Yes."))
        await calls_of(running).ask(question())
        sessions = running.sidecar.parts.sessions
        (own,) = [session for session in sessions.all() if session.is_own]
        sessions.end(own.session_id)
        for _ in range(10_100):
            sessions.open(0)
        assert sessions.get(own.session_id) is own
        assert not own.ended
        await calls_of(running).ask(question())
        second = (await running.records(2))[-1]
        assert second.attribution.session_id == own.session_id


# the meter


AMOUNTS = st.decimals(0, 2, places=4)


@given(
    st.lists(st.tuples(AMOUNTS, st.one_of(st.none(), AMOUNTS), st.integers(0, 3_000)), max_size=40)
)
def test_no_window_ever_costs_more_than_its_limit(
    calls: list[tuple[Decimal, Decimal | None, int]],
) -> None:
    spending, limit, now = Spending(), Limit("x", Decimal(1), 1000), 0
    spent: dict[int, Decimal] = {}
    for most, cost, pause in calls:
        now += pause
        hold = spending.hold(limit, most, now)
        if hold is None:
            continue
        paid = most if cost is None else min(cost, most)
        spent[now // 1000] = spent.get(now // 1000, Decimal(0)) + paid
        spending.settle(hold, None if cost is None else paid)
        if cost is None:
            assert spending.hold(limit, Decimal(0), now) is None
    assert all(total <= limit.max_usd for total in spent.values())


def test_what_is_under_way_counts_at_its_most() -> None:
    spending, limit = Spending(), Limit("x", Decimal(1), 1000)
    hold = spending.hold(limit, Decimal("0.6"), 0)
    assert hold is not None
    assert spending.hold(limit, Decimal("0.6"), 0) is None
    spending.settle(hold, Decimal("0.1"))
    assert spending.hold(limit, Decimal("0.6"), 0) is not None


def test_a_call_that_ends_in_the_next_window_counts_for_its_own() -> None:
    spending, limit = Spending(), Limit("x", Decimal(1), 1000)
    hold = spending.hold(limit, Decimal("0.6"), 0)
    assert hold is not None
    assert spending.spent_usd(limit, 1000) == 0
    spending.settle(hold, Decimal("0.6"))
    assert spending.spent_usd(limit, 1000) == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), AMOUNTS), max_size=10))
def test_what_is_written_is_read_again(spent: list[tuple[str, Decimal]]) -> None:
    spending = Spending()
    for name, usd in spent:
        if (hold := spending.hold(Limit(name, Decimal(100), 1000), usd, 5)) is not None:
            spending.settle(hold, usd)
    again = Spending.loaded(spending.dumped())
    for name in "ab":
        limit = Limit(name, Decimal(100), 1000)
        assert again.spent_usd(limit, 5) == spending.spent_usd(limit, 5)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"window_ms": "x"}}'])
def test_a_damaged_file_is_a_new_beginning(data: bytes) -> None:
    assert Spending.loaded(data).spent_usd(Limit("a", Decimal(1), 1000), 0) == 0
